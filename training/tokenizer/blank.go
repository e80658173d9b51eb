package tokenizer

import (
	"strings"

	"tempera/training/tokenizer/pretoken"
)

// blank is what SentencePiece writes for a space.
const blank = "▁"

// splitsAtBlanks says that no token goes on from something else into a blank, so
// that merging never crosses such a place, and a text may be split there without
// changing its tokens. It is so in Llama 2's vocabulary and those like it, whose
// files split nothing: a book would be one word.
func (b *bpe) splitsAtBlanks() bool {
	if b.byteLevel || b.prefix != "" || b.suffix != "" || b.ignoreMerges {
		return false
	}
	if _, ok := b.ids[blank]; !ok {
		return false
	}
	made := make(map[int32]bool, len(b.merges))
	for _, m := range b.merges {
		made[m.id] = true
	}
	for name, id := range b.ids {
		if made[id] && nextBlank(name) < len(name) {
			return false
		}
	}
	return true
}

// nextBlank returns where the first blank is that has something else before it;
// without one, the length of the text.
func nextBlank(text string) int {
	at := len(text) - len(strings.TrimLeft(text, blank))
	if k := strings.Index(text[at:], blank); k >= 0 {
		return at + k
	}
	return len(text)
}

func splitAtBlanks(out []pretoken.Word, w pretoken.Word) []pretoken.Word {
	for {
		n := nextBlank(w.Text)
		out = append(out, pretoken.Word{Text: w.Text[:n], First: w.First})
		if n == len(w.Text) {
			return out
		}
		w = pretoken.Word{Text: w.Text[n:]}
	}
}
