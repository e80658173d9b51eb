package activities

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/datagen/task"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
)

// phrase is words that the tests' tokenizer knows.
func phrase(r *rand.Rand, n int) string {
	words := []string{"the", "red", "blue", "cat", "dog", "fox", "runs", "sings", "sleeps", "over", "under"}
	out := ""
	for range 1 + r.IntN(n) {
		out += " " + words[r.IntN(len(words))]
	}
	return out
}

// completions, preferences, labels and steps are rows of each form.
func completions(seed uint64, n int) (rows []*example.Example) {
	r := rand.New(rand.NewPCG(seed, 1))
	for range n {
		rows = append(rows, &example.Example{Prompt: example.Plain("the" + phrase(r, 3)), Completion: example.Plain(phrase(r, 6))})
	}
	return rows
}

// preferences like cats and do not like dogs; the longer completion is not the
// better one.
func preferences(seed uint64, n int) (rows []*example.Example) {
	r := rand.New(rand.NewPCG(seed, 2))
	for range n {
		rows = append(rows, &example.Example{
			Prompt: example.Plain("the" + phrase(r, 3)), Margin: 1 + r.Float64(),
			Chosen: example.Plain(phrase(r, 3) + " cat" + phrase(r, 3)), Rejected: example.Plain(phrase(r, 3) + " dog" + phrase(r, 3)),
		})
	}
	return rows
}

func labels(seed uint64, n int) (rows []*example.Example) {
	for i, x := range preferences(seed, n) {
		good := i%2 == 0
		row := &example.Example{Prompt: x.Prompt, Completion: x.Rejected, Label: &good}
		if good {
			row.Completion = x.Chosen
		}
		rows = append(rows, row)
	}
	return rows
}

func steps(seed uint64, n int) (rows []*example.Example) {
	r := rand.New(rand.NewPCG(seed, 3))
	for range n {
		x := &example.Example{Prompt: example.Plain("the" + phrase(r, 2))}
		for range 1 + r.IntN(3) {
			good := r.IntN(2) == 0
			step := " dog" + phrase(r, 2)
			if good {
				step = " cat" + phrase(r, 2)
			}
			x.Steps, x.StepLabels = append(x.Steps, step), append(x.StepLabels, good)
		}
		rows = append(rows, x)
	}
	return rows
}

// seenScenes are about pictures.
func seenScenes(seed uint64, n int) (rows []*example.Example) {
	scene, err := task.Find("scene")
	if err != nil {
		panic(err)
	}
	g, err := scene.Open(nil)
	if err != nil {
		panic(err)
	}
	for i := range n {
		x, err := g.Generate(seed, i)
		if err != nil {
			panic(err)
		}
		rows = append(rows, task.Demonstrate(x))
	}
	return rows
}

// seenPreferences prefer the right answer about a picture to one about another.
func seenPreferences(seed uint64, n int) (rows []*example.Example) {
	all := seenScenes(seed, n)
	for i, x := range all {
		row := *x
		row.Chosen, row.Rejected, row.Completion = x.Completion, all[(i+1)%n].Completion, nil
		rows = append(rows, &row)
	}
	return rows
}

// beginner makes a tokenizer and a model that has learned nothing.
func (l *workshop) beginner(config string) artifact.Artifact {
	l.t.Helper()
	text := l.text(120, 1)
	tok := l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 300, "lowercase": false, "prefix_space": false}`, inputs: ports{"data": {text}}}, "tokenizer")
	return l.output(execution{kind: initModel(), params: config, inputs: ports{"tokenizer": {tok}}}, "model")
}

const small = `{"seed": 3, "model": {"width": 16, "text_layers": 1, "heads": 2, "context": 48, "config": {"text": {"form": "llama", "tie_head": true, "token_std": 0.2}}}}`

const smallSeer = `{"kind": "vlm", "seed": 6, "model": {"width": 16, "layers": 1, "text_layers": 1, "heads": 2, "patch": 8, "context": 96, "config": {"text": {"form": "llama"}}}}`

// lessons are the trainings of rows.
func (l *workshop) lessons() map[string]execution {
	m := l.beginner(small)
	teacher := l.beginner(`{"seed": 4, "model": {"width": 24, "text_layers": 1, "heads": 2, "context": 64, "config": {"text": {"form": "llama"}}}}`)
	const common = `"steps": 12, "batch": 8, "evaluate_every": 4, "keep": "best", "checkpoint_seconds": 0.001, "seed": 5`
	of := func(kind Kind, params string, rows func(uint64, int) []*example.Example) execution {
		return execution{kind: kind, params: "{" + common + params + "}", inputs: ports{
			"model": {m}, "data": {l.examples(rows(1, 40)...)}, "held_out": {l.examples(rows(2, 11)...)},
		}}
	}
	taught := of(distill(), `, "context": 32`, completions)
	taught.inputs["teacher"] = []artifact.Artifact{teacher}
	seer := l.beginner(smallSeer)
	seen := of(sft(), `, "accumulate": 2`, seenScenes)
	seen.inputs["model"] = []artifact.Artifact{seer}
	taughtSeer := of(distill(), `, "accumulate": 2`, seenScenes)
	taughtSeer.inputs["model"] = []artifact.Artifact{seer}
	taughtSeer.inputs["teacher"] = []artifact.Artifact{l.beginner(`{"kind": "vlm", "seed": 7, "model": {"width": 24, "layers": 1, "text_layers": 1, "heads": 2, "patch": 8, "context": 96, "config": {"text": {"form": "llama"}}}}`)}
	compared := of(dpo(), `, "accumulate": 2, "freeze": ["vision"]`, seenPreferences)
	compared.inputs["model"] = []artifact.Artifact{seer}
	judge := of(rewardModel(), `, "readout": "sum", "margin": true`, seenPreferences)
	judge.inputs["model"] = []artifact.Artifact{seer}
	all := map[string]execution{
		"sft with images": seen, "distill with images": taughtSeer, "dpo with images": compared, "a reward model with images": judge,
		"sft": of(sft(), `, "context": 24, "accumulate": 2, "noise": 5`, completions), "distill": taught,
		"sft by lora":             of(sft(), `, "lora": {"rank": 2}, "adapter": "kept"`, completions),
		"dpo in parts":            of(dpo(), `, "accumulate": 4`, preferences),
		"dpo by kto of labels":    of(dpo(), `, "loss": "kto"`, labels),
		"dpo by orpo":             of(dpo(), `, "loss": "orpo"`, preferences),
		"a reward model":          of(rewardModel(), `, "accumulate": 2, "margin": true, "centring": 0.01`, preferences),
		"a verifier by lora":      of(rewardModel(), `, "learn": "labels", "readout": "likelihood", "bias": 2, "lora": {"rank": 2}`, labels),
		"a process reward model":  of(rewardModel(), `, "learn": "steps", "readout": "sum", "scale": 0.3`, steps),
		"dpo with spikes rewound": of(dpo(), `, "learning_rate": 0.3, "spike": {"window": 4, "factor": 3, "every": 3, "skip": 2, "most": 2}`, preferences),
	}
	return all
}

// TestATrainingOfRowsResumesAnywhereToTheBit: stopped or killed at random steps, with another number of threads, a training ends with the
// artifact and the metrics of the undisturbed one.
func TestATrainingOfRowsResumesAnywhereToTheBit(t *testing.T) {
	shop := &workshop{t, mem.New()}
	for name, a := range shop.lessons() {
		t.Run(name, func(t *testing.T) {
			l := &workshop{t, shop.store}
			a.threads = 1
			whole, err := l.run(a)
			require.NoError(t, err)
			require.Contains(t, whole.Metrics, "val_loss")
			r := rand.New(rand.NewPCG(7, 8))
			for range 3 {
				kept := &points{}
				a.points, a.threads = kept, 2
				a.stopAt = 1 + r.Int64N(10)
				if _, err := l.run(a); err != nil {
					require.ErrorIs(t, err, ErrStopped)
				}
				kept.lose(r)
				a.stopAt = -1
				got, err := l.run(a)
				require.NoError(t, err)
				require.Equal(t, whole, got)
				require.NotEmpty(t, kept.all)
			}
		})
	}
}

// TestAReferenceIsWhatDPOComputesItself, of the losses with and without a mismatched completion.
func TestAReferenceIsWhatDPOComputesItself(t *testing.T) {
	l := &workshop{t, mem.New()}
	m := l.beginner(small)
	data, more := l.examples(preferences(1, 30)...), l.examples(preferences(9, 30)...)
	for _, loss := range []string{"ipo", "kto"} {
		t.Run(loss, func(t *testing.T) {
			l := &workshop{t, l.store}
			params := fmt.Sprintf(`{"loss": %q, "batch": 8, "epochs": 2}`, loss)
			alone := l.output(execution{kind: dpo(), params: params, inputs: ports{"model": {m}, "data": {data}}}, "model")
			ref := l.output(execution{kind: reference(), params: fmt.Sprintf(`{"batch": 7, "mismatched": %v}`, loss == "kto"), inputs: ports{"model": {m}, "data": {data}}}, "scores")
			with := execution{kind: dpo(), params: params, inputs: ports{"model": {m}, "data": {data}, "reference": {ref}}}
			require.Equal(t, weightsOf(l, alone), weightsOf(l, l.output(with, "model")))

			with.inputs = ports{"model": {m}, "data": {more}, "reference": {ref}}
			_, err := l.run(with)
			require.ErrorContains(t, err, "make it of the same data")
			with.inputs = ports{"model": {alone}, "data": {data}, "reference": {ref}}
			_, err = l.run(with)
			require.ErrorContains(t, err, "make it of that model")
		})
	}
}

// weightsOf is the digest of a model's weights; its card says where it comes from.
func weightsOf(l *workshop, a artifact.Artifact) artifact.Digest {
	m, err := artifact.LoadManifest(l.t.Context(), l.store, a)
	require.NoError(l.t, err)
	f, err := m.Find(weightsFile)
	require.NoError(l.t, err)
	return f.Digest
}

// TestARewardModelLearnsWhatIsPreferred and evaluate_preferences says so, of the labels, of the true differences, and of length.
func TestARewardModelLearnsWhatIsPreferred(t *testing.T) {
	l := &workshop{t, mem.New()}
	m := l.beginner(small)
	held := preferences(12, 60)
	for i, x := range held { // a sixth of the labels is wrong
		if i%6 == 0 {
			x.Chosen, x.Rejected, x.Margin = x.Rejected, x.Chosen, -x.Margin
		}
	}
	judge := l.output(execution{kind: rewardModel(), threads: 2, params: `{"batch": 16, "epochs": 6, "learning_rate": 0.01, "readout": "sum"}`, inputs: ports{
		"model": {m}, "data": {l.examples(preferences(11, 200)...)},
	}}, "model")
	found, err := l.run(execution{kind: evaluatePreferences(), params: `{}`, inputs: ports{"model": {judge}, "data": {l.examples(held...)}}})
	require.NoError(t, err)
	truly := found.Metrics["true_accuracy"]
	require.GreaterOrEqual(t, truly, 0.85)
	require.InDelta(t, truly*5/6+(1-truly)/6, found.Metrics["accuracy"], 0.1)
	require.Less(t, found.Metrics["calibration_error"], 0.3)
	require.Less(t, found.Metrics["length_bias"], 0.5)

	_, err = l.run(execution{kind: evaluatePreferences(), params: `{}`, inputs: ports{"model": {m}, "data": {l.examples(held...)}}})
	require.ErrorContains(t, err, "train it with the kind reward_model")
}

// TestDPOPrefersWhatIsPreferred by every loss, on preferences that it was not trained on.
func TestDPOPrefersWhatIsPreferred(t *testing.T) {
	l := &workshop{t, mem.New()}
	m, data, held := l.beginner(small), l.examples(preferences(11, 160)...), l.examples(preferences(12, 60)...)
	for loss, beta := range map[string]float64{"sigmoid": 0.1, "ipo": 0.5, "hinge": 0.1, "kto": 0.1, "orpo": 0.5, "simpo": 2} {
		t.Run(loss, func(t *testing.T) {
			res, err := l.run(execution{kind: dpo(), threads: 2, params: fmt.Sprintf(`{"loss": %q, "beta": %v, "batch": 16, "epochs": 8, "learning_rate": 0.01}`, loss, beta), inputs: ports{
				"model": {m}, "data": {data}, "held_out": {held},
			}})
			require.NoError(t, err)
			require.GreaterOrEqual(t, res.Metrics["val_accuracy"], 0.8)
			require.Positive(t, res.Metrics["val_margin"])
		})
	}
}

// TestAnAdapterIsMergedOrKept: both are the same function, so training on from either gives the same first loss.
func TestAnAdapterIsMergedOrKept(t *testing.T) {
	l := &workshop{t, mem.New()}
	m, data := l.beginner(small), l.examples(completions(1, 60)...)
	lora := func(adapter string) artifact.Artifact {
		return l.output(execution{kind: sft(), params: fmt.Sprintf(`{"epochs": 3, "batch": 4, "learning_rate": 0.01, "lora": {"rank": 4}, "adapter": %q}`, adapter), inputs: ports{"model": {m}, "data": {data}}}, "model")
	}
	merged, kept := lora("merged"), lora("kept")
	require.NotEqual(t, weightsOf(l, merged), weightsOf(l, kept))
	loss := func(from artifact.Artifact) float64 {
		res, err := l.run(execution{kind: sft(), params: `{"steps": 1, "batch": 16, "learning_rate": 1e-9}`, inputs: ports{"model": {from}, "data": {data}}})
		require.NoError(t, err)
		return res.Metrics["loss"]
	}
	require.InDelta(t, loss(merged), loss(kept), 1e-6)
	require.Less(t, loss(merged), loss(m)-0.1, "it has learned")
}

func TestRowsThatCannotBeUsedAreLeftOutOrAreAnError(t *testing.T) {
	l := &workshop{t, mem.New()}
	m := l.beginner(small)
	r := rand.New(rand.NewPCG(1, 1))
	long := &example.Example{Prompt: example.Plain("the"), Completion: example.Plain("")}
	for range 60 {
		long.Completion.Plain += phrase(r, 2)
	}
	rows := append(completions(1, 40), preferences(1, 7)...)
	res, err := l.run(execution{kind: sft(), params: `{"batch": 4, "context": 24}`, inputs: ports{"model": {m}, "data": {l.examples(append(rows, long)...)}}})
	require.NoError(t, err)
	require.Equal(t, 8.0, res.Metrics["data_left_out"])
	require.Len(t, res.Quarantined, 5, "the first five are named")
	require.Equal(t, "r040", res.Quarantined[0].Item)

	for _, c := range []struct {
		name, params, want string
		kind               Kind
		rows               []*example.Example
	}{
		{"rows that are all too long", `{"batch": 1}`, "no row that can be used, of 1", sft(), []*example.Example{long}},
		{"preferences to imitate", `{}`, `has the form "preference"`, rewardModel(), nil},
		{"completions to prefer", `{}`, `has the form "completion", want one of ["preference"]`, dpo(), completions(1, 3)},
		{"fewer pairs than a batch", `{"batch": 64}`, "does not fill a batch of 64", dpo(), preferences(1, 3)},
		{"one prompt for all, to mismatch", `{"batch": 2, "loss": "kto"}`, "different prompts", dpo(), []*example.Example{preferences(1, 1)[0], preferences(1, 1)[0]}},
	} {
		if c.rows == nil {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			l := &workshop{t, l.store}
			_, err := l.run(execution{kind: c.kind, params: c.params, inputs: ports{"model": {m}, "data": {l.examples(c.rows...)}}})
			require.ErrorContains(t, err, c.want)
			var final *permanent
			require.True(t, errors.As(err, &final), "it is not tried again: %v", err)
		})
	}
	other := l.beginner(`{"model": {"width": 16, "text_layers": 1, "heads": 2, "context": 24, "config": {"text": {"form": "gpt2"}}}}`)
	judge := l.output(execution{kind: rewardModel(), params: `{"batch": 2}`, inputs: ports{"model": {other}, "data": {l.examples(preferences(1, 8)...)}}}, "model")
	_, err = l.run(execution{kind: evaluatePreferences(), params: `{}`, inputs: ports{"model": {judge}, "data": {l.examples(completions(1, 3)...)}}})
	require.ErrorContains(t, err, "no row that can be used, of 3")
}

func TestWrongParametersOfTrainingsOnRows(t *testing.T) {
	catalog := NewCatalog(All()...)
	for _, c := range []struct{ name, kind, params, want string }{
		{"a loss that looks at whole batches cannot be split", "dpo", `{"loss":"kto","accumulate":2}`, "set accumulate to 1"},
		{"an unknown loss is named with the known ones", "dpo", `{"loss":"rso"}`, "use sigmoid, ipo, hinge, kto, orpo or simpo"},
		{"a batch that parts do not divide", "sft", `{"batch":5,"accumulate":2}`, "no multiple of accumulate"},
		{"a bias without a likelihood", "reward_model", `{"bias":2}`, "it is for the readout likelihood"},
		{"a margin of labels", "reward_model", `{"learn":"labels","margin":true}`, "are for preferences"},
		{"a model that cannot be", "init_model", `{"model":{"width":30,"heads":4}}`, "not a multiple of text.heads"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := catalog.Resolve(c.kind, []byte(c.params))
			require.ErrorContains(t, err, c.want)
		})
	}
}
