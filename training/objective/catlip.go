package objective

import "math"

// CatLIP (Mehta et al. 2024) learns images from captions as several labels at once:
// the classes are frequent nouns, and a caption's are those that it names. The loss is
// the binary cross-entropy of logits (B, K) against targets of 0 and 1, or between,
// averaged over images and classes. It adds its gradient to grad.
//
// Deviation: the paper's code sums over classes; this is that sum divided by K, so
// that the rate does not depend on the vocabulary.
func CatLIP(logits, targets, grad []float64) float64 {
	sum, n := 0.0, float64(len(logits))
	for i, x := range logits {
		// -t log sigmoid(x) - (1-t) log sigmoid(-x), without overflow
		sum += (math.Max(x, 0) - x*targets[i] + math.Log1p(math.Exp(-math.Abs(x)))) / n
		grad[i] += (1/(1+math.Exp(-x)) - targets[i]) / n
	}
	return sum
}
