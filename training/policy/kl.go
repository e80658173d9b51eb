package policy

import "math"

// Estimator estimates KL(pi || reference) from a token that pi sampled (Schulman 2020, "Approximating KL divergence").
type Estimator string

// The estimators, with d = log pi - log reference.
const (
	K1 Estimator = "k1" // d: without bias, of either sign
	K2 Estimator = "k2" // d^2 / 2
	K3 Estimator = "k3" // e^-d + d - 1: without bias, never negative
)

// At is the estimate at a token and its derivative with respect to log pi.
func (e Estimator) At(logProb, reference float64) (kl, slope float64) {
	d := logProb - reference
	switch e {
	case K1:
		return d, 1
	case K2:
		return d * d / 2, d
	default:
		x := math.Exp(-d)
		return x + d - 1, 1 - x
	}
}

// KLControl steers the weight of the KL divergence towards a target (Ziegler et al. 2019).
type KLControl struct {
	Target  float64 // nats of a sequence; 0: the weight is fixed
	Horizon float64 // samples over which the weight changes by a tenth where the divergence is off by as much
}

// Next is the weight after a batch of samples with a divergence. It changes by a fifth of samples / Horizon at most.
func (c KLControl) Next(beta, kl float64, samples int) float64 {
	if c.Target == 0 {
		return beta
	}
	off := min(max(kl/c.Target-1, -0.2), 0.2)
	return beta * (1 + off*float64(samples)/c.Horizon)
}
