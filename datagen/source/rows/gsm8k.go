package rows

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"tempera/datagen/example"
)

// hash is before the answer of GSM8K's solutions.
const hash = "#### "

// gsm8k is questions with worked solutions that end with "#### answer".
func gsm8k() Format {
	return Format{
		Name: "gsm8k", Summary: "GSM8K's: a question, and a worked answer that ends with ####",
		fits: func(r *record) bool {
			var answer string
			return r.has("question", "answer") && r.get("answer", &answer) == nil && strings.Contains(answer, hash)
		},
		read: func(r *record) ([]*example.Example, error) { return one(readGSM8K(r)) },
	}
}

func readGSM8K(r *record) (*example.Example, error) {
	question, err := r.text("question")
	if err != nil {
		return nil, err
	}
	worked, err := r.text("answer")
	if err != nil {
		return nil, err
	}
	at := strings.LastIndex(worked, hash)
	if at < 0 || strings.TrimSpace(worked[at+len(hash):]) == "" {
		return nil, errors.New("answer does not end with #### and the result")
	}
	return &example.Example{
		ID: r.id(), Prompt: example.Plain(question), Completion: example.Plain(worked),
		Problem: &example.Problem{
			Task: "number", Answer: strings.TrimSpace(worked[at+len(hash):]),
			Traces: []string{strings.TrimSpace(worked[:at])},
		},
	}, nil
}

// solution is what a model wrote to a question of GSM8K.
type solution struct {
	IsCorrect *bool  `json:"is_correct"`
	Solution  string `json:"solution"`
	by        string
}

// hasSolutions tells whether a row is of GSM8K's file of solutions by models.
func hasSolutions(r *record) bool {
	s, err := readSolutions(r)
	return err == nil && len(s) > 0 && r.has("question")
}

// readSolutions are the solutions of a row, in the order of their models' names.
func readSolutions(r *record) ([]solution, error) {
	var found []solution
	for name, raw := range r.fields {
		s := solution{by: name}
		if json.Unmarshal(raw, &s) == nil && s.IsCorrect != nil && s.Solution != "" {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("it has no solutions with is_correct")
	}
	slices.SortFunc(found, func(a, b solution) int { return strings.Compare(a.by, b.by) })
	return found, nil
}

// solutions labels each solution of a row.
func solutions() Format {
	return Format{
		Name: "solutions", Summary: "GSM8K's solutions by models: each a completion that is right or wrong",
		fits: hasSolutions,
		read: func(r *record) ([]*example.Example, error) {
			question, err := r.text("question")
			if err != nil {
				return nil, err
			}
			all, err := readSolutions(r)
			var out []*example.Example
			for _, s := range all {
				out = append(out, &example.Example{Prompt: example.Plain(question), Completion: example.Plain(s.Solution), Label: s.IsCorrect, Slice: s.by})
			}
			return out, err
		},
	}
}

// solutionPairs prefers each right solution of a row to each wrong one.
func solutionPairs() Format {
	return Format{
		Name: "solution_pairs", Summary: "the same as pairs: a right solution is preferred to a wrong one",
		fits: func(*record) bool { return false }, // solutions is taken
		read: func(r *record) ([]*example.Example, error) {
			question, err := r.text("question")
			if err != nil {
				return nil, err
			}
			all, err := readSolutions(r)
			if err != nil {
				return nil, err
			}
			var out []*example.Example
			for _, good := range all {
				for _, bad := range all {
					if *good.IsCorrect && !*bad.IsCorrect {
						out = append(out, &example.Example{Prompt: example.Plain(question), Chosen: example.Plain(good.Solution), Rejected: example.Plain(bad.Solution)})
					}
				}
			}
			if len(out) == 0 {
				return nil, skipError("the solutions are all right or all wrong")
			}
			return out, nil
		},
	}
}
