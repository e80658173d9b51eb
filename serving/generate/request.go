package generate

import (
	"errors"
	"fmt"

	"tempera/training/model"
)

// Request asks for one text.
type Request struct {
	// Image are the states of the image, (P, C) as model.VisionStates gives them; nil for a language model.
	Image []float32
	// Prompt are the tokens that the text begins with, BOS included; empty means BOS alone.
	Prompt []int32
	// MaxTokens bounds the generated tokens, EOS included; 0 means what is left of the context.
	MaxTokens int
	// Suppress are tokens that are never generated: padding, BOS and the like.
	Suppress []int32
	// Seed makes the draws of a sampling request; the same request gives the same text.
	Seed   uint64
	Search Search
}

// Search is how tokens are chosen. The zero value is greedy: the likeliest token at each step.
type Search struct {
	// Beams above 1 keep that many texts and return the one with the largest sum log p / length^LengthPenalty, where the length counts the
	// generated tokens, EOS included.
	Beams         int
	LengthPenalty float64
	// Temperature above 0 samples from softmax(logits / Temperature), cut to the TopK likeliest tokens (0: all), then to the smallest set
	// whose probability is at least TopP (0: all; Holtzman et al. 2020).
	Temperature float64
	TopK        int
	TopP        float64
}

// Result is a generated text.
type Result struct {
	Tokens   []int32   // the generated tokens, without prompt and EOS
	LogProbs []float32 // of each token, then of EOS if the text ended: under the model, before temperature, cuts and suppression
	LogProb  float64   // their sum
	Ended    bool      // EOS came; else MaxTokens or the context ended the text
}

// validate returns all faults of a request at once.
func (d *Decoder) validate(r Request) error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	t := d.config.Text
	if want := d.memory * d.config.Vision.Width; d.config.Kind == model.BLIP && len(r.Image) != want {
		add("the image has %d values: give its %d states of width %d, %d values", len(r.Image), d.memory, d.config.Vision.Width, want)
	}
	if d.config.Kind == model.LM && r.Image != nil {
		add("a language model sees no image: leave it out")
	}
	if len(r.Prompt) >= t.Context {
		add("the prompt has %d tokens: the context of %d leaves no room, shorten it", len(r.Prompt), t.Context)
	}
	for i, id := range r.Prompt {
		if id < 0 || int(id) >= t.Vocab {
			add("prompt token %d is %d: ids run from 0 to %d", i, id, t.Vocab-1)
		}
	}
	for _, id := range r.Suppress {
		if id < 0 || int(id) >= t.Vocab {
			add("suppressed token %d is not in the vocabulary of %d", id, t.Vocab)
		}
	}
	if len(r.Suppress) >= t.Vocab {
		add("all %d tokens are suppressed: leave some", t.Vocab)
	}
	if r.MaxTokens < 0 {
		add("max tokens is %d: give a positive number, or 0 for the context", r.MaxTokens)
	}
	s := r.Search
	if s.Beams < 0 || s.Beams > maxBeams || 2*s.Beams > t.Vocab-len(r.Suppress) && s.Beams > 1 {
		add("%d beams: give at most %d and no more than half the vocabulary", s.Beams, maxBeams)
	}
	if s.Beams > 1 && s.Temperature > 0 {
		add("a search with beams does not sample: set either beams or temperature")
	}
	if s.Temperature < 0 || s.TopP < 0 || s.TopP > 1 || s.TopK < 0 {
		add("temperature %v, top-p %v, top-k %d: none is negative, top-p is at most 1", s.Temperature, s.TopP, s.TopK)
	}
	if s.Temperature == 0 && (s.TopK != 0 || s.TopP != 0) {
		add("top-k and top-p are for sampling: set a temperature, such as 1")
	}
	return errors.Join(faults...)
}

const maxBeams = 64
