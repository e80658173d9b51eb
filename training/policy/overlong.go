package policy

// Overlong is DAPO's soft punishment of long samples (Yu et al. 2025, equation 13): nothing up to Limit - Cache tokens, falling linearly to -1 at
// Limit.
type Overlong struct{ Limit, Cache int }

// Penalty is what is added to the reward of a sample of a length.
func (o Overlong) Penalty(length int) float64 {
	if o.Cache == 0 {
		return 0
	}
	over := float64(length-(o.Limit-o.Cache)) / float64(o.Cache)
	return -min(max(over, 0), 1)
}
