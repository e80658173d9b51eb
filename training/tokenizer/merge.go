package tokenizer

// symbol is a token of a word that is being merged, in a linked list.
type symbol struct {
	id         int32
	prev, next int32 // -1: none; a symbol that was merged away has id -1
}

// candidate is a pair that may be merged.
type candidate struct {
	rank int32
	at   int32 // of the left symbol
	pair pair  // as it was when the candidate was found
}

func (a candidate) before(b candidate) bool {
	if a.rank != b.rank {
		return a.rank < b.rank
	}
	return a.at < b.at
}

// merge returns the ids of a word: always the pair that training merged first is
// merged next, of equal pairs the leftmost. It takes O(n log n) for n bytes.
func (t *Tokenizer) merge(word string) []int32 {
	if t.options.ignoreMerges {
		if id, ok := t.ids[nameOfBytes(word)]; ok {
			return []int32{id}
		}
	}
	symbols := make([]symbol, len(word))
	for i := range symbols {
		symbols[i] = symbol{id: t.bytes[word[i]], prev: int32(i) - 1, next: int32(i) + 1}
	}
	symbols[len(symbols)-1].next = -1
	var queue candidates
	offer := func(at int32) {
		if at < 0 || symbols[at].next < 0 {
			return
		}
		p := pair{symbols[at].id, symbols[symbols[at].next].id}
		if m, ok := t.ranks[p]; ok {
			queue.push(candidate{m.rank, at, p})
		}
	}
	for i := range symbols {
		offer(int32(i))
	}
	left := len(symbols)
	for len(queue) > 0 {
		c := queue.pop()
		s := &symbols[c.at]
		if s.id != c.pair.left || s.next < 0 || symbols[s.next].id != c.pair.right {
			continue // one of the two has been merged with another since
		}
		gone := &symbols[s.next]
		s.id, s.next = t.ranks[c.pair].id, gone.next
		gone.id = -1
		if s.next >= 0 {
			symbols[s.next].prev = c.at
		}
		left--
		offer(s.prev)
		offer(c.at)
	}
	ids := make([]int32, 0, left)
	for i := int32(0); i >= 0; i = symbols[i].next {
		ids = append(ids, symbols[i].id)
	}
	return ids
}

// candidates is a binary heap; the candidate to merge first is on top. It is
// written out because container/heap would allocate for every candidate.
type candidates []candidate

func (q *candidates) push(c candidate) {
	*q = append(*q, c)
	h := *q
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *candidates) pop() candidate {
	h := *q
	top, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		least := i
		for _, down := range [2]int{2*i + 1, 2*i + 2} {
			if down < last && h[down].before(h[least]) {
				least = down
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*q = h
	return top
}
