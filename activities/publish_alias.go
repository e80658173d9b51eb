package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tempera/infra/artifact"
)

// moveAlias points the alias at the version that was published, where the metric
// allows it. Between looking and moving, somebody else may move it: then the
// decision is made again. The metric promoted is 1 where the alias stands for
// the version afterwards.
func moveAlias(ctx context.Context, t *Task, p publishParams) error {
	model, _ := t.Input("model")
	to := artifact.Alias{Version: p.versionOf(model), Evidence: artifact.Evidence{Run: t.Run, Model: &model}}
	if e, ok := t.Input("evaluation"); ok {
		to.Evidence.Evaluation = &e
	}
	for {
		now, err := artifact.ReadAlias(ctx, t.Store, p.Name, p.Alias)
		if err != nil && !errors.Is(err, artifact.ErrNotFound) {
			return err
		}
		promote, reason, err := judgeAlias(ctx, t, p, now)
		if err != nil {
			return err
		}
		t.Log.Info("alias", "model", p.Name, "alias", p.Alias, "version", to.Version, "before", now.Version, "moved", promote, "reason", reason)
		t.Metric("promoted", 0)
		if !promote {
			return nil
		}
		t.Metric("promoted", 1)
		if now.Version == to.Version {
			return nil // by an attempt that was lost, or by another run
		}
		to.Evidence.Reason = reason
		err = artifact.SetAlias(ctx, t.Store, artifact.AliasChange{Model: p.Name, Alias: p.Alias, To: to, Expect: &now.Version})
		if !errors.Is(err, artifact.ErrConflict) {
			return err
		}
	}
}

// judgeAlias tells whether an alias that stands for now may be moved, and why.
func judgeAlias(ctx context.Context, t *Task, p publishParams, now artifact.Alias) (promote bool, reason string, err error) {
	a, _ := t.Input("evaluation")
	if p.Metric == "" {
		return true, "published by " + t.Pipeline, nil
	}
	e, err := loadEvaluation(ctx, t.Store, a)
	if err != nil {
		return false, "", err
	}
	mine, ok := e.Metrics[p.Metric]
	if !ok {
		return false, "", Invalid(fmt.Errorf("the evaluation has no metric %q: it has %s", p.Metric, strings.Join(sortedKeys(e.Metrics), ", ")))
	}
	figure := fmt.Sprintf("%s %.4g", p.Metric, mine.Mean)
	switch {
	case now.Version == "":
		return true, figure + ", the first " + p.Alias, nil
	case now.Version == p.versionOf(t.Inputs["model"][0]):
		return true, figure + ", the " + p.Alias + " already", nil
	case now.Evidence.Evaluation == nil:
		return false, fmt.Sprintf("%s has no evaluation to compare with: move the alias by hand with `tempera models alias`", now.Version), nil
	}
	before, err := loadEvaluation(ctx, t.Store, *now.Evidence.Evaluation)
	if err != nil {
		return false, "", fmt.Errorf("evaluation of %s %s: %w", p.Alias, now.Version, err)
	}
	theirs, ok := before.Metrics[p.Metric]
	if !ok || before.Data != e.Data || before.Gallery != e.Gallery {
		return false, fmt.Sprintf("%s was evaluated otherwise (%d pairs of %s in galleries of %d): evaluate model:%s@%s on this run's pairs, or move the alias by hand",
			now.Version, before.Pairs, before.Data.Short(), before.Gallery, p.Name, p.Alias), nil
	}
	t.Metric(p.Alias+"_"+p.Metric, theirs.Mean)
	reason = fmt.Sprintf("%s against %.4g of %s", figure, theirs.Mean, now.Version)
	if lowerIsBetter(p.Metric) {
		return mine.Mean <= theirs.Mean-p.Margin, reason, nil
	}
	return mine.Mean >= theirs.Mean+p.Margin, reason, nil
}
