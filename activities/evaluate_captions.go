package activities

import (
	"context"
	"fmt"

	"tempera/datagen/truth"
	"tempera/training/model"
	"tempera/training/score"
)

// captionsAlone is the evaluation of a model that has no features to compare.
func (e *evaluation) captionsAlone(ctx context.Context) error {
	if e.params.Captions == 0 {
		return Invalid(fmt.Errorf("captions is 0, and of a %s model nothing else is measured: give a number of images", e.model.Config.Kind))
	}
	if err := e.captioning(ctx); err != nil {
		return err
	}
	return e.publish(ctx)
}

// captioning lets a model that can caption the first images greedily and compares
// what it writes with the references: CIDEr-D, BLEU-4 and, where the truth is
// known, facts.
func (e *evaluation) captioning(ctx context.Context) error {
	n, kind := min(e.params.Captions, len(e.pairs.samples)), e.model.Config.Kind
	if n == 0 || kind != model.BLIP && kind != model.VLM {
		return nil
	}
	part := e.pairs.part(0, n, e.model.Config)
	captions, err := writeCaptions(ctx, captioning{e.deployed, part, captionParams{Batch: e.params.Batch, Prompt: e.params.Prompt, Native: e.params.Native}})
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
