package reward

import "tempera/datagen/task"

type accuracyParams struct {
	Cut   bool    `json:"cut,omitempty"` // a text that was cut off may be right too
	Wrong float64 `json:"wrong"`         // what a wrong answer gets
}

func (accuracyParams) Validate() error { return nil }

// accuracy is 1 for the right answer of a problem.
func accuracy() Kind {
	return Kind{
		Name: "accuracy", Summary: "1 for the right answer, by the task's checker",
		Open: opened(accuracyParams{}, func(p accuracyParams) Reward {
			return each(func(s Sample) float64 {
				if s.Example.Problem != nil && (s.Ended || p.Cut) && task.Check(s.Example.Problem, s.Text).Right {
					return 1
				}
				return p.Wrong
			})
		}),
	}
}

// rule is the value that the task's checker gives: of the hidden rule the true reward. A text without an end has the least.
func rule() Kind {
	return Kind{
		Name: "rule", Summary: "the value of the task's checker: the true reward of a hidden rule",
		Open: opened(none{}, func(none) Reward {
			return each(func(s Sample) float64 {
				switch {
				case s.Example.Problem == nil:
					return 0
				case !s.Ended && s.Example.Problem.Task == "rule":
					return task.Unfinished
				case !s.Ended:
					return 0
				}
				return task.Check(s.Example.Problem, s.Text).Value
			})
		}),
	}
}
