package timing

import (
	"slices"
	"time"
)

// span is a time with a beginning and an end.
type span struct{ from, to time.Time }

func (s span) seconds() float64 { return max(0, s.to.Sub(s.from).Seconds()) }

// spans may overlap, and are in no order.
type spans []span

// sum adds the seconds up, those of overlaps as often as they occur.
func (s spans) sum() (seconds float64) {
	for _, x := range s {
		seconds += x.seconds()
	}
	return seconds
}

// length is the seconds that at least one span covers.
func (s spans) length() float64 { return s.merged().sum() }

// merged returns the same time as disjoint spans in order.
func (s spans) merged() (out spans) {
	sorted := slices.Clone(s)
	slices.SortFunc(sorted, func(a, b span) int { return a.from.Compare(b.from) })
	for _, x := range sorted {
		switch last := len(out) - 1; {
		case !x.to.After(x.from):
		case last >= 0 && !x.from.After(out[last].to):
			if x.to.After(out[last].to) {
				out[last].to = x.to
			}
		default:
			out = append(out, x)
		}
	}
	return out
}

// within returns what lies in w.
func (s spans) within(w span) (out spans) {
	for _, x := range s {
		if x.from.Before(w.from) {
			x.from = w.from
		}
		if x.to.After(w.to) {
			x.to = w.to
		}
		if x.to.After(x.from) {
			out = append(out, x)
		}
	}
	return out
}

// gaps returns what of w no span covers.
func (s spans) gaps(w span) (out spans) {
	at := w.from
	for _, x := range append(s.within(w).merged(), span{w.to, w.to}) {
		if x.from.After(at) {
			out = append(out, span{at, x.from})
		}
		at = x.to
	}
	return out
}

// before returns of each span in which a moment lies the part up to the last
// such moment.
func (s spans) before(moments []time.Time) (out spans) {
	for _, x := range s {
		to := x.from
		for _, m := range moments {
			if m.After(to) && !m.After(x.to) {
				to = m
			}
		}
		if to.After(x.from) {
			out = append(out, span{x.from, to})
		}
	}
	return out
}
