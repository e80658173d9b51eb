package model

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
)

// Kind is what a model is for.
type Kind string

// The kinds of model.
const (
	CLIP Kind = "clip" // image and text encoders
	BLIP Kind = "blip" // the same, with matching and captioning on shared weights
	LM   Kind = "lm"   // a decoder alone, in the form of GPT-2
)

// Pool is how a sequence becomes one vector.
type Pool string

// The ways to pool.
const (
	Mean  Pool = "mean"  // over the tokens that are not padding
	First Pool = "first" // the first token; of an image, a class token
	Last  Pool = "last"  // the last token that is not padding
)

// Activation is the function within the MLPs.
type Activation string

// The activations.
const (
	GELU     Activation = "gelu"      // exact
	GELUTanh Activation = "gelu_tanh" // the approximation that GPT-2 uses
)

// Config describes a model. Kind, Text.Vocab and Text.Context must be given (and
// Vision.Image where there is an image); Width is the dial that sizes the rest,
// and every number that is left 0 follows from it, see Resolve.
type Config struct {
	Kind       Kind       `json:"kind"`
	Width      int        `json:"width"`
	Embed      int        `json:"embed,omitempty"` // width of the common space of images and texts
	Activation Activation `json:"activation,omitempty"`
	Vision     Vision     `json:"vision,omitzero"`
	Text       Text       `json:"text"`
}

// Vision describes the vision transformer.
type Vision struct {
	Image       int     `json:"image"` // side in pixels; images are square, with three channels
	Patch       int     `json:"patch"` // side in pixels
	Width       int     `json:"width"`
	Layers      int     `json:"layers"`
	Heads       int     `json:"heads"`
	Hidden      int     `json:"hidden"` // width within an MLP
	Pool        Pool    `json:"pool"`   // mean or first
	PositionStd float64 `json:"position_std"`
}

// Text describes the text encoder, and the decoder that shares its weights.
type Text struct {
	Vocab       int     `json:"vocab"`
	Context     int     `json:"context"` // the most tokens of a text
	Width       int     `json:"width"`
	Layers      int     `json:"layers"`
	Heads       int     `json:"heads"`
	Hidden      int     `json:"hidden"`
	Pool        Pool    `json:"pool"`
	Causal      bool    `json:"causal,omitempty"`   // clip: the encoder looks back only
	TieHead     bool    `json:"tie_head,omitempty"` // the language head is the token table
	Special     Special `json:"special"`            // ids of the tokens with a meaning
	TokenStd    float64 `json:"token_std"`          // of the initial token table
	PositionStd float64 `json:"position_std"`       // of the initial positions
}

// Special are the ids of special tokens. A text is BOS, its words, EOS, padding.
// Matching replaces the first token by ENC.
type Special struct {
	Pad int32 `json:"pad"`
	BOS int32 `json:"bos"`
	EOS int32 `json:"eos"`
	ENC int32 `json:"enc"`
}

// DefaultSpecial are the ids that tokenizers here give to special tokens.
func DefaultSpecial() Special { return Special{Pad: 0, BOS: 1, EOS: 2, ENC: 3} }

// Resolve fills in what is 0 and returns the configuration in full. It changes
// nothing that is given, and resolving twice is resolving once. From a width C
// follow C/64+2 layers (at most 12), heads of width 16 (C up to 128), 32 (up to
// 384) or 64, and MLPs of 4 C.
func (c Config) Resolve() Config {
	c.Width = cmp.Or(c.Width, 64)
	c.Activation = cmp.Or(c.Activation, GELU)
	t := &c.Text
	t.Width = cmp.Or(t.Width, c.Width)
	t.Layers = cmp.Or(t.Layers, layersOf(t.Width))
	t.Heads = cmp.Or(t.Heads, headsOf(t.Width))
	t.Hidden = cmp.Or(t.Hidden, 4*t.Width)
	t.Pool = cmp.Or(t.Pool, Mean)
	t.Special = cmp.Or(t.Special, DefaultSpecial())
	tokenStd := 0.1
	if c.Kind == LM {
		tokenStd = 0.02
	}
	t.TokenStd = cmp.Or(t.TokenStd, tokenStd)
	t.PositionStd = cmp.Or(t.PositionStd, 0.02)
	if !c.images() {
		return c
	}
	c.Embed = cmp.Or(c.Embed, c.Width)
	v := &c.Vision
	v.Patch = cmp.Or(v.Patch, 4)
	v.Width = cmp.Or(v.Width, c.Width)
	v.Layers = cmp.Or(v.Layers, layersOf(v.Width))
	v.Heads = cmp.Or(v.Heads, headsOf(v.Width))
	v.Hidden = cmp.Or(v.Hidden, 4*v.Width)
	v.Pool = cmp.Or(v.Pool, Mean)
	v.PositionStd = cmp.Or(v.PositionStd, 0.1)
	return c
}

func layersOf(width int) int { return min(max(width/64+2, 2), 12) }

func headsOf(width int) int {
	head := 64
	switch {
	case width <= 128:
		head = 16
	case width <= 384:
		head = 32
	}
	return max(width/head, 1)
}

// images tells whether the model has an image tower.
func (c Config) images() bool { return c.Kind != LM }

// Patches is the number of patches of an image.
func (v Vision) Patches() int { return (v.Image / v.Patch) * (v.Image / v.Patch) }

// Tokens is the number of vectors that an image becomes.
func (v Vision) Tokens() int {
	if v.Pool == First {
		return v.Patches() + 1
	}
	return v.Patches()
}

// Pixels is the number of values of an image.
func (v Vision) Pixels() int { return 3 * v.Image * v.Image }

// Validate returns all faults of a resolved configuration at once.
func (c Config) Validate() error {
	var f faults
	f.oneOf("kind", string(c.Kind), string(CLIP), string(BLIP), string(LM))
	f.oneOf("activation", string(c.Activation), string(GELU), string(GELUTanh))
	c.Text.validate(&f)
	if c.images() {
		c.Vision.validate(&f)
		f.positive("embed", c.Embed)
	}
	if c.Kind == BLIP && c.Text.Causal {
		f.add("text.causal is for clip: blip has an encoder that looks both ways and a decoder; remove it")
	}
	if f.none() && c.parameters() > maxParameters {
		f.add("the model has %d parameters, more than the %d that are supported: lower width or text.vocab", c.parameters(), maxParameters)
	}
	return f.err()
}

// maxParameters keeps a mistyped size from being allocated.
const maxParameters = 4 << 30

func (v Vision) validate(f *faults) {
	f.positive("vision.image", v.Image)
	f.positive("vision.patch", v.Patch)
	if v.Patch > 0 && v.Image > 0 && v.Image%v.Patch != 0 {
		f.add("vision.image is %d, not a multiple of vision.patch, %d: change one of them", v.Image, v.Patch)
	}
	f.tower("vision", v.Width, v.Layers, v.Heads, v.Hidden)
	f.oneOf("vision.pool", string(v.Pool), string(Mean), string(First))
	f.std("vision.position_std", v.PositionStd)
}

func (t Text) validate(f *faults) {
	f.positive("text.vocab", t.Vocab)
	f.positive("text.context", t.Context)
	f.tower("text", t.Width, t.Layers, t.Heads, t.Hidden)
	f.oneOf("text.pool", string(t.Pool), string(Mean), string(First), string(Last))
	f.std("text.token_std", t.TokenStd)
	f.std("text.position_std", t.PositionStd)
	for _, id := range []int32{t.Special.Pad, t.Special.BOS, t.Special.EOS, t.Special.ENC} {
		if id < 0 || int(id) >= t.Vocab {
			f.add("text.special has the id %d, outside the vocabulary of %d: give ids of the tokenizer", id, t.Vocab)
		}
	}
}

// faults collects what is wrong.
type faults []error

func (f *faults) none() bool { return len(*f) == 0 }
func (f *faults) err() error { return errors.Join(*f...) }

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (f *faults) positive(name string, v int) {
	if v < 1 || v > 1<<24 {
		f.add("%s is %d: give a number from 1 to %d", name, v, 1<<24)
	}
}

func (f *faults) oneOf(name, v string, allowed ...string) {
	for _, a := range allowed {
		if v == a {
			return
		}
	}
	f.add("%s is %q: use one of %q", name, v, allowed)
}

func (f *faults) std(name string, v float64) {
	if !(v > 0 && v <= 10) {
		f.add("%s is %v: give a standard deviation, such as 0.02", name, v)
	}
}

func (f *faults) tower(name string, width, layers, heads, hidden int) {
	f.positive(name+".width", width)
	f.positive(name+".layers", layers)
	f.positive(name+".heads", heads)
	f.positive(name+".hidden", hidden)
	if heads > 0 && width%heads != 0 {
		f.add("%s.width is %d, not a multiple of %s.heads, %d: change one of them", name, width, name, heads)
	}
}

// ParseConfig reads a configuration, resolves and validates it. Unknown keys are errors.
func ParseConfig(raw []byte) (Config, error) {
	var c Config
	if err := decodeStrict(raw, &c); err != nil {
		return Config{}, fmt.Errorf("model configuration: %w", err)
	}
	c = c.Resolve()
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("model configuration: %w", err)
	}
	return c, nil
}

// JSON is the configuration as it stands in files. Equal configurations give equal bytes.
func (c Config) JSON() ([]byte, error) { return json.Marshal(c) }
