package policy

// Clip bounds the ratio of new to old probability to [1-Low, 1+High] (PPO, Schulman et al. 2017); with a larger High tokens that were unlikely
// can become likelier (DAPO).
type Clip struct{ Low, High float64 }

// Surrogate is -min(rho A, clip(rho) A) of a token and its derivative with respect to the logarithm of the new probability. clipped tells that the
// bound holds: then there is no gradient.
func (c Clip) Surrogate(ratio, advantage float64) (loss, slope float64, clipped bool) {
	free := ratio * advantage
	held := min(max(ratio, 1-c.Low), 1+c.High) * advantage
	if held < free {
		return -held, 0, true
	}
	return -free, -free, false
}

// Value is max((v - R)^2, (clip(v) - R)^2) / 2, where v may leave the value that the advantages were estimated by as far as the clip, and
// its derivative with respect to v.
func Value(v, old, target, clip float64) (loss, slope float64, clipped bool) {
	bound := old + min(max(v-old, -clip), clip)
	free, held := (v-target)*(v-target)/2, (bound-target)*(bound-target)/2
	if held > free {
		return held, 0, true
	}
	return free, v - target, false
}
