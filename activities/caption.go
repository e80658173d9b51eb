package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/datagen/sample"
	"tempera/datagen/shard"
	"tempera/datagen/truth"
	"tempera/infra/artifact"
	"tempera/serving/generate"
	"tempera/training/model"
	"tempera/workflows/stage"
)

type captionParams struct {
	TopP        float64 `json:"top_p" doc:"Nucleus that captions are sampled from; 0 decodes greedily." min:"0" max:"1"`
	Temperature float64 `json:"temperature" doc:"Of the sampling." above:"0"`
	Beams       int     `json:"beams" doc:"Beams of a search instead of sampling; needs top_p 0." min:"0" max:"64"`
	Batch       int     `json:"batch" doc:"Captions written at a time." min:"1"`
	Seed        uint64  `json:"seed" doc:"Of the sampling; a caption depends on it and on its image's key only."`
}

// Validate reports what no single field shows.
func (p captionParams) Validate() error {
	if p.Beams > 1 && p.TopP > 0 {
		return errors.New("beams and top_p are both set: set top_p to 0 to search, or beams to 0 to sample")
	}
	return nil
}

// caption writes a synthetic caption for every image (the captioner of BLIP's
// CapFilt). Nucleus sampling beats beam search there, although it is noisier:
// its captions are more diverse (Li et al. 2022, table 3).
func caption() Kind {
	return define(stage.Descriptor{
		Name: "caption", Version: 2, Queue: stage.CPU, Map: "data",
		Summary: "Write a caption for every image",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "The captioner: a blip model."},
			{Name: "data", Type: artifact.TypeDataset, Doc: "Images; their own texts are kept as web_text."},
		},
		Outputs: []stage.Port{{Name: "dataset", Type: artifact.TypeDataset, Doc: "The images with synthetic captions."}},
	}, captionParams{TopP: 0.9, Temperature: 1, Batch: 64}, runCaption)
}

func runCaption(ctx context.Context, t *Task, p captionParams) error {
	pairs, from, err := judgeable(ctx, t)
	if err != nil {
		return err
	}
	dev, err := newCompute(t)
	if err != nil {
		return err
	}
	defer dev.close()
	captions, err := writeCaptions(ctx, captioning{dev, from, pairs, p})
	if err != nil {
		return err
	}
	w := shard.NewWriter(ctx, t.Store, shard.Options{Name: "captions", Card: shard.Card{Title: "Synthetic captions"}})
	defer w.Discard()
	for i, s := range pairs.samples {
		s.Facts.WebText, s.Facts.Origin = s.Caption, "synthetic"
		s.Key, s.Caption = s.Key+"-s", captions[i]
		if s.Facts.Truth != nil {
			known := *s.Facts.Truth
			known.Noise = ""
			s.Facts.Truth = &known
		}
		if err := w.Add(s); err != nil {
			return fmt.Errorf("write caption of %s: %w", s.Key, err)
		}
		pairs.samples[i] = s
	}
	out, err := w.Close()
	if err != nil {
		return err
	}
	t.Output("dataset", out)
	for name, v := range factualCounts(pairs.samples) {
		t.Metric(name, v)
	}
	return nil
}

// captioning is one batch of work for a captioner.
type captioning struct {
	dev    *compute
	from   *loadedModel
	pairs  *evaluationPairs
	params captionParams
}

// writeCaptions returns a caption for each image.
func writeCaptions(ctx context.Context, c captioning) ([]string, error) {
	config := c.from.weights.Config
	writer, err := generate.New(c.dev.engine, config, c.from.weights.Get, generate.Options{Rows: max(c.params.Batch, c.params.Beams)})
	if err != nil {
		return nil, Invalid(err)
	}
	m, err := model.Load(c.dev.backend, c.from.weights)
	if err != nil {
		return nil, err
	}
	scorer, err := model.NewScorer(m, min(c.params.Batch, len(c.pairs.samples)))
	if err != nil {
		return nil, Invalid(err)
	}
	defer scorer.Close() //nolint:errcheck // host memory only
	states, n, err := scorer.ImageStates(c.pairs.images)
	if err != nil {
		return nil, err
	}
	search := generate.Search{Beams: c.params.Beams}
	switch {
	case c.params.Beams > 1:
		search.LengthPenalty = 1
	case c.params.TopP > 0:
		search = generate.Search{Temperature: c.params.Temperature, TopP: c.params.TopP}
	}
	row := len(states) / n
	requests := make([]generate.Request, n)
	for i := range requests {
		requests[i] = generate.Request{
			Image:    states[i*row : (i+1)*row],
			Suppress: []int32{config.Text.Special.Pad, config.Text.Special.BOS, config.Text.Special.ENC},
			Seed:     sample.Random(c.params.Seed, c.pairs.samples[i].Key, 0).Uint64(),
			Search:   search,
		}
	}
	results, err := writer.Generate(ctx, requests)
	if err != nil {
		return nil, err
	}
	captions := make([]string, n)
	for i, r := range results {
		captions[i] = c.from.tokenizer.DecodePlain(r.Texts[0].Tokens)
	}
	return captions, nil
}

// factualCounts compares captions with what the images are known to show. The
// counts add up over shards: factual accuracy is wholly_true / judged, object
// precision objects_true / objects.
func factualCounts(samples []sample.Sample) map[string]float64 {
	count := map[string]float64{"captions": float64(len(samples))}
	for _, s := range samples {
		v, known := truth.Judge(s.Facts, s.Caption)
		if !known {
			continue
		}
		count["judged"]++
		count["objects"] += float64(v.Objects)
		count["objects_true"] += float64(v.TrueObjects)
		if v.WhollyTrue {
			count["wholly_true"]++
		}
	}
	return count
}
