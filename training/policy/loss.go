package policy

import "math"

// Loss is that of a policy: of each token, weighted, Surrogate + Beta KL - Entropy H.
type Loss struct {
	Clip    Clip
	Beta    float64 // weight of the divergence from the reference
	KL      Estimator
	Entropy float64 // weight of the entropy bonus
}

// Tokens are what the loss takes of each token. Reference, Importance and Entropy may be nil.
type Tokens struct {
	LogProb    []float64 // logarithm of the probability under the policy that learns
	Old        []float64 // and before the update
	Reference  []float64 // and under the reference
	Advantage  []float64
	Weight     []float64 // in the loss of the batch
	Importance []float64 // correction of samples that are not the old policy's
	Entropy    []float64 // of the policy at the token
}

// Sums are what the loss saw. Those of parts of a batch add up.
type Sums struct {
	Loss     float64 // weighted
	Tokens   int
	Clipped  int     // tokens whose ratio the clip holds
	Moved    float64 // estimate of KL(old || new), summed over tokens
	KL       float64 // the estimate against the reference, summed over tokens
	Entropy  float64 // summed over tokens
	MaxRatio float64
}

// Add adds another part.
func (s *Sums) Add(o Sums) {
	s.Loss += o.Loss
	s.Tokens += o.Tokens
	s.Clipped += o.Clipped
	s.Moved += o.Moved
	s.KL += o.KL
	s.Entropy += o.Entropy
	s.MaxRatio = max(s.MaxRatio, o.MaxRatio)
}

// Gradient computes the loss. It writes its derivatives with respect to the logarithms of the probabilities and, unless dEntropy is nil, to the
// entropies.
func (l Loss) Gradient(t Tokens, dLogProb, dEntropy []float64) Sums {
	s := Sums{Tokens: len(t.LogProb)}
	for i, lp := range t.LogProb {
		ratio := math.Exp(lp - t.Old[i])
		loss, slope, clipped := l.Clip.Surrogate(ratio, t.Advantage[i])
		if t.Importance != nil {
			loss, slope = loss*t.Importance[i], slope*t.Importance[i]
		}
		if clipped {
			s.Clipped++
		}
		if t.Reference != nil {
			kl, d := l.KL.At(lp, t.Reference[i])
			loss, slope = loss+l.Beta*kl, slope+l.Beta*d
			s.KL += kl
		}
		if t.Entropy != nil {
			loss -= l.Entropy * t.Entropy[i]
			s.Entropy += t.Entropy[i]
			if dEntropy != nil {
				dEntropy[i] = -l.Entropy * t.Weight[i]
			}
		}
		s.Loss += t.Weight[i] * loss
		dLogProb[i] = t.Weight[i] * slope
		s.Moved += ratio - 1 - (lp - t.Old[i]) // samples are the old policy's: K3 with the sides exchanged
		s.MaxRatio = max(s.MaxRatio, ratio)
	}
	return s
}
