package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"tempera/datagen/loader"
	"tempera/datagen/sample"
	"tempera/datagen/source/scenes"
	"tempera/training"
	"tempera/training/bench"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/tokenizer"
)

// benchLoadCommand measures whether a training waits for its data.
func benchLoadCommand(a *app) *cobra.Command {
	o := bench.Defaults()
	o.Model, o.Threads = "clip", max(1, runtime.GOMAXPROCS(0)-1)
	images := 4000
	c := &cobra.Command{
		Use:   "load",
		Short: "Measure how long training steps wait for images and texts that are decoded, augmented and tokenised beside them",
		Long: "Trains on rendered scenes, kept as PNG files in memory and never decoded ahead, with one thread fewer than there are cores: " +
			"the batches are made on the core that is left.",
		Example: "  tempera bench load --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := o.Validate()
			if (o.Model != "clip" && o.Model != "blip") || images < o.Batch {
				err = errors.Join(err, fmt.Errorf("%d images for a %s: choose clip or blip, and at least --batch images", images, o.Model))
			}
			if err != nil {
				return wrong(err)
			}
			r, err := bench.Load(cmd.Context(), o, func(c model.Config) (training.Batches, error) {
				return sceneBatches(cmd.Context(), c, o.Batch, images)
			})
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "%s, %d threads: a step takes %.1f ms and waits %.2f ms for its batch (%.2f%%); a batch takes %.1f ms on one core\n",
					r.Model, r.Threads, r.StepMS, r.WaitMS, 100*r.Stall, r.BatchMS)
			})
		},
	}
	o.Bind(c.Flags())
	c.Flags().IntVar(&images, "images", images, "images of the data set")
	return c
}

// scenesInMemory is a data set of encoded images.
type scenesInMemory []sample.Sample

func (s scenesInMemory) Len() int { return len(s) }

func (s scenesInMemory) Sample(_ context.Context, i int) (sample.Sample, error) { return s[i], nil }

// sceneBatches renders n scenes and returns the work of a training's feed on them: decode, augment, normalise, tokenise.
func sceneBatches(ctx context.Context, c model.Config, batch, n int) (training.Batches, error) {
	var data scenesInMemory
	var captions []string
	source := &scenes.Source{Params: scenes.Params{Image: c.Vision.Image}, Split: "bench", Count: n}
	for s, err := range source.Samples(ctx, 0) {
		if err != nil {
			return nil, err
		}
		data, captions = append(data, s), append(captions, s.Caption)
	}
	tok, err := tokenizer.Train(sequence(captions), tokenizer.TrainOptions{VocabSize: c.Text.Vocab})
	if err != nil {
		return nil, err
	}
	l, err := loader.New(loader.Config{
		Batch: batch, Image: c.Vision.Image, Cache: 1, // nothing stays decoded
		Augment: loader.Augment{Shift: 4, Jitter: 20, Noise: 8, Zoom: 10},
	}, loader.Part{Data: data})
	if err != nil {
		return nil, err
	}
	width := c.Text.Context
	return func(step int64, b *training.Batch) error {
		made, err := l.Batch(ctx, step)
		if err != nil {
			return err
		}
		copy(b.Float32s(objective.Images, len(made.Images)), made.Images)
		tokens, lengths := b.Int32s(objective.Tokens, batch*width), b.Int32s(objective.Lengths, batch)
		clear(tokens)
		for i, text := range made.Captions {
			lengths[i] = int32(copy(tokens[i*width:(i+1)*width], tok.Encode(text)))
		}
		return nil
	}, nil
}

func sequence(texts []string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, t := range texts {
			if !yield(t) {
				return
			}
		}
	}
}
