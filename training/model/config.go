package model

import (
	"encoding/json"
	"fmt"
)

// Config describes a model. Kind, Text.Vocab and Text.Context must be given (and
// Vision.Image where there is an image); Width is the dial that sizes the rest,
// Text.Form and Vision.Form are those of the structure, and every number that is
// left 0 follows from them, see Resolve.
type Config struct {
	Kind  Kind `json:"kind"`
	Width int  `json:"width"`
	Embed int  `json:"embed,omitempty"` // width of the common space of images and texts
	Loss  Loss `json:"loss,omitempty"`  // clip: how pairs are contrasted
	// LogitBias is where the bias of a sigmoid loss starts: -10, which suits large
	// batches; -ln(B-1) suits a small batch B, since of its B² pairs B are positive.
	LogitBias  float64    `json:"logit_bias,omitempty"`
	Activation Activation `json:"activation,omitempty"`
	Vision     Vision     `json:"vision,omitzero"`
	Projector  Projector  `json:"projector,omitzero"`
	Text       Text       `json:"text"`
	LoRA       *LoRA      `json:"lora,omitempty"`  // nil: none
	Score      *Score     `json:"score,omitempty"` // lm, vlm: a head that judges; nil: none
}

// Vision describes the vision transformer. A Size names the numbers of a published
// one, see Sizes; each can still be given.
type Vision struct {
	Form        VisionForm `json:"form,omitempty"`
	Size        string     `json:"size,omitempty"`
	Image       int        `json:"image"` // side in pixels of the (square) images, which have three channels; moonvit: of the images that are not packed
	Patch       int        `json:"patch"` // side in pixels
	Width       int        `json:"width"`
	Layers      int        `json:"layers"`
	Heads       int        `json:"heads"`
	Hidden      int        `json:"hidden"` // width within an MLP
	Pool        Pool       `json:"pool"`   // mean, first or attention
	PositionStd float64    `json:"position_std"`
	NormEps     float64    `json:"norm_eps,omitempty"`
	Activation  Activation `json:"activation,omitempty"`
	PreNorm     bool       `json:"pre_norm,omitempty"`      // a norm between the positions and the first block
	NoPatchBias bool       `json:"no_patch_bias,omitempty"` // the patches' projection has no bias
	// Mean and Std of the pixels' channels, in 0..1: what the model sees is (pixel -
	// Mean) / Std. Without them, both are a half: numbers from -1 to 1.
	Mean [3]float64 `json:"mean,omitzero"`
	Std  [3]float64 `json:"std,omitzero"`
	// Of moonvit: Grid is the side of the table of learned positions, which is
	// resized to each image, Side the most patches along a side of an image, Rope
	// turns by the row and the column of a patch.
	Grid int  `json:"grid,omitempty"`
	Side int  `json:"side,omitempty"`
	Rope Rope `json:"rope,omitzero"`
}

// Projector takes an image's patches to the language model (Kimi-VL, Moonshot 2025):
// a norm, squares of Merge x Merge patches joined, a linear layer, an activation and
// a linear layer.
type Projector struct {
	Merge      int        `json:"merge"`  // 1: each patch is a token
	Hidden     int        `json:"hidden"` // width within
	Activation Activation `json:"activation"`
	NormEps    float64    `json:"norm_eps"`
}

// Text describes the text encoder, and the decoder that shares its weights.
type Text struct {
	Form        Form       `json:"form,omitempty"`
	Vocab       int        `json:"vocab"`
	Context     int        `json:"context"` // the most tokens of a text
	Width       int        `json:"width"`
	Layers      int        `json:"layers"`
	Heads       int        `json:"heads"`
	KVHeads     int        `json:"kv_heads,omitempty"`   // heads of keys and values, each shared by Heads/KVHeads heads of queries
	HeadWidth   int        `json:"head_width,omitempty"` // of one head
	Hidden      int        `json:"hidden"`
	Pool        Pool       `json:"pool"`
	Causal      bool       `json:"causal,omitempty"`   // clip: the encoder looks back only
	TieHead     bool       `json:"tie_head,omitempty"` // the language head is the token table
	Special     Special    `json:"special"`            // ids of the tokens with a meaning
	TokenStd    float64    `json:"token_std"`          // of the initial token table
	PositionStd float64    `json:"position_std"`       // of the initial positions
	Norm        Norm       `json:"norm,omitempty"`
	NormEps     float64    `json:"norm_eps,omitempty"`
	Position    Position   `json:"position,omitempty"`
	Rope        Rope       `json:"rope,omitzero"`
	MLP         MLP        `json:"mlp,omitempty"`
	Activation  Activation `json:"activation,omitempty"`
	Bias        Bias       `json:"bias,omitempty"`
	Experts     *Experts   `json:"experts,omitempty"` // nil: every layer is dense
}

// Special are the ids of special tokens. A text is BOS, its words, EOS, padding.
// Matching replaces the first token by ENC. Image stands for one patch, or one
// square of them, of an image in the text of a vlm.
type Special struct {
	Pad   int32 `json:"pad"`
	BOS   int32 `json:"bos"`
	EOS   int32 `json:"eos"`
	ENC   int32 `json:"enc"`
	Image int32 `json:"image,omitempty"`
}

// DefaultSpecial are the ids that tokenizers here give to special tokens.
func DefaultSpecial() Special { return Special{Pad: 0, BOS: 1, EOS: 2, ENC: 3} }

// Patches is the number of patches of an image.
func (v Vision) Patches() int { return v.GridSide() * v.GridSide() }

// GridSide is the number of patches along a side of an image.
func (v Vision) GridSide() int { return v.Image / v.Patch }

// ClassToken tells whether a learned token precedes the patches.
func (v Vision) ClassToken() bool { return v.Pool == First }

// Tokens is the number of vectors that an image becomes.
func (v Vision) Tokens() int {
	if v.ClassToken() {
		return v.Patches() + 1
	}
	return v.Patches()
}

// Normalization is Mean and Std for pixels in 0..255; zero where they are not given.
func (v Vision) Normalization() (mean, std [3]float32) {
	for i := range mean {
		mean[i], std[i] = float32(255*v.Mean[i]), float32(255*v.Std[i])
	}
	return mean, std
}

// Pixels is the number of values of an image.
func (v Vision) Pixels() int { return 3 * v.Image * v.Image }

// ImageTokens is the number of tokens that an image takes in the text of a vlm.
func (c Config) ImageTokens() int {
	return c.Vision.Patches() / (c.Projector.Merge * c.Projector.Merge)
}

// Sparse tells whether layer l has experts.
func (t Text) Sparse(l int) bool { return t.Experts != nil && l >= t.Experts.Dense }

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
