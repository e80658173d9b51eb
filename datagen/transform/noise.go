package transform

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"tempera/datagen/sample"
)

// Noise says which share of the captions is spoiled, and how. The kinds of
// noise hit different samples, drawn from one shuffle.
type Noise struct {
	Mismatch    float64 // the caption of another image
	Keywords    float64 // search words in place of a sentence
	Boilerplate float64 // what shops and cameras write
	Truncation  float64 // the first words only
	Seed        uint64
}

// The kinds of noise, as sample.Truth names them.
const (
	NoiseMismatch    = "mismatch"
	NoiseKeywords    = "keywords"
	NoiseBoilerplate = "boilerplate"
	NoiseTruncation  = "truncation"
)

// Validate reports every fault.
func (n Noise) Validate() error {
	var faults []error
	sum := 0.0
	for _, s := range n.shares() {
		if !(s.share >= 0 && s.share <= 1) {
			faults = append(faults, fmt.Errorf("%s is %g: use a share from 0 to 1", s.kind, s.share))
		}
		sum += s.share
	}
	if len(faults) == 0 && sum > 1+1e-9 {
		faults = append(faults, fmt.Errorf("the shares of noise add up to %g: use at most 1 in all", sum))
	}
	return errors.Join(faults...)
}

type share struct {
	kind  string
	share float64
}

func (n Noise) shares() []share {
	return []share{{NoiseMismatch, n.Mismatch}, {NoiseKeywords, n.Keywords}, {NoiseBoilerplate, n.Boilerplate}, {NoiseTruncation, n.Truncation}}
}

// Apply spoils captions. It ranges over the stream twice: first for the
// captions, which it keeps in memory, then for the samples. Every sample keeps
// its right caption, and what was done to it, in its truth.
//
// Mismatched captions are shifted cyclically inside their subset, which is in
// random order: each goes to exactly one other image.
func (n Noise) Apply(in sample.Stream) (sample.Stream, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	var captions []string
	for s, err := range in {
		if err != nil {
			if isFault(err) {
				continue
			}
			return nil, err
		}
		captions = append(captions, s.Caption)
	}
	spoiled := n.spoil(captions)
	return func(yield func(sample.Sample, error) bool) {
		i := 0
		for s, err := range in {
			if err == nil {
				if i == len(spoiled) {
					yield(sample.Sample{}, errors.New("noise: the stream has more samples the second time"))
					return
				}
				spoiled[i].put(&s)
				i++
			}
			if !yield(s, err) || err != nil && !isFault(err) {
				return
			}
		}
	}, nil
}

// spoiling is what becomes of one caption; kind is empty where it stays.
type spoiling struct{ kind, caption string }

func (p spoiling) put(s *sample.Sample) {
	truth := sample.Truth{Caption: s.Caption}
	if s.Facts.Truth != nil {
		truth = *s.Facts.Truth // not written through: the stream may yield it again
	}
	s.Facts.Origin = "web"
	if p.kind != "" {
		truth.Noise, s.Caption = p.kind, p.caption
	}
	s.Facts.Truth = &truth
}

func (n Noise) spoil(captions []string) []spoiling {
	out := make([]spoiling, len(captions))
	rng := sample.Random(n.Seed, "noise", 0)
	order := rng.Perm(len(captions))
	for _, s := range n.shares() {
		count := min(len(order), int(float64(float64(len(captions))*s.share)+1e-9))
		if s.kind == NoiseMismatch && count == 1 {
			count = 0 // there is no other caption to take
		}
		for j, i := range order[:count] {
			own := captions[i]
			switch s.kind {
			case NoiseMismatch:
				out[i] = spoiling{s.kind, captions[order[(j+count-1)%count]]}
			case NoiseKeywords:
				out[i] = spoiling{s.kind, keywords(own, rng)}
			case NoiseBoilerplate:
				out[i] = spoiling{s.kind, boilerplate(own, rng)}
			case NoiseTruncation:
				out[i] = spoiling{s.kind, truncate(own, rng)}
			}
		}
		order = order[count:]
	}
	return out
}

// stopWords say nothing in a list of search words.
var stopWords = map[string]bool{"a": true, "an": true, "the": true, "of": true, "to": true, "is": true, "there": true, "we": true, "see": true, "and": true, "with": true, "at": true, "picture": true}

// keywords shuffles some of the caption's words.
func keywords(caption string, rng *rand.Rand) string {
	var words []string
	for w := range strings.FieldsSeq(caption) {
		if !stopWords[w] {
			words = append(words, w)
		}
	}
	if len(words) == 0 {
		return caption
	}
	rng.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	return strings.Join(words[:1+rng.IntN(len(words))], " ")
}

func boilerplate(caption string, rng *rand.Rand) string {
	last := caption[strings.LastIndexByte(caption, ' ')+1:]
	switch rng.IntN(5) {
	case 0:
		return fmt.Sprintf("img %04d", rng.IntN(10000))
	case 1:
		return fmt.Sprintf("dsc %05d jpg", rng.IntN(100000))
	case 2:
		return last + " free download"
	case 3:
		return "buy " + last + " online best price"
	}
	return "click to enlarge"
}

// truncate keeps the first words, at least one and not all.
func truncate(caption string, rng *rand.Rand) string {
	words := strings.Fields(caption)
	if len(words) < 2 {
		return caption
	}
	return strings.Join(words[:1+rng.IntN(len(words)-1)], " ")
}
