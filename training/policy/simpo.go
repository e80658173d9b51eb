package policy

// simpo is SimPO (Meng et al. 2024), which needs no reference: with l the mean log-probability of a completion's tokens, the loss is
// -log sigmoid(beta (l_chosen - l_rejected) - gamma), with Smoothing as in DPO. Takes Beta (2 in the paper), Gamma (about beta/2) and Smoothing.
func simpo() Preference {
	reward := func(o PreferenceOptions, c Completion) float64 { return o.Beta * c.mean() }
	return Preference{Name: "simpo", Reward: reward, Loss: func(o PreferenceOptions, pairs []Pair, grad []PairGradient) float64 {
		return meanOf(pairs, grad, func(p Pair) (float64, PairGradient) {
			loss, slope := smoothed(o.Beta*(p.Chosen.mean()-p.Rejected.mean())-o.Gamma, o.Smoothing)
			slope *= o.Beta
			return loss, PairGradient{slope / float64(p.Chosen.Tokens), -slope / float64(p.Rejected.Tokens)}
		})
	}}
}
