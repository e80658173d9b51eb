package policy

// Labels is the cross-entropy of two classes, wrong and right, of what is judged by a score: the mean of -log sigmoid(score) where it is right
// and of -log sigmoid(-score) where it is wrong. It is that of two logits whose difference is the score. Steps of a solution are
// judged so by a process reward model (Lightman et al. 2023), whole solutions by a verifier (Cobbe et al. 2021). It adds its gradient to grad.
func Labels(scores []float64, right []bool, grad []float64) float64 {
	sum, n := 0.0, float64(len(scores))
	for i, s := range scores {
		wrong := 1.0
		if right[i] {
			wrong = 0
		}
		loss, slope := smoothed(s, wrong)
		sum += loss / n
		grad[i] += slope / n
	}
	return sum
}
