package reward

import (
	"strings"

	"tempera/datagen/task"
)

// format is 1 for <think>...</think><answer>...</answer> and nothing else, ended by the model.
func format() Kind {
	return Kind{
		Name: "format", Summary: "1 for <think>...</think><answer>...</answer> and nothing else",
		Open: opened(none{}, func(none) Reward {
			return each(func(s Sample) float64 {
				opened := strings.HasSuffix(strings.TrimSpace(s.Example.Prompt.String()), "<think>")
				if s.Ended && task.WellFormed(s.Text, opened) {
					return 1
				}
				return 0
			})
		}),
	}
}
