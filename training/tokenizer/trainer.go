package tokenizer

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"

	"tempera/training/tokenizer/bytelevel"
)

// pair is two neighbouring tokens.
type pair struct{ left, right int32 }

// trainer holds the words of a corpus while their pairs are merged.
type trainer struct {
	names    []string // of the tokens, in the order of their ids
	ids      map[string]int32
	merges   []pair
	merged   map[pair]bool
	words    [][]int32
	weights  []int // how often each word occurs
	counts   map[pair]int
	where    map[pair][]int32 // the words that may have a pair, some more than once
	queue    pairQueue
	least    int
	reserved map[string]bool // names that no merge may make
}

func newTrainer(counts map[string]int, special []string, least int) *trainer {
	tr := &trainer{
		ids: map[string]int32{}, merged: map[pair]bool{}, least: least, counts: map[pair]int{},
		where: map[pair][]int32{}, reserved: map[string]bool{},
	}
	for _, name := range special {
		tr.reserved[name] = true
		tr.add(name)
	}
	runes := bytelevel.Rune
	slices.Sort(runes[:])
	for _, r := range runes {
		tr.add(string(r))
	}
	var bytes [256]int32
	for b, r := range bytelevel.Rune {
		bytes[b] = tr.ids[string(r)]
	}
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		ids := make([]int32, len(word))
		for i := range ids {
			ids[i] = bytes[word[i]]
		}
		tr.words = append(tr.words, ids)
		tr.weights = append(tr.weights, counts[word])
	}
	for w, ids := range tr.words {
		for i := 1; i < len(ids); i++ {
			tr.found(pair{ids[i-1], ids[i]}, int32(w), tr.weights[w])
		}
	}
	for p, n := range tr.counts {
		tr.queue = append(tr.queue, counted{p, n})
	}
	heap.Init(&tr.queue)
	return tr
}

// add gives the next id to a token.
func (tr *trainer) add(name string) int32 {
	id := int32(len(tr.names))
	tr.ids[name] = id
	tr.names = append(tr.names, name)
	return id
}

// found counts a pair n times more, in a word.
func (tr *trainer) found(p pair, word int32, n int) {
	tr.counts[p] += n
	if in := tr.where[p]; len(in) == 0 || in[len(in)-1] != word {
		tr.where[p] = append(in, word)
	}
}

// run merges until the vocabulary is full or no pair is frequent enough.
func (tr *trainer) run(size int) {
	for len(tr.names) < size && len(tr.queue) > 0 {
		top := heap.Pop(&tr.queue).(counted)
		if n := tr.counts[top.pair]; n != top.count {
			if n >= tr.least {
				heap.Push(&tr.queue, counted{top.pair, n}) // it was counted before other merges
			}
			continue
		}
		if top.count < tr.least {
			return
		}
		tr.merge(top.pair)
	}
}

// merge makes one token of a pair, wherever it occurs.
func (tr *trainer) merge(p pair) {
	name := tr.names[p.left] + tr.names[p.right]
	if tr.reserved[name] {
		delete(tr.counts, p)
		return
	}
	id, ok := tr.ids[name] // two pairs may make the same token
	if !ok {
		id = tr.add(name)
	}
	if !tr.merged[p] { // the other pair may have made this one anew
		tr.merged[p] = true
		tr.merges = append(tr.merges, p)
	}
	touched := map[pair]struct{}{}
	for _, w := range tr.where[p] {
		tr.mergeWord(w, p, id, touched)
	}
	delete(tr.where, p)
	delete(tr.counts, p)
	for q := range touched {
		if n := tr.counts[q]; n >= tr.least {
			heap.Push(&tr.queue, counted{q, n})
		}
	}
}

// mergeWord merges a pair in one word, in place, and recounts the pairs beside
// it.
func (tr *trainer) mergeWord(w int32, p pair, id int32, touched map[pair]struct{}) {
	ids, n := tr.words[w], tr.weights[w]
	move := func(from, to pair) {
		tr.counts[from] -= n
		tr.found(to, w, n)
		touched[from], touched[to] = struct{}{}, struct{}{}
	}
	out := 0
	for i := 0; i < len(ids); i++ {
		if i+1 == len(ids) || ids[i] != p.left || ids[i+1] != p.right {
			ids[out] = ids[i]
			out++
			continue
		}
		if out > 0 {
			move(pair{ids[out-1], p.left}, pair{ids[out-1], id})
		}
		if i+2 < len(ids) {
			move(pair{p.right, ids[i+2]}, pair{id, ids[i+2]})
		}
		ids[out] = id
		out++
		i++
	}
	tr.words[w] = ids[:out]
}

// counted is a pair with its count at some time.
type counted struct {
	pair  pair
	count int
}

// pairQueue is a heap with the pair to merge next on top.
type pairQueue []counted

func (q pairQueue) Len() int { return len(q) }
func (q pairQueue) Less(i, j int) bool {
	return cmp.Or(
		cmp.Compare(q[j].count, q[i].count),
		cmp.Compare(q[i].pair.left, q[j].pair.left),
		cmp.Compare(q[i].pair.right, q[j].pair.right),
	) < 0
}
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *pairQueue) Push(x any)   { *q = append(*q, x.(counted)) }
func (q *pairQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
