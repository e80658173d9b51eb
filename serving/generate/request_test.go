package generate

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/model"
)

func TestBadRequestsAreReportedTogether(t *testing.T) {
	f := newFixture(t, "blip", Options{Rows: 8})
	image := f.image(1)
	nan := math.NaN()
	for _, c := range []struct {
		name, fault string
		request     Request
	}{
		{"an image of another size", "states", Request{Image: image[1:]}},
		{"a prompt as long as the context", "shorten", Request{Image: image, Prompt: Tokens(make([]int32, 80)...)}},
		{"more tokens than the context has room for", "has room for 78", Request{Image: image, Prompt: Tokens(1, 2), MaxTokens: 79}},
		{"a prompt token outside the vocabulary", "ids run", Request{Image: image, Prompt: Tokens(53)}},
		{"a part of nothing", "part 0", Request{Image: image, Prompt: []Part{{}}}},
		{"embeddings for a captioner", "takes tokens only", Request{Image: image, Prompt: []Part{{Embeddings: make([]float32, 32)}}}},
		{"a suppressed token outside the vocabulary", "suppressed", Request{Image: image, Suppress: []int32{-1}}},
		{"a stop token outside the vocabulary", "stop tokens", Request{Image: image, StopTokens: []int32{53}}},
		{"negative max tokens", "max tokens", Request{Image: image, MaxTokens: -1}},
		{"min tokens above max tokens", "min tokens", Request{Image: image, MaxTokens: 3, MinTokens: 4}},
		{"stop strings without a decoder", "Decode", Request{Image: image, Stop: []string{"x"}}},
		{"an empty stop string", "is empty", Request{Image: image, Stop: []string{""}}},
		{"samples that are all the same", "all the same", Request{Image: image, Samples: 2}},
		{"negative samples", "samples is -1", Request{Image: image, Samples: -1}},
		{"beams and temperature", "either", Request{Image: image, Search: Search{Beams: 2, Temperature: 1}}},
		{"beams and penalties", "either", Request{Image: image, Search: Search{Beams: 2, PresencePenalty: 1}}},
		{"beams that stream", "at the end", Request{Image: image, OnToken: func(Event) {}, Search: Search{Beams: 2}}},
		{"more samples than beams", "ask for at most", Request{Image: image, Samples: 3, Search: Search{Beams: 2}}},
		{"too many beams", "beams", Request{Image: image, Search: Search{Beams: 65}}},
		{"more beams than rows", "more rows", Request{Image: image, Search: Search{Beams: 9}}},
		{"a length penalty without beams", "length penalty", Request{Image: image, Search: Search{LengthPenalty: 1}}},
		{"top-p above 1", "top-p", Request{Image: image, Search: Search{Temperature: 1, TopP: 1.5}}},
		{"min-p that is no number", "min-p", Request{Image: image, Search: Search{Temperature: 1, MinP: nan}}},
		{"a negative repetition penalty", "repetition", Request{Image: image, Search: Search{RepetitionPenalty: -1}}},
		{"top-p without temperature", "set a temperature", Request{Image: image, Search: Search{TopP: 0.5}}},
		{"top below 0", "top is -1", Request{Image: image, Top: -1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := f.Generate(context.Background(), []Request{{Image: image}, c.request, {Image: nil}})
			require.ErrorContains(t, err, c.fault)
			require.ErrorContains(t, err, "request 1")
			require.ErrorContains(t, err, "request 2")
		})
	}
	_, err := f.Generate(context.Background(), []Request{{Image: image, Suppress: every(53)}})
	require.ErrorContains(t, err, "leave some")
	small := f.with(t, f.engine, Options{Memory: 4 * f.pageBytes()})
	_, err = small.Generate(context.Background(), []Request{{Image: image}})
	require.ErrorContains(t, err, "raise the memory")
}

func every(n int32) (ids []int32) {
	for i := range n {
		ids = append(ids, i)
	}
	return ids
}

func TestBadTextsAreNotScored(t *testing.T) {
	f := newFixture(t, "llama", Options{})
	for fault, x := range map[string]Scored{
		"is empty": {}, "ids run": {Text: Tokens(-1)}, "temperature is -1": {Text: Tokens(1), Temperature: -1}, "context is 80": {Text: Tokens(make([]int32, 81)...)},
		"no image": {Text: Tokens(1), Image: make([]float32, 3)},
	} {
		_, err := f.Score(context.Background(), []Scored{{Text: Tokens(make([]int32, 80)...)}, x})
		require.ErrorContains(t, err, fault)
		require.ErrorContains(t, err, "request 1")
		require.NotContains(t, err.Error(), "request 0")
	}
}

func TestAGeneratorNamesEveryMissingParameter(t *testing.T) {
	f := newFixture(t, "blip", Options{})
	get := func(name string) ([]float32, error) {
		if name == "text.blocks.1.cross.kv.weight" {
			return nil, errors.New("no cross.kv")
		}
		v, err := f.weights.Get(name)
		if name == "text.norm.bias" {
			v = v[1:]
		}
		return v, err
	}
	_, err := New(newEngine(t, 1), f.config, get, Options{})
	require.ErrorContains(t, err, "no cross.kv")
	require.ErrorContains(t, err, "text.norm.bias has 31 values")
	clip := model.Config{Kind: model.CLIP, Text: textConfig(), Vision: model.Vision{Image: 8}}
	_, err = New(newEngine(t, 1), clip.Resolve(), get, Options{})
	require.ErrorContains(t, err, "has no decoder")
	_, err = New(newEngine(t, 1), f.config, f.weights.Get, Options{Page: 40})
	require.ErrorContains(t, err, "multiple of 32")
	_, err = New(newEngine(t, 1), f.config, f.weights.Get, Options{Memory: 1000})
	require.ErrorContains(t, err, "raise the memory")
}

func TestACancelledCallStops(t *testing.T) {
	f := newFixture(t, "gpt2", Options{})
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	_, err := f.Generate(ctx, []Request{{Suppress: []int32{2}, OnToken: func(Event) {
		if n++; n == 5 {
			cancel()
		}
	}}})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 5, n)
	require.Equal(t, f.pool.Total(), f.pool.Free())
}

func TestWeightsThatAreNotNumbersAreAnError(t *testing.T) {
	f := newFixture(t, "gpt2", Options{})
	token, err := f.weights.Get("text.position")
	require.NoError(t, err)
	token[2*32+3] = float32(math.NaN()) // the third token of a text
	for _, s := range []Search{{}, {Beams: 2}, {Temperature: 1, TopP: 0.9}, {Temperature: 1, TopK: 3}} {
		_, err = f.Generate(context.Background(), []Request{{MaxTokens: 2, Suppress: []int32{2}}, {Search: s, Suppress: []int32{2}}})
		require.ErrorIs(t, err, errNoToken)
		require.ErrorContains(t, err, "request 1")
	}
	_, err = f.Score(context.Background(), []Scored{{Text: Tokens(1, 2)}, {Text: Tokens(1, 2, 3, 4)}})
	require.ErrorIs(t, err, errNoToken)
	require.ErrorContains(t, err, "request 1")
	require.Equal(t, f.pool.Total(), f.pool.Free())
	write(t, f.Generator, Request{MaxTokens: 2, Suppress: []int32{2}})
}
