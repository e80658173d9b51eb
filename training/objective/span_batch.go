package objective

import (
	"fmt"
	"slices"

	"tempera/training"
	"tempera/training/device"
)

// Names of a batch's arrays, besides those of packed texts, see Spans.
const (
	Room   = "room"   // int32 (4): parts and their SpanShape
	Bounds = "bounds" // int32 (parts, spans, 2)
)

// Span is a run of tokens of a text that is judged as one, from From up to To: a completion, or a step of it. Tokens in it that are not learned,
// such as those of a tool, do not count. An empty span stands for one that is missing.
type Span struct{ From, To int }

// SpanText is a text with spans. Learn tells of each token whether it counts.
type SpanText struct {
	Tokens []int32
	Learn  []bool
	Spans  []Span
}

// SpanShape is the room of a part of a batch: texts lie one after the other, none sees another, and the rest is padding.
type SpanShape struct {
	Texts  int // at most
	Spans  int // of all texts, at most
	Tokens int // of all texts, at most
}

// Validate returns a fault of the shape.
func (s SpanShape) Validate() error {
	if s.Texts < 1 || s.Spans < 1 || s.Tokens < 2 {
		return fmt.Errorf("a batch has room for %d texts, %d spans and %d tokens: give 1, 1 and 2 or more", s.Texts, s.Spans, s.Tokens)
	}
	return nil
}

// ends is the length of the array of ends: 0, the texts', and that of the padding.
func (s SpanShape) ends() int { return s.Texts + 2 }

// LaySpans writes a batch whose parts, one or more, all have the room of a shape. pad is the token of positions without text.
func LaySpans(b *training.Batch, s SpanShape, pad int32, parts ...[]SpanText) error {
	p := len(parts)
	copy(b.Int32s(Room, 4), []int32{int32(p), int32(s.Texts), int32(s.Spans), int32(s.Tokens)})
	a := spanArrays{
		tokens: b.Int32s(Tokens, p*s.Tokens), targets: b.Int32s(Targets, p*s.Tokens), positions: b.Int32s(Positions, p*s.Tokens),
		ends: b.Int32s(Ends, p*s.ends()), bounds: b.Int32s(Bounds, 2*p*s.Spans),
	}
	for i, texts := range parts {
		if err := a.part(s, i).lay(s, pad, texts); err != nil {
			return err
		}
	}
	return nil
}

// spanArrays are the arrays of a batch, or of one of its parts.
type spanArrays struct{ tokens, targets, positions, ends, bounds []int32 }

// part are the arrays of part i.
func (a spanArrays) part(s SpanShape, i int) spanArrays {
	of := func(x []int32, n int) []int32 { return x[i*n : (i+1)*n] }
	return spanArrays{of(a.tokens, s.Tokens), of(a.targets, s.Tokens), of(a.positions, s.Tokens), of(a.ends, s.ends()), of(a.bounds, 2*s.Spans)}
}

func (a spanArrays) lay(s SpanShape, pad int32, texts []SpanText) error {
	if len(texts) > s.Texts {
		return fmt.Errorf("a part of the batch has %d texts, its room is for %d", len(texts), s.Texts)
	}
	clear(a.bounds)
	at, spans := 0, 0
	for i, t := range texts {
		if at+len(t.Tokens) > s.Tokens || spans+len(t.Spans) > s.Spans {
			return fmt.Errorf("the texts of a part of the batch do not fit %+v", s)
		}
		for k, id := range t.Tokens {
			a.tokens[at+k], a.targets[at+k], a.positions[at+k] = id, device.IgnoreIndex, int32(k)
			if k+1 < len(t.Tokens) && t.Learn[k+1] {
				a.targets[at+k] = t.Tokens[k+1]
			}
		}
		for _, span := range t.Spans {
			if span.To > span.From {
				a.bounds[2*spans], a.bounds[2*spans+1] = int32(at+span.From), int32(at+span.To)
			}
			spans++
		}
		at += len(t.Tokens)
		a.ends[i+1] = int32(at)
	}
	for k := at; k < s.Tokens; k++ {
		a.tokens[k], a.targets[k], a.positions[k] = pad, device.IgnoreIndex, 0
	}
	a.ends[0] = 0
	for i := len(texts) + 1; i < len(a.ends); i++ {
		a.ends[i] = int32(s.Tokens)
	}
	return nil
}

// readSpans takes the arrays of a batch. What kernels do not check is checked here.
func readSpans(b *training.Batch, vocab, context int) (s SpanShape, parts int, a spanArrays, err error) {
	room, err := b.ReadInt32s(Room, 4)
	if err != nil {
		return s, 0, a, err
	}
	parts, s = int(room[0]), SpanShape{Texts: int(room[1]), Spans: int(room[2]), Tokens: int(room[3])}
	for _, f := range []struct {
		to   *[]int32
		name string
		n    int
	}{
		{&a.tokens, Tokens, s.Tokens}, {&a.targets, Targets, s.Tokens}, {&a.positions, Positions, s.Tokens}, {&a.ends, Ends, s.ends()}, {&a.bounds, Bounds, 2 * s.Spans},
	} {
		if *f.to, err = b.ReadInt32s(f.name, parts*f.n); err != nil {
			return s, 0, a, err
		}
	}
	if err := checkIDs(a.tokens, vocab); err != nil {
		return s, 0, a, err
	}
	if err := checkTargets(a.targets, vocab); err != nil {
		return s, 0, a, err
	}
	if p := slices.Max(a.positions); slices.Min(a.positions) < 0 || int(p) >= context {
		return s, 0, a, fmt.Errorf("a text of the batch has a token at %d, the model's context is %d", p, context)
	}
	return s, parts, a, nil
}

// SpanRooms are the tokens of the shapes that batches of n rows, each of so many tokens, fit: one that most do, one that nearly all do, and one
// that all do. A batch takes the smallest.
func SpanRooms(tokens []int, n int) []int {
	sorted := slices.Sorted(slices.Values(tokens))
	sum, most := 0, 0
	for i, t := range sorted {
		sum += t
		if i >= len(sorted)-n {
			most += t
		}
	}
	mean := float64(sum) / float64(max(1, len(sorted))) * float64(n)
	var rooms []int
	for _, share := range []float64{1.1, 1.35} {
		if r := roundUp(int(share * mean)); r > 0 && r < most {
			rooms = append(rooms, r)
		}
	}
	return slices.Compact(append(rooms, roundUp(max(2, most))))
}

// roundUp makes a number of tokens one that products like.
func roundUp(n int) int { return (n + 15) / 16 * 16 }
