package objective

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Noise disturbs the embeddings of training texts (NEFTune, Jain et al. 2023): to those of a text of L tokens of width C, uniform numbers up to
// Alpha / sqrt(L C) are added, others in each step. They are a function of the seed and the step. 0: none.
type Noise struct {
	Alpha float64
	Seed  uint64
}

// noiseInput names the input of a graph that takes noise.
const noiseInput = "noise"

// fill draws the noise of micro-batch part of a step, whose texts end where ends says; nil: each row is a text.
func (n Noise) fill(out []float32, step int64, part int, s noisyShape) []float32 {
	out = slices.Grow(out[:0], s.tokens*s.width)[:s.tokens*s.width]
	r := rand.New(rand.NewPCG(n.Seed, uint64(step)<<16|uint64(part)))
	at := 0
	for _, end := range s.bounds() {
		bound := n.Alpha / math.Sqrt(float64(max(1, end-at)*s.width))
		for i := at * s.width; i < end*s.width; i++ {
			out[i] = float32(bound * (2*r.Float64() - 1))
		}
		at = end
	}
	return out
}

// noisyShape is the tokens of a micro-batch.
type noisyShape struct {
	tokens, row, width int
	ends               []int32
}

func (s noisyShape) bounds() []int {
	var bounds []int
	for _, e := range s.ends {
		bounds = append(bounds, int(e))
	}
	if s.ends == nil {
		for e := s.row; e <= s.tokens; e += s.row {
			bounds = append(bounds, e)
		}
	}
	return bounds
}
