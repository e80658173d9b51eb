package model

import (
	"errors"
	"fmt"
	"math"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// Scorer computes features of images and texts and judges pairs, for evaluation
// and filtering. Its graphs have no reverse pass and work on batches of one size;
// calls may have any number of rows. It is not safe for concurrent use.
type Scorer struct{ batched }

// Inputs and outputs of a scorer's graphs.
const (
	inImages  = "images"
	inTokens  = "tokens"
	inLengths = "lengths"
	inLast    = "last"
	inStates  = "states"
	outResult = "result"
)

// NewScorer makes a scorer that works on batches of a size, at least 1.
func NewScorer(m *Model, batch int) (*Scorer, error) {
	if m.Config.decoder() {
		return nil, fmt.Errorf("scorer: a model of kind %s has no features: use clip or blip", m.Config.Kind)
	}
	b, err := newBatched("scorer", m, batch)
	if err != nil {
		return nil, err
	}
	return &Scorer{b}, nil
}

// Embed is the width of features.
func (s *Scorer) Embed() int { return s.model.Config.Embed }

// ImageFeatures returns the normalised features (n, E) of n images (n, 3, H, W).
func (s *Scorer) ImageFeatures(images []float32, n int) ([]float32, error) {
	if pixels := s.model.Config.Vision.Pixels(); n < 0 || len(images) != n*pixels {
		return nil, fmt.Errorf("scorer: %d values are not %d images of %d", len(images), n, pixels)
	}
	out, _, err := s.ofImages("image features", images, func(g *graph.Graph) *graph.Node {
		return op.L2Normalize(g, s.model.ImageFeature(g, s.model.VisionStates(g, s.imageInput(g))))
	})
	return out, err
}

// TextFeatures returns the normalised features (n, E) of texts: tokens (n, T) with
// padding up to the model's context, lengths (n).
func (s *Scorer) TextFeatures(tokens, lengths []int32) ([]float32, error) {
	if err := s.checkTexts(tokens, lengths); err != nil {
		return nil, err
	}
	g, err := s.evaluate("text features", func(g *graph.Graph) *graph.Node {
		t := s.textInput(g)
		return op.L2Normalize(g, s.model.TextFeature(g, s.model.TextStates(g, t), t))
	})
	if err != nil {
		return nil, err
	}
	return s.batches(g, len(lengths), func(from, to int) error {
		return s.feedTexts(g, tokens, lengths, counted(from, to))
	})
}

// MatchScores returns for each image and the text in the same row the probability
// that they belong together, as the matching head of a blip model sees it.
func (s *Scorer) MatchScores(images []float32, tokens, lengths []int32) ([]float32, error) {
	pairs := make([]Pair, len(lengths))
	for i := range pairs {
		pairs[i] = Pair{i, i}
	}
	return s.MatchPairs(images, tokens, lengths, pairs)
}

// Pair names an image and a text by their rows.
type Pair struct{ Image, Text int }

// MatchPairs is MatchScores for any pairs of images and texts, such as the
// candidates of a retrieval that are to be ranked anew. The image tower runs once
// per image.
func (s *Scorer) MatchPairs(images []float32, tokens, lengths []int32, pairs []Pair) ([]float32, error) {
	if s.model.Config.Kind != BLIP {
		return nil, fmt.Errorf("scorer: a model of kind %s has no matching head", s.model.Config.Kind)
	}
	if err := s.checkTexts(tokens, lengths); err != nil {
		return nil, err
	}
	states, count, err := s.ImageStates(images)
	if err != nil {
		return nil, err
	}
	for i, p := range pairs {
		if p.Image < 0 || p.Image >= count || p.Text < 0 || p.Text >= len(lengths) {
			return nil, fmt.Errorf("scorer: pair %d is image %d with text %d, of %d and %d", i, p.Image, p.Text, count, len(lengths))
		}
	}
	g, err := s.matchGraph()
	if err != nil {
		return nil, err
	}
	tokens = s.encoded(tokens)
	row := s.model.Config.Vision.Tokens() * s.model.Config.Vision.Width
	gathered := make([]float32, s.batch*row)
	logits, err := s.batches(g, len(pairs), func(from, to int) error {
		texts := make([]int, 0, s.batch)
		for i, p := range pairs[from:to] {
			copy(gathered[i*row:(i+1)*row], states[p.Image*row:(p.Image+1)*row])
			texts = append(texts, p.Text)
		}
		return errors.Join(g.Feed(inStates, gathered), s.feedTexts(g, tokens, lengths, texts))
	})
	if err != nil {
		return nil, err
	}
	scores := make([]float32, len(pairs))
	for i := range scores {
		scores[i] = float32(1 / (1 + math.Exp(float64(logits[2*i])-float64(logits[2*i+1]))))
	}
	return scores, nil
}

func (s *Scorer) matchGraph() (*graph.Graph, error) {
	v := s.model.Config.Vision
	return s.evaluate("matching", func(g *graph.Graph) *graph.Node {
		states := g.Input(inStates, device.Float32, s.batch, v.Tokens(), v.Width)
		return s.model.MatchLogits(g, s.model.GroundedStates(g, s.textInput(g), s.model.Memory(g, states)))
	})
}

// ImageStates returns the image tower's output for each of n images, (n, Tokens, C):
// what a decoder attends to.
func (s *Scorer) ImageStates(images []float32) (states []float32, n int, err error) {
	return s.ofImages("image states", images, func(g *graph.Graph) *graph.Node {
		return s.model.VisionStates(g, s.imageInput(g))
	})
}
