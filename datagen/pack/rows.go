// Package pack lays tokenised documents into the rows of training batches, so
// that no position is wasted on padding that could hold text.
//
// Start reading at New, then Packer.Fill.
package pack

import (
	"fmt"
	"math/bits"

	"tempera/datagen/order"
	"tempera/datagen/sample"
)

// Mode is how documents share a row.
type Mode string

// The modes. Joined documents are one stream that is cut into rows, as GPT-2's
// were: a token sees the documents before its own in the row, and learns from
// the end-of-text token between them to forget them. Separate documents never
// see each other, and are cut only where they are longer than a row.
const (
	Joined   Mode = "joined"
	Separate Mode = "separate"
)

// Documents are what is packed; token.Set is one. A document of n tokens has
// n - 1 that can be predicted: its first begins it.
type Documents interface {
	Len() int
	Length(i int) int
	// Read fills out with the tokens of a document from the token start on.
	Read(i, start int, out []int32) error
}

// Learned are Documents of which only some tokens are to be predicted: those of
// answers, not those of questions.
type Learned interface {
	// Learn tells of the tokens of a document from the token start on whether they are.
	Learn(i, start int, out []bool) error
}

// piece is a run of positions of one document. Position p holds token p and
// predicts token p + 1.
type piece struct{ document, start, length uint32 }

// rows are the rows that the documents of one data set fill, the same in every
// epoch: it is their order that changes.
type rows struct {
	pieces []piece
	first  []int // the first piece of each row, and the number of all
	most   int   // pieces of the fullest row
}

func (r *rows) len() int { return len(r.first) - 1 }

func (r *rows) row(i int) []piece { return r.pieces[r.first[i]:r.first[i+1]] }

// packKey keeps the order of documents apart from other uses of the seed.
const packKey = 0x7061636b

// newRows packs documents, shuffled by seed, into rows of context positions.
func newRows(d Documents, context int, m Mode, seed uint64) (*rows, error) {
	if uint64(d.Len()) > 1<<32-1 {
		return nil, fmt.Errorf("%d documents: a data set has at most 2^32", d.Len())
	}
	mixed := order.NewPermutation(max(1, d.Len()), sample.Mix(seed^packKey))
	var r *rows
	if m == Joined {
		r = join(d, context, mixed)
	} else {
		r = separate(d, context, mixed)
	}
	for i := range r.len() {
		r.most = max(r.most, r.first[i+1]-r.first[i])
	}
	return r, nil
}

// join cuts the stream of all documents. In it, every token has a position: that
// of the end of a document predicts nothing.
func join(d Documents, context int, mixed order.Permutation) *rows {
	r := &rows{first: []int{0}}
	free := context
	for k := range d.Len() {
		i := mixed.At(k)
		for at, n := 0, d.Length(i); at < n; {
			length := min(free, n-at)
			r.pieces = append(r.pieces, piece{uint32(i), uint32(at), uint32(length)})
			at, free = at+length, free-length
			if free == 0 {
				r.first, free = append(r.first, len(r.pieces)), context
			}
		}
	}
	if free < context {
		r.first = append(r.first, len(r.pieces))
	}
	return r
}

// separate lays each document, or what is left of one that fills rows of its
// own, into the row with the least room that holds it (best fit; Ding et al.
// 2024, "Fewer truncations improve language modeling").
func separate(d Documents, context int, mixed order.Permutation) *rows {
	b := newBins(context)
	for k := range d.Len() {
		i := mixed.At(k)
		for at, n := 0, d.Length(i)-1; at < n; at += context {
			b.put(piece{uint32(i), uint32(at), uint32(min(context, n-at))})
		}
	}
	return b.rows()
}

// bins are rows in the making, found by the room that they have.
type bins struct {
	context int
	room    [][]int32 // rows with so many free positions
	some    []uint64  // a bit for each room that has rows
	last    []int32   // the newest piece of each row
	pieces  []piece
	before  []int32 // the piece before it in its row; -1: none
}

func newBins(context int) *bins {
	return &bins{context: context, room: make([][]int32, context+1), some: make([]uint64, context/64+1)}
}

func (b *bins) put(p piece) {
	at := int32(len(b.pieces))
	b.pieces = append(b.pieces, p)
	room := b.find(int(p.length))
	if room == 0 {
		b.last, b.before = append(b.last, at), append(b.before, -1)
		b.open(int32(len(b.last)-1), b.context-int(p.length))
		return
	}
	fit := b.room[room]
	row := fit[len(fit)-1]
	b.room[room] = fit[:len(fit)-1]
	if len(fit) == 1 {
		b.some[room/64] &^= 1 << (room % 64)
	}
	b.before = append(b.before, b.last[row])
	b.last[row] = at
	b.open(row, room-int(p.length))
}

// open notes the room of a row; one without any is never looked for.
func (b *bins) open(row int32, room int) {
	if room == 0 {
		return
	}
	b.room[room] = append(b.room[room], row)
	b.some[room/64] |= 1 << (room % 64)
}

// find returns the least room of at least n positions that a row has; 0: none.
func (b *bins) find(n int) int {
	for w := n / 64; w < len(b.some); w++ {
		word := b.some[w]
		if w == n/64 {
			word &= ^uint64(0) << (n % 64)
		}
		if word != 0 {
			return w*64 + bits.TrailingZeros64(word)
		}
	}
	return 0
}

func (b *bins) rows() *rows {
	r := &rows{first: []int{0}, pieces: make([]piece, 0, len(b.pieces))}
	for _, at := range b.last {
		for ; at >= 0; at = b.before[at] { // the newest first: the order in a row does not matter
			r.pieces = append(r.pieces, b.pieces[at])
		}
		r.first = append(r.first, len(r.pieces))
	}
	return r
}
