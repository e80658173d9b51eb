package objective

import (
	"errors"
	"fmt"
	"math/bits"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
)

// inlineRoom is the room of a graph for texts that lie one after the other in a row and show pictures.
type inlineRoom struct {
	tokens, ends int
	pictures     int // 0: the texts show none
}

// inlineTexts are such texts in a graph.
type inlineTexts struct {
	texts    model.Texts
	pictures *graph.Node // (N, 3, H, W), squares; nil: none
	targets  *graph.Node
}

func inlineInput(g *graph.Graph, m *model.Model, r inlineRoom) inlineTexts {
	in := inlineTexts{
		texts: model.Texts{
			Tokens: g.Input(Tokens, device.Int32, 1, r.tokens), Positions: g.Input(Positions, device.Int32, 1, r.tokens), Ends: g.Input(Ends, device.Int32, r.ends),
		},
		targets: g.Input(Targets, device.Int32, 1, r.tokens),
	}
	if r.pictures > 0 {
		in.texts.Slots, in.pictures = g.Input(slots, device.Int32, 1, r.tokens), imageInput(g, m, r.pictures)
	}
	return in
}

// decode lets a model read the texts. Each model sees the pictures by its own tower.
func (in inlineTexts) decode(g *graph.Graph, m *model.Model) model.Decoded {
	t := in.texts
	if in.pictures != nil {
		t.Patches = m.ProjectImages(g, m.VisionStates(g, in.pictures))
	}
	return m.Decode(g, t, nil)
}

// gallery is the pictures of texts that pass a model together: each once, however many texts show it.
type gallery struct {
	config model.Config
	places map[*float32]int32 // by a picture's first value
	pixels []float32
}

func newGallery(c model.Config) *gallery {
	return &gallery{config: c, places: map[*float32]int32{}}
}

// hang gives the pictures of a text their places. words are its tokens, of which those that stand for pictures become -1; slots says which row of
// which picture stands there, -1 elsewhere. The text must pass checkPictures.
func (a *gallery) hang(words, slots []int32, pictures [][]float32) {
	for i := range slots {
		slots[i] = -1
	}
	if len(pictures) == 0 {
		return
	}
	each := int32(a.config.ImageTokens())
	seen := int32(0)
	for i, id := range words {
		if int(seen/each) == len(pictures) {
			return
		}
		if id == a.config.Text.Special.Image {
			words[i], slots[i] = -1, a.place(pictures[seen/each])*each+seen%each
			seen++
		}
	}
}

func (a *gallery) place(picture []float32) int32 {
	at, known := a.places[&picture[0]]
	if !known {
		at = int32(len(a.places))
		a.places[&picture[0]] = at
		a.pixels = append(a.pixels, picture...)
	}
	return at
}

// roundPictures is the room of the graph that n pictures pass: a quarter more at most, so that there are few graphs.
func roundPictures(n int) int {
	step := 1 << max(0, bits.Len(uint(max(n, 1)-1))-3)
	return (n + step - 1) / step * step
}

// checkPictures looks at whether a text that is given shows its pictures, each by as many tokens as the model makes of it.
func checkPictures(c model.Config, text []int32, pictures [][]float32) error {
	if c.Kind != model.VLM {
		if len(pictures) > 0 {
			return fmt.Errorf("a text shows %d pictures, and a model of kind %s sees none", len(pictures), c.Kind)
		}
		return nil
	}
	var faults []error
	n := 0
	for _, id := range text {
		if id == c.Text.Special.Image {
			n++
		}
	}
	if want := len(pictures) * c.ImageTokens(); n != want {
		faults = append(faults, fmt.Errorf("a text has %d tokens that stand for pictures, and its %d pictures are %d tokens", n, len(pictures), want))
	}
	for i, p := range pictures {
		if len(p) != c.Vision.Pixels() {
			faults = append(faults, fmt.Errorf("picture %d of a text has %d values, want %d", i, len(p), c.Vision.Pixels()))
		}
	}
	return errors.Join(faults...)
}

// SameSight refuses models that do not take the pictures, or the place of them in texts, that another one takes.
func SameSight(a, b model.Config) error {
	if a.Kind != b.Kind {
		return fmt.Errorf("one model is of kind %s, the other of kind %s: give models of one kind", a.Kind, b.Kind)
	}
	if a.Kind != model.VLM {
		return nil
	}
	meanA, stdA := a.Vision.Normalization()
	meanB, stdB := b.Vision.Normalization()
	if a.Vision.Pixels() != b.Vision.Pixels() || meanA != meanB || stdA != stdB || a.ImageTokens() != b.ImageTokens() || a.Text.Special.Image != b.Text.Special.Image {
		return errors.New("the models take pictures of other sizes, or as other tokens: give models that see alike")
	}
	return nil
}
