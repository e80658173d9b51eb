package model

// Kind is what a model is for.
type Kind string

// The kinds of model.
const (
	CLIP Kind = "clip" // image and text encoders
	BLIP Kind = "blip" // the same, with matching and captioning on shared weights
	LM   Kind = "lm"   // a decoder alone
	VLM  Kind = "vlm"  // an image encoder, a projector and a decoder (LLaVA, Liu et al. 2023)
)

// Loss is how a clip model contrasts the pairs of a batch.
type Loss string

// The losses.
const (
	Softmax Loss = "softmax" // CLIP (Radford et al. 2021)
	Sigmoid Loss = "sigmoid" // SigLIP (Zhai et al. 2023)
)

// Form is the structure of a text tower: what the layers consist of.
type Form string

// The forms. Each is a set of defaults: what a configuration gives besides holds.
const (
	// GPT2: layer norm, learned positions, plain MLP, biases (Radford et al. 2019).
	GPT2 Form = "gpt2"
	// Llama: RMS norm, rotary positions, gated MLP, no biases (Touvron et al. 2023).
	Llama Form = "llama"
	// Qwen2: as Llama, with biases on queries, keys and values (Yang et al. 2024).
	Qwen2 Form = "qwen2"
)

// VisionForm is the structure of a vision tower.
type VisionForm string

// The forms. Each is a set of defaults: what a configuration gives besides holds.
const (
	// ViT: patches with a bias, learned positions, a norm at the end (Dosovitskiy et al. 2021).
	ViT VisionForm = "vit"
	// CLIPVision: a class token, no bias on patches, a norm before the blocks, quick GELU (Radford et al. 2021).
	CLIPVision VisionForm = "clip"
	// SigLIPVision: pooled by attention, whose result is the feature: no projection (Zhai et al. 2023).
	SigLIPVision VisionForm = "siglip"
	// MoonViT: images of any size, packed; learned positions resized to the image,
	// and rotary ones in two dimensions (Kimi-VL, Moonshot 2025).
	MoonViT VisionForm = "moonvit"
)

// Pool is how a sequence becomes one vector.
type Pool string

// The ways to pool.
const (
	Mean      Pool = "mean"      // over the tokens that are not padding
	First     Pool = "first"     // the first token; of an image, a class token
	Last      Pool = "last"      // the last token that is not padding
	End       Pool = "end"       // of a text: the last token of the context, padding being tokens like others, to attention too (SigLIP)
	Attention Pool = "attention" // of an image: a learned query attends to the patches, an MLP follows
)

// Activation is the function within the MLPs.
type Activation string

// The activations.
const (
	GELU      Activation = "gelu"       // exact
	GELUTanh  Activation = "gelu_tanh"  // the approximation that GPT-2 uses
	QuickGELU Activation = "quick_gelu" // x sigmoid(1.702 x), as CLIP was trained
	SiLU      Activation = "silu"       // x sigmoid(x)
)

// Norm is how the rows of a text tower are normalised.
type Norm string

// The norms.
const (
	LayerNorm Norm = "layer_norm" // with a bias
	RMSNorm   Norm = "rms_norm"   // without
)

// Position is how a text tower knows the order of tokens.
type Position string

// The positions.
const (
	Learned Position = "learned" // a table, added to the tokens
	Rotary  Position = "rope"    // queries and keys turn
)

// MLP is the form of a text tower's MLPs.
type MLP string

// The forms of MLP.
const (
	Plain MLP = "plain" // down(f(up x))
	Gated MLP = "gated" // down(silu(gate x) up x): SwiGLU (Shazeer 2020)
)

// Bias says which linear layers of a decoder have one.
type Bias string

// The biases.
const (
	AllBias Bias = "all"  // each but the head
	QKVBias Bias = "qkv"  // queries, keys and values
	NoBias  Bias = "none" // no one
)
