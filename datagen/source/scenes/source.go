package scenes

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"

	"tempera/datagen/sample"
)

// Name is the source's name in parameters and in samples' facts.
const Name = "scenes"

// Source yields the scenes with indices from First to First+Count-1.
type Source struct {
	Params Params
	Split  string // splits with different names share no random numbers
	First  int
	Count  int
}

// Name returns "scenes".
func (s *Source) Name() string { return Name }

// Samples yields the scenes in order. Scene i depends on seed, Split and i only
// (with Unique: on the scenes before it too), so parts of a data set can be
// made anywhere.
func (s *Source) Samples(ctx context.Context, seed uint64) iter.Seq2[sample.Sample, error] {
	return func(yield func(sample.Sample, error) bool) {
		p := s.Params.WithDefaults()
		if err := p.Validate(); err != nil {
			yield(sample.Sample{}, fmt.Errorf("scenes: %w", err))
			return
		}
		if p.Unique {
			s.unique(ctx, p, seed, yield)
			return
		}
		for i := s.First; i < s.First+s.Count; i++ {
			if err := ctx.Err(); err != nil {
				yield(sample.Sample{}, err)
				return
			}
			made, err := p.make(s.stream(seed, i), i)
			if !yield(made, err) || err != nil {
				return
			}
		}
	}
}

// unique numbers the scenes whose key has not come up before. Placing a scene
// is cheap, so those before First are placed and not drawn.
func (s *Source) unique(ctx context.Context, p Params, seed uint64, yield func(sample.Sample, error) bool) {
	seen := map[string]bool{}
	for i, dry := 0, 0; len(seen) < s.First+s.Count; i++ {
		if err := ctx.Err(); err != nil {
			yield(sample.Sample{}, err)
			return
		}
		scene, err := p.place(s.stream(seed, i))
		if err != nil {
			yield(sample.Sample{}, fmt.Errorf("scene %d: %w", i, err))
			return
		}
		key := scene.Key()
		if seen[key] {
			if dry++; dry > 1000+20*len(seen) {
				yield(sample.Sample{}, fmt.Errorf("only %d distinct scenes found, %d wanted: lower the count, or allow more objects, colors or shapes", len(seen), s.First+s.Count))
				return
			}
			continue
		}
		seen[key], dry = true, 0
		if len(seen) <= s.First {
			continue
		}
		made, err := p.make(s.stream(seed, i), i)
		if !yield(made, err) || err != nil {
			return
		}
	}
}

// stream returns the random numbers of scene i.
func (s *Source) stream(seed uint64, i int) *rand.Rand {
	return sample.Random(seed, "scenes/"+s.Split, uint64(i))
}

func (p *Params) make(rng *rand.Rand, i int) (sample.Sample, error) {
	scene, err := p.place(rng)
	if err != nil {
		return sample.Sample{}, fmt.Errorf("scene %d: %w", i, err)
	}
	caption := p.caption(scene, rng)
	image, err := p.render(scene, rng).PNG()
	if err != nil {
		return sample.Sample{}, fmt.Errorf("scene %d: %w", i, err)
	}
	truth, err := json.Marshal(scene)
	if err != nil {
		return sample.Sample{}, fmt.Errorf("scene %d: %w", i, err)
	}
	concepts := make([]string, 0, len(scene.Objects))
	for _, o := range scene.Objects {
		concepts = append(concepts, o.Color+" "+o.Shape)
	}
	return sample.Sample{
		Key: fmt.Sprintf("scene-%08d", i), Image: image, Format: "png", Caption: caption,
		Facts: sample.Facts{
			Source: Name, Concepts: concepts, Origin: "clean",
			Truth: &sample.Truth{Caption: caption, Scene: truth},
		},
	}, nil
}
