package activities

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"tempera/datagen/example"
	"tempera/datagen/shard"
	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

// CountShards returns the number of shards that a mapped stage runs over, and
// which of them have committed already: one listing in place of a look-up for
// each shard.
func (r *Runtime) CountShards(ctx context.Context, q stage.CountRequest) (stage.ShardCount, error) {
	defer r.alive(ctx)()
	d, ok := r.Kinds.Kind(q.Kind)
	if !ok {
		return stage.ShardCount{}, failure(Invalid(fmt.Errorf("this worker has no kind %q", q.Kind)))
	}
	files, err := shardsOf(ctx, r.Store, d, q.Inputs)
	if err == nil && len(files) == 0 {
		err = Invalid(fmt.Errorf("input %s of stage %s: %w", d.Map, q.Stage, shard.ErrEmpty))
	}
	if err != nil {
		return stage.ShardCount{}, failure(err)
	}
	n := stage.ShardCount{Count: len(files)}
	if q.Force != "" {
		return n, nil
	}
	prefix := strings.TrimSuffix(artifact.CommitName(q.Key), ".json") + "/"
	for name, err := range r.Store.List(ctx, prefix) {
		if err != nil {
			return n, failure(err)
		}
		i, ok := shardIndex(path.Base(name.Name), n.Count)
		if i -= q.From; !ok || i < 0 {
			continue
		}
		for len(n.Done) <= i/8 {
			n.Done = append(n.Done, 0)
		}
		n.Done[i/8] |= 1 << (i % 8)
	}
	return n, nil
}

// shardIndex reads the name of a shard's commit.
func shardIndex(name string, count int) (int, bool) {
	digits, _, _ := strings.Cut(name, "-of-")
	i, err := strconv.Atoi(digits)
	return i, err == nil && name == shardName(stage.Shard{Index: i, Count: count})+".json"
}

// shardsOf lists the shards of the data set that a stage is mapped over.
func shardsOf(ctx context.Context, s artifact.Blobs, d stage.Descriptor, inputs map[string][]artifact.Artifact) ([]artifact.File, error) {
	over := inputs[d.Map]
	if d.Map == "" || len(over) != 1 {
		return nil, Invalid(fmt.Errorf("kind %s is mapped over input %q, which has %d data sets: give one", d.Name, d.Map, len(over)))
	}
	m, err := artifact.LoadManifest(ctx, s, over[0])
	if err != nil {
		return nil, err
	}
	if m.Type == artifact.TypeExamples {
		return example.Shards(m.Files), nil
	}
	return slices.DeleteFunc(m.Files, func(f artifact.File) bool { return !strings.HasSuffix(f.Path, ".tar") }), nil
}

// Collect makes one result of the results of the shards: data sets are joined
// and metrics summed in the order of the shards, and the whole is committed.
func (r *Runtime) Collect(ctx context.Context, q stage.CollectRequest) (stage.Result, error) {
	defer r.alive(ctx)()
	res, err := r.collect(ctx, q)
	return res, failure(err)
}

func (r *Runtime) collect(ctx context.Context, q stage.CollectRequest) (stage.Result, error) {
	d, ok := r.Kinds.Kind(q.Kind)
	if !ok {
		return stage.Result{}, Invalid(fmt.Errorf("this worker has no kind %q", q.Kind))
	}
	a := &attempt{runtime: r, kind: r.Kinds.kinds[q.Kind], request: q.Request, name: q.Stage}
	if known, found, err := a.lookUp(ctx); err != nil || found {
		return known, err
	}
	parts, err := r.shardResults(ctx, q)
	if err != nil {
		return stage.Result{}, err
	}
	res := &stage.Result{Key: q.Key, Quarantined: q.Quarantined, Seconds: q.Seconds}
	for _, p := range parts {
		res.Quarantined = append(res.Quarantined, p.Quarantined...)
		for name, v := range p.Metrics {
			if res.Metrics == nil {
				res.Metrics = map[string]float64{}
			}
			res.Metrics[name] += v
		}
	}
	for _, port := range d.Outputs {
		joined, ok, err := r.join(ctx, port, parts)
		if err != nil {
			return stage.Result{}, fmt.Errorf("join output %s of %d shards: %w", port.Name, len(parts), err)
		}
		if ok {
			if res.Outputs == nil {
				res.Outputs = map[string]artifact.Artifact{}
			}
			res.Outputs[port.Name] = joined
		}
	}
	res.Quarantined, res.Metrics = listed(res.Quarantined, res.Metrics)
	if err := a.checkResult(res); err != nil {
		return stage.Result{}, err
	}
	return a.commit(ctx, res)
}

// listLimit bounds the quarantined items that a result lists.
const listLimit = 1000

// listed cuts a list that is too long for a result and counts it in a metric.
func listed(items []stage.Quarantine, metrics map[string]float64) ([]stage.Quarantine, map[string]float64) {
	if len(items) <= listLimit {
		return items, metrics
	}
	if metrics == nil {
		metrics = map[string]float64{}
	}
	metrics["quarantined"] = float64(len(items))
	more := stage.Quarantine{Item: fmt.Sprintf("%d more", len(items)-listLimit), Reason: "the list is cut; metric quarantined counts them"}
	return append(items[:listLimit:listLimit], more), metrics
}

// shardResults reads what the shards committed, in their order. A shard that
// made nothing has no commit; of a kind whose outputs are not optional each has.
func (r *Runtime) shardResults(ctx context.Context, q stage.CollectRequest) ([]stage.Result, error) {
	results := make([]stage.Result, q.Count)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookUps)
	prefix := strings.TrimSuffix(artifact.CommitName(q.Key), ".json") + "/"
	for name, err := range r.Store.List(ctx, prefix) {
		if err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		i, ok := shardIndex(path.Base(name.Name), q.Count)
		if _, missing := slices.BinarySearch(q.Missing, i); !ok || missing {
			continue
		}
		g.Go(func() error {
			var c Commit
			_, err := artifact.ReadJSON(ctx, r.Store, name.Name, &c)
			results[i] = c.Result
			return err
		})
	}
	return results, g.Wait()
}

// join makes one artifact of an output of the shards; ok is false where none
// made any.
func (r *Runtime) join(ctx context.Context, port stage.Port, parts []stage.Result) (a artifact.Artifact, ok bool, err error) {
	var made []artifact.Artifact
	for _, p := range parts {
		if a, ok := p.Outputs[port.Name]; ok {
			made = append(made, a)
		}
	}
	if len(made) == 0 {
		return artifact.Artifact{}, false, nil
	}
	if port.Type == artifact.TypeExamples {
		a, err = example.Join(ctx, r.Store, port.Name, made)
		return a, err == nil, err
	}
	if port.Type != artifact.TypeDataset {
		return artifact.Artifact{}, false, Invalid(fmt.Errorf("output %s is a %s: only data sets and examples of shards can be joined", port.Name, port.Type))
	}
	a, err = shard.Join(ctx, r.Store, shard.Options{Name: port.Name}, made)
	if errors.Is(err, shard.ErrEmpty) {
		if port.Optional {
			return artifact.Artifact{}, false, nil
		}
		err = Invalid(err)
	}
	return a, err == nil, err
}
