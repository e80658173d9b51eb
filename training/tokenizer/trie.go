package tokenizer

import (
	"cmp"
	"slices"
	"strings"
)

// trie finds which of many strings begin a text. The children of a node lie side
// by side in the order of their bytes.
type trie struct {
	nodes []node
	root  [256]int32 // the children of the root, by their byte; 0 is none
}

type node struct {
	children int32
	count    uint16
	label    byte
	value    int32 // -1: no string ends here
}

// entry is a string with what it stands for.
type entry struct {
	key   string
	value int32
}

// newTrie makes a trie. Of equal keys the last counts; empty ones are left out.
func newTrie(entries []entry) *trie {
	entries = slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return e.key == "" })
	slices.SortStableFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	t := &trie{nodes: []node{{value: -1}}}
	type job struct {
		node, depth int
		entries     []entry
	}
	for queue := []job{{0, 0, entries}}; len(queue) > 0; queue = queue[1:] {
		j := queue[0]
		rest := j.entries
		for len(rest) > 0 && len(rest[0].key) == j.depth {
			t.nodes[j.node].value = rest[0].value
			rest = rest[1:]
		}
		t.nodes[j.node].children = int32(len(t.nodes))
		for len(rest) > 0 {
			label := rest[0].key[j.depth]
			n, _ := slices.BinarySearchFunc(rest, label, func(e entry, label byte) int {
				return cmp.Or(cmp.Compare(e.key[j.depth], label), -1) // the first that is greater
			})
			queue = append(queue, job{len(t.nodes), j.depth + 1, rest[:n]})
			t.nodes = append(t.nodes, node{label: label, value: -1})
			t.nodes[j.node].count++
			rest = rest[n:]
		}
	}
	top := t.nodes[0]
	for i := range int32(top.count) {
		t.root[t.nodes[top.children+i].label] = top.children + i
	}
	return t
}

// child returns the node after at by a byte; 0 is none.
func (t *trie) child(at int32, label byte) int32 {
	if at == 0 {
		return t.root[label]
	}
	n := &t.nodes[at]
	low, high := n.children, n.children+int32(n.count)
	for low < high {
		mid := (low + high) / 2
		switch m := t.nodes[mid].label; {
		case m == label:
			return mid
		case m < label:
			low = mid + 1
		default:
			high = mid
		}
	}
	return 0
}

// longest returns the value and the length of the longest key that begins a
// text; the length is 0 without one.
func (t *trie) longest(text string) (value int32, n int) {
	at := int32(0)
	for i := range len(text) {
		if at = t.child(at, text[i]); at == 0 {
			break
		}
		if v := t.nodes[at].value; v >= 0 {
			value, n = v, i+1
		}
	}
	return value, n
}
