package objective

import (
	"errors"
	"fmt"
	"math"

	"tempera/training/graph"
	"tempera/training/op"
)

// AngularMargin is a softmax over classes by the angle to each class's weight, in which the
// right class must win by a margin. With the angle theta of the right class, its
// logit is Scale times
//
//	cos(Times theta + Plus) - Minus
//
// and that of the others Scale times their cosine: NormFace (Wang et al. 2017) has no
// margin, SphereFace (Liu et al. 2017) has Times, ArcFace (Deng et al. 2019) Plus,
// CosFace (Wang et al. 2018) Minus.
//
// Where Times is above 1, the cosine is continued to (-1)^k cos(Times theta) - 2k,
// which falls over the whole half turn. Where theta + Plus passes a half turn, it is
// cos(theta) - Plus sin(Plus) from there on, which is less, or, where Easy is set, the margin holds
// only where the cosine is positive. SphereFace's annealing of the margin is left out.
type AngularMargin struct {
	Scale float64 `json:"scale"`
	Times int     `json:"times,omitempty"` // 0 is 1
	Plus  float64 `json:"plus,omitempty"`
	Minus float64 `json:"minus,omitempty"`
	Easy  bool    `json:"easy,omitempty"`
}

// NormFace is that of its paper, as are those below. Few classes, or small batches,
// want a scale of 16 to 32.
func NormFace() AngularMargin { return AngularMargin{Scale: 30} }

// SphereFace multiplies the angle.
func SphereFace() AngularMargin { return AngularMargin{Scale: 30, Times: 4} }

// CosFace lowers the cosine.
func CosFace() AngularMargin { return AngularMargin{Scale: 64, Minus: 0.35} }

// ArcFace widens the angle.
func ArcFace() AngularMargin { return AngularMargin{Scale: 64, Plus: 0.5} }

// Validate returns all faults at once.
func (m AngularMargin) Validate() error {
	var faults []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	add(!(m.Scale > 0), "scale is %v: give a positive number, such as 30", m.Scale)
	add(m.Times < 0, "times is %d: give 1 or more", m.Times)
	add(m.Times > 1 && (m.Plus != 0 || m.Easy), "times and plus are both given: give one margin of the angle")
	add(!(m.Plus >= 0 && m.Plus < math.Pi), "plus is %v: give an angle from 0 to below pi, such as 0.5", m.Plus)
	add(!(m.Minus >= 0 && m.Minus <= 2), "minus is %v: give 0 to 2, such as 0.35", m.Minus)
	return errors.Join(faults...)
}

// MarginCosines are the cosines (B, K) of embeddings (B, C) and the weights of classes
// (K, C), which AngularMargin.Loss takes.
func MarginCosines(g *graph.Graph, embeddings, classes *graph.Node) *graph.Node {
	return op.MatMulT(g, op.L2Normalize(g, embeddings), op.L2Normalize(g, classes))
}

// Logits writes those of cosines (B, K), whose right classes labels tells. Cosines are
// held to a little less than 1.
func (m AngularMargin) Logits(cosines []float64, labels []int32, out []float64) {
	k := len(cosines) / len(labels)
	for i, c := range cosines {
		c = clampCosine(c)
		if int(labels[i/k]) == i%k {
			c, _ = m.target(c)
		}
		out[i] = m.Scale * c
	}
}

// Loss is the mean cross-entropy of the logits of cosines (B, K). It adds its gradient
// with respect to the cosines to grad.
func (m AngularMargin) Loss(cosines []float64, labels []int32, grad []float64) float64 {
	k, sum := len(cosines)/len(labels), 0.0
	logits := make([]float64, len(cosines))
	m.Logits(cosines, labels, logits)
	for i, label := range labels {
		row := logits[i*k : (i+1)*k]
		top, total := math.Inf(-1), 0.0
		for _, v := range row {
			top = math.Max(top, v)
		}
		for _, v := range row {
			total += math.Exp(v - top)
		}
		sum += (top + math.Log(total) - row[label]) / float64(len(labels))
		for j, v := range row {
			slope := math.Exp(v-top) / total
			at := cosines[i*k+j]
			if clampCosine(at) != at {
				continue
			}
			if j == int(label) {
				_, steep := m.target(at)
				slope = (slope - 1) * steep
			}
			grad[i*k+j] += m.Scale * slope / float64(len(labels))
		}
	}
	return sum
}

// target is what a cosine of the right class becomes, and its slope.
func (m AngularMargin) target(cos float64) (value, slope float64) {
	theta := math.Acos(cos)
	sin := math.Sin(theta)
	switch {
	case m.Times > 1:
		times := float64(m.Times)
		k := math.Floor(times * theta / math.Pi)
		sign := 1 - 2*math.Mod(k, 2)
		return sign*math.Cos(times*theta) - 2*k - m.Minus, sign * times * math.Sin(times*theta) / sin
	case m.Easy && cos <= 0:
		return cos, 1
	case !m.Easy && m.Plus > 0 && theta+m.Plus >= math.Pi:
		return cos - m.Plus*math.Sin(m.Plus) - m.Minus, 1
	}
	return math.Cos(theta+m.Plus) - m.Minus, math.Sin(theta+m.Plus) / sin
}

// clampCosine keeps the slope of an angle finite.
func clampCosine(c float64) float64 { return math.Min(math.Max(c, -1+1e-7), 1-1e-7) }
