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
	deviceParams
	TopP        float64 `json:"top_p" doc:"Nucleus that captions are sampled from; 0 decodes greedily." min:"0" max:"1"`
	Temperature float64 `json:"temperature" doc:"Of the sampling." above:"0"`
	Beams       int     `json:"beams" doc:"Beams of a search instead of sampling; needs top_p 0." min:"0" max:"64"`
	Batch       int     `json:"batch" doc:"Captions written at a time." min:"1"`
	Seed        uint64  `json:"seed" doc:"Of the sampling; a caption depends on it and on its image's key only."`
	Prompt      string  `json:"prompt,omitempty" doc:"vlm: text between image and caption, as in the training."`
	Native      int     `json:"native,omitempty" doc:"vlm of the vision form moonvit: images keep their shapes, with at most so many patches; 0 makes squares of them." min:"0"`
}

// sight is how a vlm is shown images.
func (p captionParams) sight() sight { return sight{native: p.Native, prompt: p.Prompt} }

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
			{Name: "model", Type: artifact.TypeModel, Doc: "The captioner: a blip or vlm model."},
			{Name: "data", Type: artifact.TypeDataset, Doc: "Images; their own texts are kept as web_text."},
		},
		Outputs: []stage.Port{{Name: "dataset", Type: artifact.TypeDataset, Doc: "The images with synthetic captions."}},
	}, captionParams{TopP: 0.9, Temperature: 1, Batch: 64}, runCaption)
}

func runCaption(ctx context.Context, t *Task, p captionParams) error {
	pairs, from, err := judgeable(ctx, t, p.sight())
	if err != nil {
		return err
	}
	m, err := from.deploy(t)
	if err != nil {
		return err
	}
	defer m.close()
	captions, err := writeCaptions(ctx, captioning{m, pairs, p})
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
	*deployed
	pairs  *evaluationPairs
	params captionParams
}

// writeCaptions returns a caption for each image.
func writeCaptions(ctx context.Context, c captioning) (_ []string, err error) {
	writer, err := generate.New(c.dev.engine, c.model.Config, c.weights.Get, generate.Options{Rows: max(c.params.Batch, c.params.Beams), Device: c.dev.paged()})
	if err != nil {
		return nil, Invalid(err)
	}
	defer func() { err = errors.Join(err, writer.Close()) }()
	requests, err := c.requests()
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
	for i := range requests {
		requests[i].Seed, requests[i].Search = sample.Random(c.params.Seed, c.pairs.samples[i].Key, 0).Uint64(), search
	}
	results, err := writer.Generate(ctx, requests)
	if err != nil {
		return nil, err
	}
	captions := make([]string, len(results))
	for i, r := range results {
		captions[i] = c.tokenizer.DecodePlain(r.Texts[0].Tokens)
	}
	return captions, nil
}

// requests ask for a caption of each image.
func (c captioning) requests() ([]generate.Request, error) {
	batch := min(c.params.Batch, len(c.pairs.samples))
	if c.model.Config.Kind == model.VLM {
		return c.illustrated(batch)
	}
	scorer, err := model.NewScorer(c.model, batch)
	if err != nil {
		return nil, Invalid(err)
	}
	defer scorer.Close() //nolint:errcheck // host memory only
	states, n, err := scorer.ImageStates(c.pairs.images)
	if err != nil {
		return nil, err
	}
	row, special := len(states)/n, c.model.Config.Text.Special
	requests := make([]generate.Request, n)
	for i := range requests {
		requests[i] = generate.Request{Image: states[i*row : (i+1)*row], Suppress: []int32{special.Pad, special.BOS, special.ENC}}
	}
	return requests, nil
}

// illustrated ask a vlm, in whose prompts the images stand.
func (c captioning) illustrated(batch int) ([]generate.Request, error) {
	texts, err := newIllustrator(c.tokenizer, c.model.Config, c.params.sight())
	if err != nil {
		return nil, err
	}
	rows, err := c.imageRows(batch)
	if err != nil {
		return nil, err
	}
	requests, hidden := make([]generate.Request, len(rows)), texts.suppressed()
	for i := range requests {
		requests[i] = generate.Request{Prompt: texts.ask(rows[i]), Suppress: hidden}
	}
	return requests, nil
}

// imageRows are what stands for each image in the text of a vlm.
func (c captioning) imageRows(batch int) ([][]float32, error) {
	encoder, err := model.NewImageEncoder(c.model, batch, c.params.sight().room(c.model.Config, batch))
	if err != nil {
		return nil, Invalid(err)
	}
	defer encoder.Close() //nolint:errcheck // host memory only
	if c.pairs.sized != nil {
		return encoder.Packed(asImages(c.pairs.sized))
	}
	all, n, err := encoder.Squares(c.pairs.images)
	if err != nil {
		return nil, err
	}
	rows, size := make([][]float32, n), len(all)/max(1, n)
	for i := range rows {
		rows[i] = all[i*size : (i+1)*size]
	}
	return rows, nil
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
