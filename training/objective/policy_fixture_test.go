package objective_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/optim"
	"tempera/training/policy"
)

// writer samples from a model through an ordinary graph, a whole forward pass for each token: slow, and a second opinion on what training computes.
type writer struct {
	t           testing.TB
	model       *model.Model
	temperature float64
	length      int
	off         float64 // added to what it reports
	calls       int
	given       int32                   // a token that the environment puts in after the first one; 0: none
	graphs      map[[2]int]*graph.Graph // by length of the text and number of its pictures
}

func (w *writer) Sample(prompts []objective.Prompt, samples int) ([]objective.Group, error) {
	w.calls++
	var groups []objective.Group
	for _, p := range prompts {
		g := objective.Group{Prompt: p}
		for i := range samples {
			g.Samples = append(g.Samples, w.write(p, rand.New(rand.NewPCG(p.Seed, uint64(i)))))
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// end is the token that ends a text.
const end = 1

func (w *writer) write(p objective.Prompt, r *rand.Rand) objective.Sample {
	s := objective.Sample{}
	if w.given != 0 {
		s.Given = []bool{}
	}
	all := append([]int32(nil), p.Tokens...)
	for len(s.Tokens) < w.length {
		logProbs := w.logProbs(all, p.Pictures)
		token, u := int32(0), r.Float64()
		for token = range int32(len(logProbs) - 1) {
			if u -= math.Exp(logProbs[token]); u < 0 {
				break
			}
		}
		put := func(token int32, lp float64, given bool) {
			all, s.Tokens, s.LogProbs = append(all, token), append(s.Tokens, token), append(s.LogProbs, float32(lp))
			if s.Given != nil {
				s.Given = append(s.Given, given)
			}
		}
		put(token, logProbs[token]+w.off, false)
		if token == end {
			s.Ended = true
			break
		}
		if w.given != 0 && len(s.Tokens) == 1 {
			put(w.given, 0, true)
		}
	}
	return s
}

// logProbs are those of the token after a text, which shows the pictures.
func (w *writer) logProbs(tokens []int32, pictures [][]float32) []float64 {
	c := w.model.Config
	size := [2]int{len(tokens), len(pictures)}
	g := w.graphs[size]
	if g == nil {
		var err error
		g, err = graph.Build(w.model.Backend(), graph.Options{}, func(g *graph.Graph) *graph.Node {
			text := model.Texts{Tokens: g.Input("tokens", device.Int32, 1, len(tokens))}
			if n := len(pictures); n > 0 {
				text.Slots = g.Input("slots", device.Int32, 1, len(tokens))
				text.Patches = w.model.ProjectImages(g, w.model.VisionStates(g, g.Input("images", device.Float32, n, 3, c.Vision.Image, c.Vision.Image)))
			}
			g.Output("logits", w.model.TokenLogits(g, w.model.Decode(g, text, nil).States))
			return nil
		})
		require.NoError(w.t, err)
		w.t.Cleanup(func() { require.NoError(w.t, g.Close()) })
		if w.graphs == nil {
			w.graphs = map[[2]int]*graph.Graph{}
		}
		w.graphs[size] = g
	}
	if len(pictures) > 0 {
		shown := len(pictures) * c.ImageTokens()
		first := slices.Index(tokens, c.Text.Special.Image)
		words, places, err := c.PlaceImages(tokens[:first+shown], shown)
		require.NoError(w.t, err)
		for _, id := range tokens[first+shown:] { // what was written is no picture, whatever its token
			words, places = append(words, id), append(places, -1)
		}
		require.NoError(w.t, errors.Join(g.Feed("slots", places), g.Feed("images", slices.Concat(pictures...))))
		tokens = words
	}
	require.NoError(w.t, g.Feed("tokens", tokens))
	require.NoError(w.t, g.Run())
	logits, err := g.Read("logits")
	require.NoError(w.t, err)
	v := c.Text.Vocab
	last := logits[len(logits)-v:]
	out, sum := make([]float64, v), 0.0
	for i, x := range last {
		out[i] = float64(x) / w.temperature
		sum += math.Exp(out[i])
	}
	for i := range out {
		out[i] -= math.Log(sum)
	}
	return out
}

// likes rewards a token, and short texts a little.
type likes struct{ token int32 }

func (l likes) Judge(groups []objective.Group) error {
	for i := range groups {
		g := &groups[i]
		g.Verdicts = nil
		for _, s := range g.Samples {
			v := objective.Verdict{Parts: map[string]float64{"liked": 0}}
			for t, token := range s.Tokens {
				if token == l.token && (s.Given == nil || !s.Given[t]) {
					v.Parts["liked"]++
				}
			}
			v.Right = v.Parts["liked"] > 0
			v.Reward = v.Parts["liked"] / float64(len(s.Tokens))
			g.Verdicts = append(g.Verdicts, v)
		}
	}
	return nil
}

// indifferent gives all samples one reward.
type indifferent struct{}

func (indifferent) Judge(groups []objective.Group) error {
	for i := range groups {
		groups[i].Verdicts = make([]objective.Verdict, len(groups[i].Samples))
	}
	return nil
}

// few are prompts of two tokens.
type few struct{}

func (few) Draw(iteration int64, round, n int) ([]objective.Prompt, error) {
	out := make([]objective.Prompt, n)
	for i := range out {
		at := int(iteration)*n + i + 7*round
		out[i] = objective.Prompt{Index: at, Tokens: []int32{int32(4 + at%5), int32(4 + at%3)}[:1+at%2]}
	}
	return out, nil
}

// shown are the prompts of few, some of which show two pictures and the others one.
type shown struct{ config model.Config }

func (s shown) Draw(iteration int64, round, n int) ([]objective.Prompt, error) {
	out, err := few{}.Draw(iteration, round, n)
	for i := range out {
		p := &out[i]
		r := rand.New(rand.NewPCG(uint64(p.Index), 9))
		for range 1 + p.Index%2 {
			picture := make([]float32, s.config.Vision.Pixels())
			for k := range picture {
				picture[k] = float32(r.NormFloat64())
			}
			p.Pictures = append(p.Pictures, picture)
		}
		images := slices.Repeat([]int32{s.config.Text.Special.Image}, len(p.Pictures)*s.config.ImageTokens())
		p.Tokens = append(images, p.Tokens...)
	}
	return out, err
}

func grpo() objective.PolicyOptions {
	return objective.PolicyOptions{
		Seed: 3, Prompts: 4, Group: 4, Epochs: 1, Minibatches: 2, Temperature: 1, Length: 6,
		Advantage: objective.ByGroup, Baseline: policy.GroupStd, SkipEqual: true, Rounds: 1, Aggregation: policy.PerSequence,
		Clip: policy.Clip{Low: 0.2, High: 0.2}, GraphTokens: 64, MaxDrift: 1e-3, MaxMoved: 5, EqualLimit: 3,
	}
}

// policyCase is a way to learn.
type policyCase struct {
	change func(o *objective.PolicyOptions)
	critic bool
	lora   bool
	sees   bool // a vlm
}

func policyCases() map[string]policyCase {
	return map[string]policyCase{
		"grpo": {},
		"grpo with a reference, two epochs and a temperature": {change: func(o *objective.PolicyOptions) {
			o.Beta, o.KL, o.Epochs, o.Temperature, o.SkipEqual, o.Entropy = 0.05, policy.K3, 2, 1.3, false, 0.01
		}},
		"dr grpo of lora": {lora: true, change: func(o *objective.PolicyOptions) { o.Baseline, o.Aggregation = policy.GroupMean, policy.PerLength }},
		"dapo": {change: func(o *objective.PolicyOptions) {
			o.Aggregation, o.Rounds, o.Clip.High = policy.PerToken, 3, 0.28
			o.Overlong = policy.Overlong{Limit: 6, Cache: 2}
		}},
		"rloo": {change: func(o *objective.PolicyOptions) {
			o.Baseline, o.Whiten, o.Beta, o.KLInReward, o.SkipEqual = policy.LeaveOneOut, true, 0.005, true, false
		}},
		"reinforce++": {change: returns},
		"ppo":         {critic: true, change: values},
		"grpo with pictures, and a reference that sees them": {sees: true, change: func(o *objective.PolicyOptions) {
			o.Beta, o.KL, o.SkipEqual = 0.05, policy.K3, false
		}},
		"ppo with pictures": {sees: true, critic: true, change: values},
		"old computed new":  {change: func(o *objective.PolicyOptions) { o.Importance = &policy.Importance{Most: 2} }},
	}
}

func returns(o *objective.PolicyOptions) {
	o.Advantage, o.Baseline, o.GAE, o.Whiten, o.SkipEqual = objective.ByReturns, "", policy.GAE{Gamma: 1, Lambda: 1}, true, false
	o.Beta, o.KLInReward, o.Aggregation = 0.005, true, policy.PerToken
	o.KLControl = policy.KLControl{Target: 4, Horizon: 1000}
}

func values(o *objective.PolicyOptions) {
	returns(o)
	o.Advantage, o.GAE.Lambda, o.Epochs, o.ValueClip, o.ValueLoss = objective.ByValues, 0.95, 2, 0.2, 0.1
}

// policyRun is a policy that learns, with all that it needs.
type policyRun struct {
	*objective.Policy
	options objective.PolicyOptions
	model   *model.Model
	sampler *writer
	loop    *training.Loop
	metrics *rows
}

// rows keeps what a loop writes.
type rows struct{ all []map[string]float64 }

func (r *rows) Write(_ int64, values map[string]float64) error {
	r.all = append(r.all, values)
	return nil
}

func newPolicyRun(t testing.TB, c policyCase, threads int) *policyRun {
	t.Helper()
	b := newCPU(t, threads)
	o := grpo()
	if c.change != nil {
		c.change(&o)
	}
	config, prompts := tiny(model.LM), objective.Prompts(few{})
	config.Text.Form, config.Text.Vocab, config.Text.Context = model.Llama, 12, 10
	if c.sees {
		config = tiny(model.VLM)
		config.Text.Form, config.Text.Vocab, config.Text.Special.Image, config.Text.Context, config.Projector.Merge = model.Llama, 12, 11, 18, 1
		config = config.Resolve()
		prompts = shown{config}
	}
	if c.lora {
		config.LoRA = &model.LoRA{Rank: 4}
	}
	m := newModel(t, b, config)
	w := &writer{t: t, model: m, temperature: o.Temperature, length: o.Length}
	parts := objective.PolicyParts{Model: m, Prompts: prompts, Sampler: w, Judge: likes{7}}
	if o.Beta > 0 {
		parts.Reference = newModel(t, b, config)
	}
	if c.critic {
		config.Score = &model.Score{}
		parts.Critic = newModel(t, b, config)
	}
	p, err := objective.NewPolicy(parts, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	r := &policyRun{Policy: p, options: o, model: m, sampler: w, metrics: &rows{}}
	r.loop = &training.Loop{
		Backend: b, Objective: p, Batches: func(int64, *training.Batch) error { return nil }, Metrics: r.metrics,
		Config: training.Config{
			Steps: 2 * o.Steps(), BatchSize: o.Prompts * o.Group, LogSteps: o.Steps(), Digest: "a", Seed: 1,
			Schedule: optim.Schedule{Peak: 3e-3, Floor: 1}, AdamW: optim.DefaultOptions(),
		},
	}
	return r
}

// digest is the bits of all parameters.
func (r *policyRun) digest(t testing.TB) string {
	t.Helper()
	var s string
	for _, p := range r.Params() {
		v, err := device.ReadFloats(r.model.Backend(), p.Value)
		require.NoError(t, err)
		for _, x := range v {
			s += fmt.Sprintf("%08x", math.Float32bits(x))
		}
	}
	return s
}
