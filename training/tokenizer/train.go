package tokenizer

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// TrainOptions say what vocabulary is wanted. The zero value trains 8192 tokens.
type TrainOptions struct {
	VocabSize    int          // tokens in all, the bytes and the special ones included; 0 means 8192
	MinFrequency int          // how often a pair must occur to be merged; 0 means 2
	Lowercase    bool         // text is lower-cased; decoding then gives the lower-cased text
	PrefixSpace  bool         // a space is put before text that does not begin with one
	Names        SpecialNames // of the special tokens, which get the ids from 0 on
	Extra        []string     // more special tokens, after these
	Template     []string     // e.g. [BOS] $A [EOS]: what Wrap makes; $A stands for the text
}

// What holds where TrainOptions leaves it open.
const (
	DefaultVocabSize    = 8192
	DefaultMinFrequency = 2
)

// ErrNoText is what training on texts without a single byte fails with.
var ErrNoText = errors.New("the corpus has no text to train a tokenizer on")

// Train learns a vocabulary from texts. Ids are given out in this order: the
// special tokens, the 256 bytes in the order of their characters in
// tokenizer.json, then the merged pairs. The pair that occurs most often is
// merged next; of equally frequent ones that with the smaller left id, then that
// with the smaller right id. The result depends on how often the words occur
// only, not on the order of the texts.
func Train(texts iter.Seq[string], o TrainOptions) (*Tokenizer, error) {
	o.VocabSize = cmp.Or(o.VocabSize, DefaultVocabSize)
	o.MinFrequency = cmp.Or(o.MinFrequency, DefaultMinFrequency)
	t, err := empty(o)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for text := range texts {
		t.count(text, counts)
	}
	if len(counts) == 0 {
		return nil, ErrNoText
	}
	newTrainer(t, counts, o.MinFrequency).run(o.VocabSize)
	t.finish()
	return t, nil
}

// empty makes a tokenizer of special tokens and bytes.
func empty(o TrainOptions) (*Tokenizer, error) {
	t := &Tokenizer{ids: map[string]int32{}, ranks: map[pair]merge{}}
	t.options.lowercase, t.options.prefixSpace = o.Lowercase, o.PrefixSpace
	var faults []error
	for _, name := range append(o.Names.withDefaults().list(), o.Extra...) {
		_, taken := t.ids[name]
		switch _, isBytes := bytesOfName(name); {
		case name == "":
			faults = append(faults, errors.New("a special token has no text"))
		case taken:
			faults = append(faults, fmt.Errorf("special token %q is there twice", name))
		case isBytes && len([]rune(name)) == 1:
			faults = append(faults, fmt.Errorf("special token %q is a byte's own token: use a longer one", name))
		}
		t.added = append(t.added, Added{ID: int32(len(t.names)), Text: name, Special: true})
		t.add(name, name)
	}
	if least := len(t.added) + 256; o.VocabSize < least {
		faults = append(faults, fmt.Errorf("a vocabulary of %d has no room for %d special tokens and 256 bytes: use at least %d",
			o.VocabSize, len(t.added), least))
	}
	if o.MinFrequency < 1 {
		faults = append(faults, fmt.Errorf("a minimum frequency of %d: use at least 1", o.MinFrequency))
	}
	for _, name := range o.Template {
		id, ok := t.ids[name]
		if name != textItem && !ok {
			faults = append(faults, fmt.Errorf("the template names %q, which is no special token", name))
		}
		t.options.template = append(t.options.template, item{text: name == textItem, id: id})
	}
	bytes := make([]byte, 256)
	for b := range bytes {
		bytes[b] = byte(b)
	}
	slices.SortFunc(bytes, func(a, b byte) int { return cmp.Compare(runeOfByte[a], runeOfByte[b]) })
	for _, b := range bytes {
		t.add(string(runeOfByte[b]), string([]byte{b}))
	}
	return t, errors.Join(faults...)
}

// textItem stands for the text in a template.
const textItem = "$A"

// add gives the next id to a token.
func (t *Tokenizer) add(name, bytes string) int32 {
	id := int32(len(t.names))
	t.ids[name] = id
	t.names, t.tokens = append(t.names, name), append(t.tokens, bytes)
	return id
}

// finish makes what follows from vocabulary and merges.
func (t *Tokenizer) finish() {
	for b := range t.bytes {
		t.bytes[b] = t.ids[string(runeOfByte[b])]
	}
	slices.SortFunc(t.added, func(a, b Added) int { return cmp.Compare(a.ID, b.ID) })
	t.cache.words = map[string][]int32{}
}

// count adds the words of a text. What looks like a special token is left out,
// as it will never be merged.
func (t *Tokenizer) count(text string, counts map[string]int) {
	for text != "" {
		at, a := t.nextAdded(text)
		part := text[:at]
		if t.options.lowercase {
			part = lower(part)
		}
		if t.options.prefixSpace && part != "" && part[0] != ' ' {
			part = " " + part
		}
		for word := range split(part) {
			if _, ok := counts[word]; !ok {
				word = strings.Clone(word) // not to keep the text
			}
			counts[word]++
		}
		if a == nil {
			return
		}
		text = text[at+len(a.Text):]
	}
}

// trainer holds the words of a corpus while their pairs are merged.
type trainer struct {
	t        *Tokenizer
	words    [][]int32
	weights  []int // how often each word occurs
	counts   map[pair]int
	where    map[pair][]int32 // the words that may have a pair, some more than once
	queue    pairQueue
	least    int
	reserved map[string]bool // names that no merge may make
}

func newTrainer(t *Tokenizer, counts map[string]int, least int) *trainer {
	tr := &trainer{
		t: t, least: least, counts: map[pair]int{},
		where: map[pair][]int32{}, reserved: map[string]bool{},
	}
	for _, a := range t.added {
		tr.reserved[a.Text] = true
	}
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		ids := make([]int32, len(word))
		for i := range ids {
			ids[i] = t.ids[string(runeOfByte[word[i]])]
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

// found counts a pair n times more, in a word.
func (tr *trainer) found(p pair, word int32, n int) {
	tr.counts[p] += n
	if in := tr.where[p]; len(in) == 0 || in[len(in)-1] != word {
		tr.where[p] = append(in, word)
	}
}

// run merges until the vocabulary is full or no pair is frequent enough.
func (tr *trainer) run(size int) {
	for len(tr.t.names) < size && len(tr.queue) > 0 {
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
	t := tr.t
	name := t.names[p.left] + t.names[p.right]
	if tr.reserved[name] {
		delete(tr.counts, p)
		return
	}
	id, ok := t.ids[name] // two pairs may make the same token
	if !ok {
		id = t.add(name, t.tokens[p.left]+t.tokens[p.right])
	}
	if _, again := t.ranks[p]; !again { // the other pair may have made this one anew
		t.ranks[p] = merge{int32(len(t.merges)), id}
		t.merges = append(t.merges, p)
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
