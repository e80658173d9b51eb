package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"tempera/activities/report"
	"tempera/infra/artifact"
)

// curve is what a chart shows of the trainings' metrics, one line for each stage.
type curve struct {
	metric, title, y string
	detail           bool // shown only where details are asked for
}

// curves lists the charts of trainings. One that no stage has a metric for is left out.
var curves = []curve{
	{"loss", "Training loss", "loss", false},
	{"val_loss", "Validation loss", "loss", false},
	{"bits_per_byte", "Bits per byte of held-out text", "bits per byte", false},
	{"r1", "Recall@1 on held-out pairs", "recall@1, %", false},
	{"reward", "Reward of the samples", "reward", false},
	{"reward_reward_model", "Score of the reward model", "score", false},
	{"pass_rate", "Samples that are right", "share", false},
	{"pass_at_1", "Held-out problems that are solved at the first try", "share", false},
	{"kl", "Divergence from the reference", "nats of a sample", false},
	{"length_wrong", "Length of the wrong samples", "tokens", false},
	{"length_right", "Length of the right samples", "tokens", false},
	{"entropy", "Entropy of the policy", "nats of a token", false},
	{"equal_groups", "Groups whose rewards are equal", "share", true},
	{"truncated", "Samples that were cut off", "share", true},
	{"clip_fraction", "Tokens whose ratio the clip holds", "share", true},
	{"drift_max", "Largest difference of sampling's and training's log-probabilities", "nats", true},
	{"lr", "Learning rate", "learning rate", true},
	{"grad_norm", "Norm of the gradient", "norm", true},
	{"tokens_per_second", "Tokens per second", "tokens/s", true},
	{"samples_per_second", "Samples per second", "samples/s", true},
	{"mfu", "Share of the device's peak rate in use", "share", true},
	{"memory_rss_mib", "Memory of the process", "MiB", true},
}

// curveSection draws what stages of this run logged, as many lines to a chart as
// can be told apart. The log of a stage whose result was reused is that of the run
// that computed it, as far as it is still there.
func curveSection(ctx context.Context, t *Task, p reportParams) (*report.Section, error) {
	record, err := readRecord(ctx, t)
	if err != nil {
		return nil, err
	}
	var logs []trainingLog
	var reused []string
	for _, id := range p.Curves {
		l, err := readTrainingLog(ctx, t.Store, loggedStage{t.Pipeline, t.Run, id})
		if err != nil {
			return nil, err
		}
		if len(l.series) == 0 {
			var from loggedStage
			if l, from, err = earlierLog(ctx, t.Store, record.KeyOf(id)); err != nil {
				return nil, err
			}
			if len(l.series) > 0 {
				reused = append(reused, fmt.Sprintf("%s is %s", id, from))
			}
		}
		l.stage = id
		logs = append(logs, l)
	}
	s := &report.Section{Title: "Training"}
	if len(reused) > 0 {
		s.Text = "Reused results have the curves of the runs that computed them: " + strings.Join(reused, ", ") + "."
	}
	for _, c := range curves {
		if c.detail && !p.Details || c.metric == "samples_per_second" && has(logs, "tokens_per_second") {
			continue
		}
		s.Blocks = append(s.Blocks, c.charts(logs)...)
	}
	if len(s.Blocks) == 0 {
		return nil, nil
	}
	return s, nil
}

// charts spreads the lines evenly, so that what belongs together stays so more often.
func (c curve) charts(logs []trainingLog) []report.Block {
	var lines []report.Series
	for _, l := range logs {
		if s := l.series[c.metric]; len(s.X) > 1 {
			s.Name = l.stage
			lines = append(lines, s)
		}
	}
	var blocks []report.Block
	n := (len(lines) + report.MaxSeries - 1) / report.MaxSeries
	for i := range n {
		chart := report.Lines{Title: c.title, X: "step", Y: c.y, Series: lines[i*len(lines)/n : (i+1)*len(lines)/n]}
		if n > 1 {
			chart.Title += fmt.Sprintf(" (%d of %d)", i+1, n)
		}
		blocks = append(blocks, chart)
	}
	return blocks
}

// trainingLog is metrics.jsonl of a stage, a series for each metric.
type trainingLog struct {
	stage  string
	series map[string]report.Series
}

func has(logs []trainingLog, metric string) bool {
	for _, l := range logs {
		if len(l.series[metric].X) > 1 {
			return true
		}
	}
	return false
}

// loggedStage is a stage of a run.
type loggedStage struct{ pipeline, run, stage string }

func (s loggedStage) String() string {
	return fmt.Sprintf("%s of %s, run %s", s.stage, s.pipeline, s.run)
}

// earlierLog reads what was logged when the result under a key was computed, and where.
func earlierLog(ctx context.Context, store artifact.Names, key string) (l trainingLog, from loggedStage, err error) {
	if key == "" {
		return l, from, nil
	}
	c, found, err := readCommit(ctx, store, key)
	if err != nil || !found {
		return l, from, err
	}
	from = loggedStage{c.Pipeline, c.Run, c.Stage}
	l, err = readTrainingLog(ctx, store, from)
	return l, from, err
}

func readTrainingLog(ctx context.Context, store artifact.Names, s loggedStage) (trainingLog, error) {
	l := trainingLog{s.stage, map[string]report.Series{}}
	r, _, err := store.Read(ctx, artifact.RunName(s.pipeline, RunFolder(s.run), path.Join(s.stage, metricsName)))
	if errors.Is(err, artifact.ErrNotFound) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return l, fmt.Errorf("metrics of stage %s: %w", s, err)
	}
	for line := range bytes.Lines(data) {
		var row metricsRow
		if json.Unmarshal(line, &row) != nil {
			continue
		}
		for name, v := range row.values {
			s := l.series[name]
			s.X, s.Y = append(s.X, float64(row.step)), append(s.Y, v)
			l.series[name] = s
		}
	}
	return l, nil
}
