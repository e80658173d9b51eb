package generate

import (
	"strings"
	"unicode/utf8"
)

// writer turns tokens into text as they come, and finds stop strings in it.
//
// A token is decoded together with the ones before it that have not been read: a tokenizer may put a space only between words, or a character may
// take several tokens. What ends in a broken character waits for the next token.
type writer struct {
	decode func(tokens []int32) string

	from, read int             // tokens [from, read) are the context in which those after read are decoded
	text       strings.Builder // what is certain: no stop string can begin in it
	held       string          // what follows it and may begin one
	stop       string          // the stop string that was found
}

// add reads the last of tokens. It returns the text that became certain and whether one of the stop strings ends it.
func (w *writer) add(tokens []int32, stops []string) (certain string, stopped bool) {
	fresh, ok := w.decoded(tokens)
	if !ok {
		return "", false
	}
	w.from, w.read = w.read, len(tokens)
	w.held += fresh
	at, stop := w.find(stops)
	if at >= 0 {
		w.stop = stop
		certain, w.held = w.held[:at], ""
		w.text.WriteString(certain)
		return certain, true
	}
	keep := w.mayBegin(stops)
	certain, w.held = w.held[:len(w.held)-keep], w.held[len(w.held)-keep:]
	w.text.WriteString(certain)
	return certain, false
}

// decoded is the text of the tokens from read on; ok is false while it ends within a character.
func (w *writer) decoded(tokens []int32) (fresh string, ok bool) {
	before := w.decode(tokens[w.from:w.read])
	after := w.decode(tokens[w.from:])
	if len(after) < len(before) {
		return "", true
	}
	fresh = after[len(before):]
	return fresh, !strings.HasSuffix(fresh, string(utf8.RuneError))
}

// find returns the first stop string in what is held, the longest of those that begin there; -1 if there is none.
func (w *writer) find(stops []string) (at int, stop string) {
	at = -1
	for _, s := range stops {
		if i := strings.Index(w.held, s); i >= 0 && (at < 0 || i < at || i == at && len(s) > len(stop)) {
			at, stop = i, s
		}
	}
	return at, stop
}

// mayBegin is the length of the longest end of what is held that begins a stop string.
func (w *writer) mayBegin(stops []string) int {
	most := 0
	for _, s := range stops {
		for n := min(len(s)-1, len(w.held)); n > most; n-- {
			if strings.HasSuffix(w.held, s[:n]) {
				most = n
			}
		}
	}
	return most
}

// rest ends the text: what was held, and what the last tokens are if they end within a character.
func (w *writer) rest(tokens []int32) string {
	rest := w.held
	if fresh, ok := w.decoded(tokens); !ok {
		rest += fresh
	}
	w.held = ""
	w.text.WriteString(rest)
	return rest
}

// kept is the most tokens whose text lies before the stop string that was found.
func (w *writer) kept(tokens []int32) int {
	n := len(tokens) - 1
	for n > 0 && len(w.decode(tokens[:n])) > w.text.Len() {
		n--
	}
	return n
}
