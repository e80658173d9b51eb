package objective

import "tempera/training/policy"

// Prompt is what the samples of a group begin with.
type Prompt struct {
	Index  int     // of the problem, for the judge
	Tokens []int32 // BOS included where the model wants it; a vlm's image token stands for each row of its pictures
	// Pictures are those that the prompt shows, (3, H, W) each, normalised. Prompts that share one slice share the work on it.
	Pictures [][]float32
	Seed     uint64 // of the samples
}

// Sample is a text that a policy wrote.
type Sample struct {
	// Tokens follow the prompt. The one that ended the text is among them.
	Tokens []int32
	// LogProbs are the logarithms of the probabilities that Tokens were drawn by.
	LogProbs []float32
	// Given marks tokens that an environment put in: they are read and not learned. Nil: none are.
	Given []bool
	Ended bool // otherwise it was cut off
}

// learned is the number of tokens that the policy chose.
func (s *Sample) learned() int {
	n := 0
	for t := range s.Tokens {
		if !s.given(t) {
			n++
		}
	}
	return n
}

func (s *Sample) given(t int) bool { return s.Given != nil && s.Given[t] }

// Verdict is what a judge finds of a sample.
type Verdict struct {
	Reward float64
	Parts  map[string]float64 // that Reward is made of, for the metrics; all samples have the same
	Right  bool
}

// Group is the samples of a prompt, with verdicts once they are judged.
type Group struct {
	Prompt   Prompt
	Samples  []Sample
	Verdicts []Verdict
}

// Sampler writes with the parameters as they are at the call. What it writes is a function of these, the prompts and their seeds.
type Sampler interface {
	// Sample writes the samples of each prompt, as many for each. A prompt's seed makes its draws.
	Sample(prompts []Prompt, samples int) ([]Group, error)
}

// Weighed is a Sampler that knows what memory it takes.
type Weighed interface {
	// Memory is in bytes, at most.
	Memory() int64
	// Held is the part of it that is allocated already.
	Held() int64
}

// Judge gives rewards. They are a function of the prompts and samples.
type Judge interface {
	// Judge sets the verdicts of groups.
	Judge(groups []Group) error
}

// Prompts chooses what the policy is asked.
type Prompts interface {
	// Draw returns n prompts for an iteration, a function of its arguments alone. Rounds after the first ask for more where groups of equal rewards
	// are replaced.
	Draw(iteration int64, round, n int) ([]Prompt, error)
}

// rewards lists those of all samples, group after group, with the penalty for long ones.
func rewards(groups []Group, long policy.Overlong) []float64 {
	var out []float64
	for _, g := range groups {
		for i, v := range g.Verdicts {
			out = append(out, v.Reward+long.Penalty(len(g.Samples[i].Tokens)))
		}
	}
	return out
}
