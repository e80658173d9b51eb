package score

import "fmt"

// Verdict is the outcome of a comparison.
type Verdict string

// The verdicts. Undecided means that the rule does not hold either way.
const (
	Better    Verdict = "better"
	Worse     Verdict = "worse"
	Undecided Verdict = "undecided"
)

// Rule says when a gap counts: its mean is at least Margin, and it has the same
// sign in at least AtLeast of the paired runs.
type Rule struct {
	Margin  float64 `json:"margin"`   // in the metric's unit
	AtLeast int     `json:"at_least"` // 0: four fifths, rounded up (4 of 5)
}

// Comparison is what paired runs (equal seeds, equal steps) say about two arms.
type Comparison struct {
	Gaps     []float64 `json:"gaps"`     // arm minus baseline, a pair each
	Gap      Interval  `json:"gap"`      // mean, and its interval by resampling pairs
	Positive int       `json:"positive"` // pairs in which the arm is ahead
	Negative int       `json:"negative"`
	Rule     Rule      `json:"rule"`
	Verdict  Verdict   `json:"verdict"`
}

// Compare compares an arm with a baseline: arm[i] and baseline[i] are the same
// figure of runs that differ in nothing else.
func Compare(arm, baseline []float64, rule Rule, b Bootstrap) (Comparison, error) {
	if len(arm) != len(baseline) || len(arm) == 0 {
		return Comparison{}, fmt.Errorf("compare: %d runs of the arm and %d of the baseline: want pairs", len(arm), len(baseline))
	}
	if rule.Margin < 0 || rule.AtLeast < 0 || rule.AtLeast > len(arm) {
		return Comparison{}, fmt.Errorf("compare: margin %g, at least %d of %d pairs: want a margin of 0 or more and at most all pairs", rule.Margin, rule.AtLeast, len(arm))
	}
	if rule.AtLeast == 0 {
		rule.AtLeast = (4*len(arm) + 4) / 5
	}
	c := Comparison{Gaps: make([]float64, len(arm)), Rule: rule, Verdict: Undecided}
	for i := range arm {
		c.Gaps[i] = arm[i] - baseline[i]
		if c.Gaps[i] > 0 {
			c.Positive++
		}
		if c.Gaps[i] < 0 {
			c.Negative++
		}
	}
	c.Gap = b.Mean(c.Gaps)
	switch {
	case c.Positive >= rule.AtLeast && c.Gap.Mean >= rule.Margin:
		c.Verdict = Better
	case c.Negative >= rule.AtLeast && -c.Gap.Mean >= rule.Margin:
		c.Verdict = Worse
	}
	return c, nil
}
