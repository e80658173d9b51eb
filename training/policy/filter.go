package policy

import "slices"

// equal is the difference of rewards below which they say nothing.
const equal = 1e-6

// Live tells which groups of a size have rewards that differ. The others have no advantage and carry no gradient; DAPO (Yu et al. 2025) leaves
// them out and samples more prompts in their place.
func Live(rewards []float64, size int) []bool {
	live := make([]bool, len(rewards)/size)
	for i := range live {
		group := rewards[i*size : (i+1)*size]
		live[i] = slices.Max(group)-slices.Min(group) > equal
	}
	return live
}
