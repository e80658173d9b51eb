package dag

import "container/heap"

// intHeap gives back the smallest number first.
type intHeap []int

func (h *intHeap) push(i int) { heap.Push((*heapOrder)(h), i) }
func (h *intHeap) pop() int   { return heap.Pop((*heapOrder)(h)).(int) }

// heapOrder is what container/heap wants of an intHeap.
type heapOrder []int

func (h heapOrder) Len() int           { return len(h) }
func (h heapOrder) Less(i, j int) bool { return h[i] < h[j] }
func (h heapOrder) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heapOrder) Push(x any)        { *h = append(*h, x.(int)) }
func (h *heapOrder) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
