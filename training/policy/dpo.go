package policy

// sigmoid is DPO (Rafailov et al. 2023): with h the difference of the completions' log-ratios to the reference, summed over tokens, the loss is
// -(1-e) log sigmoid(beta h) - e log sigmoid(-beta h). e > 0 is conservative DPO (Mitchell 2023). Takes Beta and Smoothing.
func sigmoid() Preference {
	return Preference{Name: "sigmoid", Reference: true, Reward: implicit, Loss: func(o PreferenceOptions, pairs []Pair, grad []PairGradient) float64 {
		return meanOf(pairs, grad, func(p Pair) (float64, PairGradient) {
			loss, slope := smoothed(o.Beta*(p.Chosen.ratio()-p.Rejected.ratio()), o.Smoothing)
			return loss, PairGradient{o.Beta * slope, -o.Beta * slope}
		})
	}}
}

// meanOf is the mean of a loss that looks at one pair at a time.
func meanOf(pairs []Pair, grad []PairGradient, of func(p Pair) (float64, PairGradient)) float64 {
	sum, n := 0.0, float64(len(pairs))
	for i, p := range pairs {
		loss, g := of(p)
		sum += loss / n
		grad[i].Chosen += g.Chosen / n
		grad[i].Rejected += g.Rejected / n
	}
	return sum
}
