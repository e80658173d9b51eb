package policy

import "math"

// orpo is ORPO (Hong et al. 2024), which needs no reference: with l the mean log-probability of a completion's tokens and odds(l) = e^l / (1 - e^l), the loss is
// -l of the chosen completion, which learns it as SFT would, and beta times -log sigmoid(log odds(chosen) - log odds(rejected)). Takes Beta (the
// paper's lambda).
//
// Deviation: the first term is over the tokens of the completion only, and a mean of means (TRL: over prompts too, and over all tokens of the batch).
func orpo() Preference {
	reward := func(o PreferenceOptions, c Completion) float64 { return o.Beta * c.mean() }
	return Preference{Name: "orpo", Reward: reward, Loss: func(o PreferenceOptions, pairs []Pair, grad []PairGradient) float64 {
		return meanOf(pairs, grad, func(p Pair) (float64, PairGradient) {
			won, slopeWon := logOdds(p.Chosen.mean())
			lost, slopeLost := logOdds(p.Rejected.mean())
			loss, slope := smoothed(won-lost, 0)
			return o.Beta*loss - p.Chosen.mean(), PairGradient{
				(o.Beta*slope*slopeWon - 1) / float64(p.Chosen.Tokens), -o.Beta * slope * slopeLost / float64(p.Rejected.Tokens),
			}
		})
	}}
}

// logOdds is log(e^l / (1 - e^l)) and its slope 1 / (1 - e^l). A probability of 1 to the last bit counts as a little less.
func logOdds(l float64) (odds, slope float64) {
	l = math.Min(l, -1e-9)
	rest := -math.Expm1(l)
	return l - math.Log(rest), 1 / rest
}
