package activities

import (
	"context"

	"tempera/datagen/truth"
	"tempera/training/model"
	"tempera/training/score"
)

// captioning lets a blip model caption the first images greedily and compares
// what it writes with the references: CIDEr-D, BLEU-4 and, where the truth is
// known, facts.
func (e *evaluation) captioning(ctx context.Context) error {
	n := min(e.params.Captions, len(e.pairs.samples))
	if n == 0 || e.model.weights.Config.Kind != model.BLIP {
		return nil
	}
	pixels := e.model.weights.Config.Vision.Pixels()
	part := &evaluationPairs{samples: e.pairs.samples[:n], images: e.pairs.images[:n*pixels]}
	captions, err := writeCaptions(ctx, captioning{e.dev, e.model, part, captionParams{Batch: e.params.Batch}})
	if err != nil {
		return err
	}
	references := make([][]string, n)
	for i, s := range part.samples {
		references[i] = []string{s.Caption}
		c := captioned{Key: s.Key, Caption: captions[i], Reference: s.Caption}
		if v, known := truth.Judge(s.Facts, captions[i]); known {
			c.WhollyTrue = &v.WhollyTrue
		}
		e.captions = append(e.captions, c)
	}
	corpus, err := score.NewCorpus(references)
	if err != nil {
		return err
	}
	cider, err := corpus.CIDErD(captions)
	if err != nil {
		return err
	}
	bleu, err := corpus.BLEU4(captions)
	if err != nil {
		return err
	}
	b := e.bootstrap()
	e.found["cider_d"] = b.Mean(cider)
	e.found["bleu_4"] = score.Interval{Mean: 100 * bleu.Score, Low: 100 * bleu.Score, High: 100 * bleu.Score, N: n}
	e.facts(captions)
	return nil
}

// facts are shares of the captions, in percent.
func (e *evaluation) facts(captions []string) {
	var wholly, exact []float64
	for i, c := range captions {
		v, known := truth.Judge(e.pairs.samples[i].Facts, c)
		if !known {
			continue
		}
		wholly, exact = append(wholly, share(v.WhollyTrue)), append(exact, share(v.ObjectsExact))
	}
	if len(wholly) > 0 {
		e.found["factual"] = e.bootstrap().Mean(wholly)
		e.found["objects_exact"] = e.bootstrap().Mean(exact)
	}
}

func share(yes bool) float64 {
	if yes {
		return 100
	}
	return 0
}
