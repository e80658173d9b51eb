package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

// Commit is the object whose appearance commits a stage, or a shard of one: the
// result, and where it came from.
type Commit struct {
	Result   stage.Result                   `json:"result"`
	Kind     string                         `json:"kind"`
	Version  int                            `json:"version"`
	Params   json.RawMessage                `json:"params,omitempty"`
	Inputs   map[string][]artifact.Artifact `json:"inputs,omitempty"`
	Shard    *stage.Shard                   `json:"shard,omitempty"`
	Pipeline string                         `json:"pipeline"` // that computed it
	Run      string                         `json:"run"`
	Stage    string                         `json:"stage"`
	Forced   string                         `json:"forced,omitempty"` // the run that replaced an earlier result
}

// commitKey names the commit and the checkpoints of a request: the key, and
// below it the shard.
func commitKey(q stage.Request) string {
	if q.Shard == nil {
		return q.Key
	}
	return path.Join(q.Key, shardName(*q.Shard))
}

func shardName(s stage.Shard) string { return fmt.Sprintf("%06d-of-%06d", s.Index, s.Count) }

// readCommit returns the commit under a key; found is false where there is none.
func readCommit(ctx context.Context, store artifact.Names, key string) (c Commit, found bool, err error) {
	_, err = artifact.ReadJSON(ctx, store, artifact.CommitName(key), &c)
	if errors.Is(err, artifact.ErrNotFound) {
		return c, false, nil
	}
	return c, err == nil, err
}

// lookUp returns the result that an earlier attempt or run has committed. A
// forced stage takes only what was committed for the run that forces it.
func (a *attempt) lookUp(ctx context.Context) (stage.Result, bool, error) {
	c, found, err := readCommit(ctx, a.runtime.Store, commitKey(a.request))
	if err != nil || !found || a.request.Force != "" && c.Forced != a.request.Force {
		return stage.Result{}, false, err
	}
	// What this very run committed in a lost attempt was computed, not known.
	c.Result.Cached = c.Run != a.request.Run || c.Stage != a.request.Stage
	return c.Result, true, nil
}

// commit makes the result the stage's. Where another attempt was first, its
// result wins. A shard that made nothing needs no commit.
func (a *attempt) commit(ctx context.Context, res *stage.Result) (stage.Result, error) {
	res.Headline = a.kind.Describe().Headline
	q := a.request
	if q.Shard != nil && len(res.Outputs)+len(res.Metrics)+len(res.Quarantined) == 0 {
		return *res, nil
	}
	data, err := artifact.EncodeJSON(Commit{
		Result: *res, Kind: q.Kind, Version: a.kind.Describe().Version, Params: q.Params, Inputs: q.Inputs,
		Shard: q.Shard, Pipeline: q.Pipeline, Run: q.Run, Stage: q.Stage, Forced: q.Force,
	})
	if err != nil {
		return stage.Result{}, fmt.Errorf("encode the result of %s: %w", a.name, err)
	}
	name := artifact.CommitName(commitKey(q))
	if q.Force != "" {
		if err := a.runtime.Store.Write(ctx, name, bytes.NewReader(data), int64(len(data))); err != nil {
			return stage.Result{}, fmt.Errorf("commit %s: %w", a.name, err)
		}
		return *res, nil
	}
	err = a.runtime.Store.Create(ctx, name, data)
	if !errors.Is(err, artifact.ErrExists) {
		if err != nil {
			err = fmt.Errorf("commit %s: %w", a.name, err)
		}
		return *res, err
	}
	first, found, err := readCommit(ctx, a.runtime.Store, commitKey(q))
	if err == nil && !found {
		err = fmt.Errorf("commit %s: %w: it was there and is gone", a.name, artifact.ErrTransient)
	}
	return first.Result, err
}
