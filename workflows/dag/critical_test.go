package dag

import (
	"slices"
	"testing"
)

func TestTheLongestChainGoesFirst(t *testing.T) {
	for _, c := range []struct {
		name              string
		after             [][]int
		below, priorities []int
	}{
		{"nothing waits for anything", [][]int{nil, nil}, []int{0, 0}, []int{5, 5}},
		{"a chain of two", [][]int{nil, {0}}, []int{1, 0}, []int{1, 5}},
		{"a long chain beside a single stage", [][]int{nil, nil, {1}, {2}, {3}}, []int{0, 3, 2, 1, 0}, []int{5, 1, 2, 4, 5}},
		{"the longer of two ways counts", [][]int{nil, {0}, {1}, {0, 2}}, []int{3, 2, 1, 0}, []int{1, 2, 4, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &Plan{Nodes: make([]Node, len(c.after))}
			for i, after := range c.after {
				p.Nodes[i].After = after
			}
			if got := p.Below(); !slices.Equal(got, c.below) {
				t.Fatalf("below %v, want %v", got, c.below)
			}
			if got := p.Priorities(); !slices.Equal(got, c.priorities) {
				t.Fatalf("priorities %v, want %v", got, c.priorities)
			}
		})
	}
}
