package policy

import "math"

// whitenEpsilon keeps equal numbers from dividing by zero.
const whitenEpsilon = 1e-8

// Whiten gives numbers the mean 0 and the standard deviation 1 (that of the numbers themselves, not a sample's), in place.
func Whiten(x []float64) {
	if len(x) == 0 {
		return
	}
	n := float64(len(x))
	mean, squares := 0.0, 0.0
	for _, v := range x {
		mean += v / n
	}
	for _, v := range x {
		squares += (v - mean) * (v - mean)
	}
	scale := 1 / (math.Sqrt(squares/n) + whitenEpsilon)
	for i, v := range x {
		x[i] = (v - mean) * scale
	}
}
