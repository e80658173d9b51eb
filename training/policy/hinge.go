package policy

// hinge is SLiC's loss (Zhao et al. 2023) on DPO's rewards, as TRL has it: max(0, 1 - beta h), h summed over tokens. Takes Beta.
func hinge() Preference {
	return Preference{Name: "hinge", Reference: true, Reward: implicit, Loss: func(o PreferenceOptions, pairs []Pair, grad []PairGradient) float64 {
		return meanOf(pairs, grad, func(p Pair) (float64, PairGradient) {
			missing := 1 - o.Beta*(p.Chosen.ratio()-p.Rejected.ratio())
			if missing <= 0 {
				return 0, PairGradient{}
			}
			return missing, PairGradient{-o.Beta, o.Beta}
		})
	}}
}
