package objective

import (
	"errors"
	"fmt"
	"slices"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
)

// Names of a batch's arrays, besides those of packed texts, see Spans.
const (
	Room   = "room"   // int32 (5): parts and their SpanShape
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
	// Pictures are those that a vlm's image tokens stand for, (3, H, W) each, normalised. Texts that share one slice share the work on it.
	Pictures [][]float32
}

// given are the tokens before the first one that counts: where pictures stand. A policy may write a picture's token, which then is none.
func (t SpanText) given() []int32 {
	if n := slices.Index(t.Learn, true); n >= 0 {
		return t.Tokens[:n]
	}
	return t.Tokens
}

// SpanShape is the room of a part of a batch: texts lie one after the other, none sees another, and the rest is padding.
type SpanShape struct {
	Texts    int // at most
	Spans    int // of all texts, at most
	Tokens   int // of all texts, at most
	Pictures int // different ones of all texts, at most
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

// LaySpans writes a batch for models of a configuration, whose parts, one or more, all have the room of a shape.
func LaySpans(b *training.Batch, c model.Config, s SpanShape, parts ...[]SpanText) error {
	p := len(parts)
	copy(b.Int32s(Room, 5), []int32{int32(p), int32(s.Texts), int32(s.Spans), int32(s.Tokens), int32(s.Pictures)})
	a := spanArrays{
		tokens: b.Int32s(Tokens, p*s.Tokens), targets: b.Int32s(Targets, p*s.Tokens), positions: b.Int32s(Positions, p*s.Tokens),
		ends: b.Int32s(Ends, p*s.ends()), bounds: b.Int32s(Bounds, 2*p*s.Spans),
		slots: b.Int32s(slots, p*s.Tokens), pixels: b.Float32s(Images, p*s.Pictures*c.Vision.Pixels()),
	}
	for i, texts := range parts {
		if err := a.part(i, p).lay(c, s, texts); err != nil {
			return err
		}
	}
	return nil
}

// spanArrays are the arrays of a batch, or of one of its parts.
type spanArrays struct {
	tokens, targets, positions, ends, bounds, slots []int32
	pixels                                          []float32
}

// part are the arrays of part i of n.
func (a spanArrays) part(i, n int) spanArrays {
	return spanArrays{
		nth(a.tokens, i, n), nth(a.targets, i, n), nth(a.positions, i, n), nth(a.ends, i, n), nth(a.bounds, i, n), nth(a.slots, i, n), nth(a.pixels, i, n),
	}
}

// nth is part i of n equal ones.
func nth[T any](x []T, i, n int) []T {
	size := len(x) / n
	return x[i*size : (i+1)*size]
}

func (a spanArrays) lay(c model.Config, s SpanShape, texts []SpanText) error {
	if len(texts) > s.Texts {
		return fmt.Errorf("a part of the batch has %d texts, its room is for %d", len(texts), s.Texts)
	}
	clear(a.bounds)
	at, spans := 0, 0
	pictures := newGallery(c)
	for i, t := range texts {
		if err := checkPictures(c, t.given(), t.Pictures); err != nil {
			return err
		}
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
		pictures.hang(a.tokens[at:at+len(t.Tokens)], a.slots[at:at+len(t.Tokens)], t.Pictures)
		at += len(t.Tokens)
		a.ends[i+1] = int32(at)
	}
	if n := len(pictures.places); n > s.Pictures {
		return fmt.Errorf("the texts of a part of the batch show %d pictures, its room is for %d", n, s.Pictures)
	}
	clear(a.pixels[copy(a.pixels, pictures.pixels):])
	for k := at; k < s.Tokens; k++ {
		a.tokens[k], a.targets[k], a.positions[k], a.slots[k] = c.Text.Special.Pad, device.IgnoreIndex, 0, -1
	}
	a.ends[0] = 0
	for i := len(texts) + 1; i < len(a.ends); i++ {
		a.ends[i] = int32(s.Tokens)
	}
	return nil
}

// readSpans takes the arrays of a batch. What kernels do not check is checked here.
func readSpans(b *training.Batch, c model.Config) (s SpanShape, parts int, a spanArrays, err error) {
	room, err := b.ReadInt32s(Room, 5)
	if err != nil {
		return s, 0, a, err
	}
	parts, s = int(room[0]), SpanShape{Texts: int(room[1]), Spans: int(room[2]), Tokens: int(room[3]), Pictures: int(room[4])}
	for _, f := range []struct {
		to   *[]int32
		name string
		n    int
	}{
		{&a.tokens, Tokens, s.Tokens},
		{&a.targets, Targets, s.Tokens},
		{&a.positions, Positions, s.Tokens},
		{&a.ends, Ends, s.ends()},
		{&a.bounds, Bounds, 2 * s.Spans},
		{&a.slots, slots, s.Tokens},
	} {
		if *f.to, err = b.ReadInt32s(f.name, parts*f.n); err != nil {
			return s, 0, a, err
		}
	}
	if a.pixels, err = b.ReadFloat32s(Images, parts*s.Pictures*c.Vision.Pixels()); err != nil {
		return s, 0, a, err
	}
	if err := errors.Join(a.checkTokens(c, s), checkTargets(a.targets, c.Text.Vocab)); err != nil {
		return s, 0, a, err
	}
	if p := slices.Max(a.positions); slices.Min(a.positions) < 0 || int(p) >= c.Text.Context {
		return s, 0, a, fmt.Errorf("a text of the batch has a token at %d, the model's context is %d", p, c.Text.Context)
	}
	return s, parts, a, nil
}

// checkTokens looks for tokens, and rows of pictures, that there are not.
func (a spanArrays) checkTokens(c model.Config, s SpanShape) error {
	most := int32(0)
	if s.Pictures > 0 {
		most = int32(s.Pictures * c.ImageTokens())
	}
	for i, id := range a.tokens {
		if a.slots[i] >= most || a.slots[i] < -1 {
			return fmt.Errorf("token %d of the batch is row %d of the pictures, of %d", i, a.slots[i], most)
		}
		if a.slots[i] < 0 && (id < 0 || int(id) >= c.Text.Vocab) {
			return fmt.Errorf("token %d of the batch is %d, outside the vocabulary of %d", i, id, c.Text.Vocab)
		}
	}
	return nil
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
