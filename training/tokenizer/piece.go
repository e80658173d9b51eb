package tokenizer

import "tempera/training/tokenizer/pretoken"

// Piece is a text to encode, and how.
type Piece struct {
	Text string
	// Joins says that the text goes on where another ends: what tokenizers put before
	// the begin of a text, such as a space, is left out.
	Joins bool
	// Added are the added tokens that are found in the text; default AllAdded.
	Added Matched
}

// Matched says which added tokens are found in a text.
type Matched int

// AllAdded is what Hugging Face's libraries do, NoAdded is for text that nobody
// vouches for, and VisibleAdded for what people write to be learned: tags such as
// <think> are tokens, what looks like a special one stays text.
const (
	AllAdded Matched = iota
	NoAdded
	VisibleAdded
)

// found are the added tokens that are matched in a text, before and after it is
// normalized.
type found struct{ whole, normalized *addedSet }

// EncodePiece returns the ids of a text.
func (t *Tokenizer) EncodePiece(p Piece) []int32 {
	ids := make([]int32, 0, len(p.Text)/3+1)
	f := t.found[p.Added]
	f.whole.cut(t.text(p.Text), func(part string, start int) {
		w := pretoken.Word{Text: part, First: start == 0 && !p.Joins, Joins: start == 0 && p.Joins}
		ids = t.encodeText(ids, w, f.normalized)
	}, func(id int32) { ids = append(ids, id) })
	return ids
}

// Encode returns the ids of a text. Added tokens in the text become their ids, as
// in Hugging Face's libraries; the template is not applied.
func (t *Tokenizer) Encode(text string) []int32 { return t.EncodePiece(Piece{Text: text}) }

// EncodePlain is Encode for text that nobody vouches for: what looks like an added
// token in it stays text.
func (t *Tokenizer) EncodePlain(text string) []int32 {
	return t.EncodePiece(Piece{Text: text, Added: NoAdded})
}
