package policy

// ipo is IPO (Azar et al. 2023): (h - 1/(2 beta))², where h is the difference of the completions' log-ratios to the reference. As in TRL, these are means over
// tokens, so that a long completion has no larger h. Takes Beta (the paper's tau).
func ipo() Preference {
	return Preference{Name: "ipo", Reference: true, Reward: implicit, Loss: func(o PreferenceOptions, pairs []Pair, grad []PairGradient) float64 {
		return meanOf(pairs, grad, func(p Pair) (float64, PairGradient) {
			d := p.Chosen.meanRatio() - p.Rejected.meanRatio() - 1/(2*o.Beta)
			return d * d, PairGradient{2 * d / float64(p.Chosen.Tokens), -2 * d / float64(p.Rejected.Tokens)}
		})
	}}
}
