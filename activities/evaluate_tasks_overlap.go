package activities

import (
	"context"
	"strings"

	"tempera/datagen/example"
	"tempera/datagen/overlap"
	"tempera/infra/artifact"
	"tempera/training/score"
)

// OverlapNote says how many problems the training has seen.
type OverlapNote struct {
	Training []artifact.Digest `json:"training"`
	Same     int               `json:"same"`  // problems whose prompt is one of the training's
	Near     int               `json:"near"`  // others that share a run of words with a text of the training
	Words    int               `json:"words"` // of such a run
	Share    float64           `json:"share"` // of both, in per cent
	Clean    *score.Interval   `json:"clean"` // pass@1, in per cent, of the others; absent where there are none
}

// overlap notes the problems that the training has seen. It holds the runs of the problems, not those of the training.
func (e *taskEvaluation) overlap(ctx context.Context) error {
	inputs := e.task.Inputs["training"]
	if len(inputs) == 0 {
		return nil
	}
	prompts, runs := map[string][]int{}, map[string][]int{} // problems by what they ask
	for i, g := range e.groups {
		if len(g.row.Pictures) > 0 {
			continue // the same words ask something else of another picture
		}
		asked := normalPrompt(g.row)
		prompts[asked] = append(prompts[asked], i)
		for run := range overlap.Runs(asked, overlap.GramWords) {
			runs[run] = append(runs[run], i)
		}
	}
	same, near := make([]bool, len(e.groups)), make([]bool, len(e.groups))
	note := &OverlapNote{Words: overlap.GramWords}
	for _, a := range inputs {
		note.Training = append(note.Training, a.Digest)
		for row, err := range example.All(ctx, e.task.Store, a) {
			if err != nil {
				return err
			}
			if row.Prompt != nil {
				mark(same, prompts[normalPrompt(row)])
			}
			for run := range overlap.Runs(allTexts(row), overlap.GramWords) {
				mark(near, runs[run])
			}
		}
	}
	var clean []float64
	for i, g := range e.groups {
		switch {
		case same[i]:
			note.Same++
		case near[i]:
			note.Near++
		default:
			clean = append(clean, 100*g.accuracy())
		}
	}
	note.Share = 100 * float64(note.Same+note.Near) / float64(len(e.groups))
	if len(clean) > 0 {
		i := e.bootstrap().Mean(clean)
		note.Clean = &i
	}
	e.tables.Overlap, e.found["overlap"] = note, exactly(note.Share)
	return nil
}

func mark(list []bool, which []int) {
	for _, i := range which {
		list[i] = true
	}
}

// normal is a text in lower case with single spaces.
func normal(text string) string { return strings.Join(strings.Fields(strings.ToLower(text)), " ") }

// allTexts are the texts of a row, one behind the other.
func allTexts(row *example.Example) string {
	var parts []string
	for _, m := range row.Messages {
		parts = append(parts, m.Text())
	}
	for _, t := range []*example.Text{row.Prompt, row.Completion, row.Chosen, row.Rejected} {
		parts = append(parts, t.String())
	}
	return strings.Join(append(parts, row.Steps...), " ")
}
