package score

import (
	"fmt"
	"math"
)

// ZeroShot classifies features by the nearest prototype in cosine.
type ZeroShot struct {
	Width      int       // of features and prototypes
	Features   []float32 // (len(Labels), Width)
	Prototypes []float32 // (classes, Width), e.g. a text feature for each class
	Labels     []int     // the right class of each feature
}

// Correct returns 1 for each feature whose nearest prototype is its own class,
// else 0. Their mean is the accuracy. Equal cosines go to the lower class; a
// cosine that is not a number is never the nearest.
func (z ZeroShot) Correct() ([]float64, error) {
	if z.Width <= 0 || len(z.Features) != len(z.Labels)*z.Width || len(z.Prototypes)%z.Width != 0 || len(z.Prototypes) == 0 {
		return nil, fmt.Errorf("zero-shot: %d features and %d prototypes do not fit %d labels of width %d",
			len(z.Features), len(z.Prototypes), len(z.Labels), z.Width)
	}
	classes := len(z.Prototypes) / z.Width
	correct := make([]float64, len(z.Labels))
	for i, label := range z.Labels {
		if label < 0 || label >= classes {
			return nil, fmt.Errorf("zero-shot: label %d of sample %d: there are %d classes", label, i, classes)
		}
		nearest, best := -1, math.Inf(-1)
		for c := range classes {
			s := cosine(z.Features[i*z.Width:][:z.Width], z.Prototypes[c*z.Width:][:z.Width])
			if s > best {
				nearest, best = c, s
			}
		}
		if nearest == label {
			correct[i] = 1
		}
	}
	return correct, nil
}

func cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i, x := range a {
		x, y := float64(x), float64(b[i])
		dot += x * y
		aa += x * x
		bb += y * y
	}
	return dot / math.Sqrt(aa*bb)
}
