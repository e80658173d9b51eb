package model

import (
	"cmp"
	"math"
)

// Rope is a rotary position embedding (Su et al. 2021): pair i of a head of width D
// turns by position f(i), f(i) = Theta^(-2i/D) unless a scaling changes it.
type Rope struct {
	Theta   float64 `json:"theta"`
	Scaling Scaling `json:"scaling,omitzero"`
}

// ScalingType is how frequencies are changed to reach contexts longer than those of
// the first training.
type ScalingType string

// The scalings.
const (
	NoScaling     ScalingType = ""
	LinearScaling ScalingType = "linear"  // positions divided by Factor (Chen et al. 2023)
	DynamicNTK    ScalingType = "dynamic" // a larger Theta, computed once for the model's context
	Llama3Scaling ScalingType = "llama3"  // low frequencies divided by Factor, a smooth border (Llama 3.1)
	YaRN          ScalingType = "yarn"    // the same with a ramp between two numbers of rotations, and sharper attention (Peng et al. 2023)
)

// Scaling are the constants of a scaling, with the names and defaults of Hugging
// Face's rope_scaling.
type Scaling struct {
	Type            ScalingType `json:"type"`
	Factor          float64     `json:"factor"`
	OriginalContext int         `json:"original_context,omitempty"` // tokens of the first training: all but linear
	LowFreqFactor   float64     `json:"low_freq_factor,omitempty"`  // llama3; 1
	HighFreqFactor  float64     `json:"high_freq_factor,omitempty"` // llama3; 4
	BetaFast        float64     `json:"beta_fast,omitempty"`        // yarn; 32 rotations
	BetaSlow        float64     `json:"beta_slow,omitempty"`        // yarn; 1 rotation
	AttentionFactor float64     `json:"attention_factor,omitempty"` // yarn; 0.1 ln Factor + 1
}

func (s Scaling) resolve(context int) Scaling {
	if s.Type == NoScaling {
		return s
	}
	if s.Type != LinearScaling {
		s.OriginalContext = cmp.Or(s.OriginalContext, context)
	}
	switch s.Type {
	case Llama3Scaling:
		s.LowFreqFactor = cmp.Or(s.LowFreqFactor, 1)
		s.HighFreqFactor = cmp.Or(s.HighFreqFactor, 4)
	case YaRN:
		s.BetaFast = cmp.Or(s.BetaFast, 32)
		s.BetaSlow = cmp.Or(s.BetaSlow, 1)
		if s.Factor > 0 {
			s.AttentionFactor = cmp.Or(s.AttentionFactor, 0.1*math.Log(s.Factor)+1)
		}
	case NoScaling, LinearScaling, DynamicNTK: // have no constants of their own
	}
	return s
}

func (s Scaling) validate(f *faults) {
	f.oneOf("text.rope.scaling.type", string(s.Type), string(NoScaling), string(LinearScaling), string(DynamicNTK), string(Llama3Scaling), string(YaRN))
	if s.Type == NoScaling {
		if s != (Scaling{}) {
			f.add("text.rope.scaling has constants and no type: give one, such as %q", YaRN)
		}
		return
	}
	if !(s.Factor >= 1 && s.Factor <= 1e6) {
		f.add("text.rope.scaling.factor is %v: give 1 or more", s.Factor)
	}
	if s.Type != LinearScaling {
		f.positive("text.rope.scaling.original_context", s.OriginalContext)
	}
	if s.Type == Llama3Scaling && !(s.LowFreqFactor > 0 && s.HighFreqFactor > s.LowFreqFactor) {
		f.add("text.rope.scaling has low_freq_factor %v and high_freq_factor %v: give positive numbers, the second higher", s.LowFreqFactor, s.HighFreqFactor)
	}
	if s.Type == YaRN && !(s.BetaSlow > 0 && s.BetaFast > s.BetaSlow && s.AttentionFactor > 0) {
		f.add("text.rope.scaling has beta_slow %v, beta_fast %v and attention_factor %v: give positive numbers, beta_fast the higher", s.BetaSlow, s.BetaFast, s.AttentionFactor)
	}
}

// Rotation is what a rotary embedding needs besides positions: the frequencies of a
// head's pairs, in radians per token, and the factor that sines and cosines take.
type Rotation struct {
	Frequencies []float64
	Magnitude   float64
}

// Rotation computes the rotary embedding of the text tower of a resolved
// configuration, as Hugging Face's modeling_rope_utils does. Training and decoding
// use this one. Dynamic NTK is computed for sequences of Context tokens, whatever
// the length of a text, so that cached keys stay valid.
func (t Text) Rotation() Rotation { return t.Rope.rotation(t.HeadWidth, t.Context) }

func (r Rope) rotation(width, context int) Rotation {
	s, theta := r.Scaling, r.Theta
	if s.Type == DynamicNTK && context > s.OriginalContext {
		grown := s.Factor*float64(context)/float64(s.OriginalContext) - (s.Factor - 1)
		theta *= math.Pow(grown, float64(width)/float64(width-2))
	}
	out := Rotation{Frequencies: make([]float64, width/2), Magnitude: 1}
	for i := range out.Frequencies {
		out.Frequencies[i] = math.Pow(theta, -2*float64(i)/float64(width))
	}
	switch s.Type {
	case LinearScaling:
		for i := range out.Frequencies {
			out.Frequencies[i] /= s.Factor
		}
	case Llama3Scaling:
		for i, f := range out.Frequencies {
			out.Frequencies[i] = s.llama3(f)
		}
	case YaRN:
		low, high := s.yarnBorder(s.BetaFast, width, theta), s.yarnBorder(s.BetaSlow, width, theta)
		low, high = math.Max(math.Floor(low), 0), math.Min(math.Ceil(high), float64(width-1))
		if low == high {
			high += 0.001
		}
		for i, f := range out.Frequencies {
			ramp := math.Min(math.Max((float64(i)-low)/(high-low), 0), 1)
			out.Frequencies[i] = f/s.Factor*ramp + f*(1-ramp)
		}
		out.Magnitude = s.AttentionFactor
	case NoScaling, DynamicNTK: // the frequencies are those of theta
	}
	return out
}

// llama3 keeps waves shorter than OriginalContext/HighFreqFactor, stretches those
// longer than OriginalContext/LowFreqFactor, and blends between.
func (s Scaling) llama3(f float64) float64 {
	turns := float64(s.OriginalContext) * f / (2 * math.Pi)
	switch {
	case turns > s.HighFreqFactor:
		return f
	case turns < s.LowFreqFactor:
		return f / s.Factor
	}
	smooth := (turns - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
	return (1-smooth)*f/s.Factor + smooth*f
}

// yarnBorder is the pair, not rounded, that makes a number of rotations within the
// original context.
func (s Scaling) yarnBorder(rotations float64, width int, theta float64) float64 {
	return float64(width) * math.Log(float64(s.OriginalContext)/(rotations*2*math.Pi)) / (2 * math.Log(theta))
}
