package pretoken

import (
	"fmt"

	"tempera/training/tokenizer/match"
)

// piece is a part of a word that matches a pattern, or that lies between
// matches.
type piece struct {
	start, end int
	match      bool
}

// cut makes words of what matches and of what does not, in one of the ways that
// tokenizer.json names. With invert the two change places.
func cut(m match.Matcher, behavior string, invert bool) (Step, error) {
	var join func([]piece) []piece
	switch behavior {
	case "Isolated":
		return split(m, nil), nil
	case "Removed":
		return split(m, func(p piece) bool { return p.match != invert }), nil
	case "Contiguous":
		join = contiguous
	case "MergedWithPrevious":
		join = withPrevious
	case "MergedWithNext":
		join = withNext
	default:
		return nil, fmt.Errorf("behavior %q is not known", behavior)
	}
	return func(out []Word, w Word) []Word {
		var pieces []piece
		eachPiece(m, w.Text, func(p piece) {
			p.match = p.match != invert
			pieces = append(pieces, p)
		})
		for _, p := range join(pieces) {
			out = appendPiece(out, w, p)
		}
		return out
	}, nil
}

// split makes every piece a word, but for those that drop says.
func split(m match.Matcher, drop func(piece) bool) Step {
	return func(out []Word, w Word) []Word {
		eachPiece(m, w.Text, func(p piece) {
			if drop == nil || !drop(p) {
				out = appendPiece(out, w, p)
			}
		})
		return out
	}
}

func appendPiece(out []Word, w Word, p piece) []Word {
	if p.start == p.end {
		return out
	}
	return append(out, w.part(p.start, p.end))
}

func eachPiece(m match.Matcher, text string, do func(piece)) {
	rest := 0
	for start, end := range m(text) {
		if start > rest {
			do(piece{rest, start, false})
		}
		do(piece{start, end, true})
		rest = end
	}
	if rest < len(text) {
		do(piece{rest, len(text), false})
	}
}

// contiguous joins neighbours that both match or both do not.
func contiguous(pieces []piece) []piece {
	out := pieces[:0]
	for _, p := range pieces {
		if len(out) > 0 && out[len(out)-1].match == p.match {
			out[len(out)-1].end = p.end
			continue
		}
		out = append(out, p)
	}
	return out
}

// withPrevious joins a match to what is before it, unless that is a match too.
func withPrevious(pieces []piece) []piece {
	out := pieces[:0]
	was := false
	for _, p := range pieces {
		if p.match && !was && len(out) > 0 {
			out[len(out)-1].end = p.end
		} else {
			out = append(out, p)
		}
		was = p.match
	}
	return out
}

// withNext joins a match to what is after it, unless that is a match too.
func withNext(pieces []piece) []piece {
	at := len(pieces)
	was := false
	for i := len(pieces) - 1; i >= 0; i-- {
		p := pieces[i]
		if p.match && !was && at < len(pieces) {
			pieces[at].start = p.start
		} else {
			at--
			pieces[at] = p
		}
		was = p.match
	}
	return pieces[at:]
}
