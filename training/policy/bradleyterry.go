package policy

// Scored is a pair as a reward model sees it: the scores of the preferred and of the other completion, and by how much the first should be
// ahead.
type Scored struct{ Chosen, Rejected, Margin float64 }

// BradleyTerry is the loss of a reward model (Ouyang et al. 2022): the mean of -log sigmoid(chosen - rejected - margin), and, times
// centring, of (chosen + rejected)², which keeps the scores around 0 (Eisenstein et al. 2023). It adds its gradient to grad, one for each pair.
func BradleyTerry(pairs []Scored, centring float64, grad []PairGradient) float64 {
	sum, n := 0.0, float64(len(pairs))
	for i, p := range pairs {
		loss, slope := smoothed(p.Chosen-p.Rejected-p.Margin, 0)
		both := p.Chosen + p.Rejected
		sum += (loss + centring*both*both) / n
		grad[i].Chosen += (slope + 2*centring*both) / n
		grad[i].Rejected += (-slope + 2*centring*both) / n
	}
	return sum
}
