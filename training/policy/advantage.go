package policy

import "math"

// Baseline is what the reward of a sample is compared with: the other samples of its prompt.
type Baseline string

// The baselines.
const (
	// GroupStd is (r - mean) / (std + 1e-4) with the sample's standard deviation (GRPO, Shao et al. 2024). Easy and hard prompts, whose rewards vary
	// little, weigh more.
	GroupStd Baseline = "group_std"
	// GroupMean is r - mean (Dr. GRPO, Liu et al. 2025).
	GroupMean Baseline = "group_mean"
	// LeaveOneOut is r less the mean of the others (RLOO, Ahmadian et al. 2024): GroupMean times n / (n-1), without bias.
	LeaveOneOut Baseline = "leave_one_out"
)

// stdEpsilon keeps a group of equal rewards from dividing by zero.
const stdEpsilon = 1e-4

// Advantages compares rewards within groups of a size, 2 or more, one group after the other.
func (b Baseline) Advantages(rewards []float64, size int) []float64 {
	out := make([]float64, len(rewards))
	n := float64(size)
	for from := 0; from < len(rewards); from += size {
		group := rewards[from : from+size]
		mean, squares := 0.0, 0.0
		for _, r := range group {
			mean += r / n
		}
		for _, r := range group {
			squares += (r - mean) * (r - mean)
		}
		scale := 1.0
		switch b {
		case GroupStd:
			scale = 1 / (math.Sqrt(squares/(n-1)) + stdEpsilon)
		case LeaveOneOut:
			scale = n / (n - 1)
		case GroupMean:
		}
		for i, r := range group {
			out[from+i] = (r - mean) * scale
		}
	}
	return out
}
