package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"tempera/datagen/shard"
	"tempera/datagen/truth"
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/score"
	"tempera/workflows/stage"
)

type filterParams struct {
	deviceParams
	Score     string  `json:"score" doc:"What a pair is judged by: itc (cosine of the features), itm (matching head), or both (their sum)." enum:"itc,itm,both"`
	Keep      float64 `json:"keep" doc:"Share of each shard that is kept, the best pairs first." above:"0" max:"1"`
	Threshold float64 `json:"threshold" doc:"Keep what scores at least this instead; 0 goes by keep." `
	Batch     int     `json:"batch" doc:"Pairs judged at a time." min:"1"`
}

// filter keeps the pairs that a model finds to belong together (the filter of
// BLIP's CapFilt, Li et al. 2022). What is injected noise is known of generated
// data; precision and recall against it are reported, never used.
func filter() Kind {
	return define(stage.Descriptor{
		Name: "filter", Version: 1, Queue: stage.CPU, Map: "data",
		Summary: "Keep the pairs that a model finds to belong together",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "The judge."},
			{Name: "data", Type: artifact.TypeDataset, Doc: "Pairs to judge."},
		},
		Outputs: []stage.Port{
			{Name: "dataset", Type: artifact.TypeDataset, Doc: "The pairs that were kept, with their scores."},
			{Name: "rejected", Type: artifact.TypeDataset, Optional: true, Doc: "The others."},
		},
	}, filterParams{Score: "itc", Keep: 0.5, Batch: 64}, runFilter)
}

func runFilter(ctx context.Context, t *Task, p filterParams) error {
	pairs, m, err := judgeable(ctx, t, sight{})
	if err != nil {
		return err
	}
	judging, err := m.deploy(t)
	if err != nil {
		return err
	}
	defer judging.close()
	scores, err := judge(judging, pairs, p)
	if err != nil {
		return err
	}
	kept := selectKept(scores, p)
	if err := writeDecisions(ctx, t, pairs, decisions{p.Score, scores, kept}); err != nil {
		return err
	}
	countDecisions(t, pairs, scores, kept)
	return nil
}

// judgeable reads the model and the pairs: of the task's shard, or of the whole
// data set where the stage is not mapped.
func judgeable(ctx context.Context, t *Task, see sight) (*evaluationPairs, *loadedModel, error) {
	source, _ := t.Input("model")
	m, err := loadModel(ctx, t, source)
	if err != nil {
		return nil, nil, err
	}
	set, err := shard.Open(ctx, t.Store, t.Inputs["data"][0], t.Scratch)
	if err != nil {
		return nil, nil, err
	}
	stream := set.All(ctx)
	if t.Shard != nil {
		stream = set.Shard(ctx, t.Shard.Index)
	}
	pairs, err := readPairs(stream, m.weights.Config, see)
	return pairs, m, errors.Join(err, set.Close())
}

// judge scores every pair; higher means that image and caption belong together.
func judge(by *deployed, pairs *evaluationPairs, p filterParams) ([]float32, error) {
	scorer, err := model.NewScorer(by.model, min(p.Batch, len(pairs.samples)))
	if err != nil {
		return nil, Invalid(err)
	}
	defer scorer.Close() //nolint:errcheck // host memory only
	tokens, lengths := newCaptionEncoder(by.tokenizer, by.model.Config).rows(pairs.captions())
	scores := make([]float32, len(pairs.samples))
	if p.Score != "itm" {
		images, err := scorer.ImageFeatures(pairs.images, len(pairs.samples))
		if err != nil {
			return nil, err
		}
		texts, err := scorer.TextFeatures(tokens, lengths)
		if err != nil {
			return nil, err
		}
		e := scorer.Embed()
		for i := range scores {
			for k := range e {
				scores[i] += images[i*e+k] * texts[i*e+k]
			}
		}
	}
	if p.Score != "itc" {
		match, err := scorer.MatchScores(pairs.images, tokens, lengths)
		if err != nil {
			return nil, Invalid(err)
		}
		for i := range scores {
			scores[i] += match[i]
		}
	}
	return scores, nil
}

// selectKept decides by the parameters. Of equal scores the earlier pair is
// kept.
func selectKept(scores []float32, p filterParams) []bool {
	kept := make([]bool, len(scores))
	if p.Threshold != 0 {
		for i, s := range scores {
			kept[i] = float64(s) >= p.Threshold
		}
		return kept
	}
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	for _, i := range order[:int(float64(len(order))*p.Keep+0.5)] {
		kept[i] = true
	}
	return kept
}

type decisions struct {
	by     string
	scores []float32
	kept   []bool
}

// writeDecisions publishes the kept and the rejected pairs with their scores.
func writeDecisions(ctx context.Context, t *Task, pairs *evaluationPairs, d decisions) error {
	kept := shard.NewWriter(ctx, t.Store, shard.Options{Name: "kept", Card: shard.Card{Title: "Pairs that a filter kept"}})
	defer kept.Discard()
	rejected := shard.NewWriter(ctx, t.Store, shard.Options{Name: "rejected", Card: shard.Card{Title: "Pairs that a filter rejected"}})
	defer rejected.Discard()
	for i, s := range pairs.samples {
		s.Facts.Scores = withScore(s.Facts.Scores, d.by, d.scores[i])
		w := rejected
		if d.kept[i] {
			w = kept
		}
		if err := w.Add(s); err != nil {
			return fmt.Errorf("write pair %s: %w", s.Key, err)
		}
	}
	for _, o := range []struct {
		port string
		w    *shard.Writer
	}{{"dataset", kept}, {"rejected", rejected}} {
		if o.w.Records() == 0 {
			continue // Collect joins what there is
		}
		a, err := o.w.Close()
		if err != nil {
			return err
		}
		t.Output(o.port, a)
	}
	if kept.Records() == 0 && t.Shard == nil {
		return Invalid(errors.New("the filter kept no pair: lower threshold or raise keep"))
	}
	return nil
}

func withScore(scores map[string]float64, name string, v float32) map[string]float64 {
	out := map[string]float64{name: float64(v)}
	for k, s := range scores {
		if k != name {
			out[k] = s
		}
	}
	return out
}

// countDecisions reports how the filter did against what is known. All metrics
// are counts, which add up over shards: precision is kept_right / kept_known,
// recall kept_right / right, and the AUC within shards pairs_won / pairs_all.
func countDecisions(t *Task, pairs *evaluationPairs, scores []float32, kept []bool) {
	var judged []score.Filter
	count := map[string]float64{}
	for i, s := range pairs.samples {
		count["pairs"]++
		right, known := truth.CaptionIsTrue(s)
		if kept[i] {
			count["kept"]++
		}
		if !known {
			continue
		}
		judged = append(judged, score.Filter{Score: float64(scores[i]), Kept: kept[i], Good: right})
		if right {
			count["right"]++
		}
		if kept[i] {
			count["kept_known"]++
			if right {
				count["kept_right"]++
			}
		}
	}
	if wrong := float64(len(judged)) - count["right"]; wrong > 0 && count["right"] > 0 {
		if q, err := score.JudgeFilter(judged); err == nil {
			count["pairs_all"] = wrong * count["right"]
			count["pairs_won"] = q.AUC * count["pairs_all"]
		}
	}
	for name, v := range count {
		t.Metric(name, v)
	}
}
