package policy

// GAE is generalised advantage estimation (Schulman et al. 2016): A_t = sum over k of (Gamma Lambda)^k delta_{t+k}, with
// delta_t = r_t + Gamma V_{t+1} - V_t and nothing after a sequence's end. With Lambda 1 and no values it is the discounted return from each token
// on, which REINFORCE++ (Hu 2025) takes.
type GAE struct{ Gamma, Lambda float64 }

// Advantages takes the reward and the value of each token; nil values are 0.
func (g GAE) Advantages(s Spans, rewards, values []float64) []float64 {
	out := make([]float64, len(rewards))
	for i := range s {
		from, to := s.Of(i)
		last, next := 0.0, 0.0
		for t := to - 1; t >= from; t-- {
			v := 0.0
			if values != nil {
				v = values[t]
			}
			last = rewards[t] + g.Gamma*next - v + g.Gamma*g.Lambda*last
			out[t], next = last, v
		}
	}
	return out
}

// Returns are what values are trained towards: advantages, not whitened, with the values that they were estimated by.
func Returns(advantages, values []float64) []float64 {
	out := make([]float64, len(advantages))
	for t, a := range advantages {
		out[t] = a + values[t]
	}
	return out
}
