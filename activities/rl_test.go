package activities

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/datagen/shard"
	"tempera/datagen/task"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
)

// questions are prompts whose answer is a word.
func questions(seed uint64, n int) (rows []*example.Example) {
	r := rand.New(rand.NewPCG(seed, 5))
	for range n {
		rows = append(rows, &example.Example{Prompt: example.Plain("the" + phrase(r, 3)), Problem: &example.Problem{Task: "text", Answer: "cat", Mark: string(task.Entire)}})
	}
	return rows
}

// reinforcements are trainings by every algorithm, with the inputs that they take.
func (l *workshop) reinforcements() map[string]execution {
	m := l.beginner(small)
	judge := l.output(execution{kind: rewardModel(), params: `{"batch": 16, "epochs": 2, "readout": "sum"}`, inputs: ports{"model": {m}, "data": {l.examples(preferences(11, 64)...)}}}, "model")
	of := func(algorithm, params string, more ports) execution {
		in := ports{"model": {m}, "problems": {l.examples(questions(1, 12)...)}, "held_out": {l.examples(questions(2, 5)...)}, "reward_model": {judge}}
		for port, a := range more {
			in[port] = a
		}
		return execution{kind: rl(), inputs: in, params: fmt.Sprintf(`{"algorithm": %q, "iterations": 4, "prompts": 4, "group": 4, "max_tokens": 8, "rewards": [{"reward": "repetition", "weight": 1}],
			"evaluate_every": 2, "checkpoint_seconds": 0.001, "seed": 5, "graph_tokens": 128 %s}`, algorithm, params)}
	}
	seer := l.beginner(smallSeer)
	seeing := of("grpo", `, "loss": {"beta": 0.05}, "freeze": ["vision"]`, ports{"model": {seer}, "problems": {l.examples(seenScenes(1, 12)...)}, "held_out": {l.examples(seenScenes(2, 5)...)}})
	seeing.inputs["reward_model"] = []artifact.Artifact{l.output(execution{kind: rewardModel(), params: `{"batch": 16, "readout": "sum"}`, inputs: ports{"model": {seer}, "data": {l.examples(seenPreferences(11, 24)...)}}}, "model")}
	return map[string]execution{
		"grpo with pictures":                      seeing,
		"grpo":                                    of("grpo", `, "keep": "best"`, nil),
		"dr_grpo by lora, with a reference":       of("dr_grpo", `, "lora": {"rank": 2}, "loss": {"beta": 0.05, "epochs": 2}`, ports{"reference": {judge}}),
		"dapo, old probabilities computed anew":   of("dapo", `, "loss": {"rounds": 2, "importance": 2}`, nil),
		"rloo, what is cut off has its own score": of("rloo", `, "unfinished": -3`, nil),
		"reinforce++":                             of("reinforce++", `, "loss": {"kl_target": 2}, "temperature": 1.2`, nil),
		"ppo":                                     of("ppo", `, "loss": {"epochs": 2, "entropy": 0.01}`, ports{"critic": {judge}}),
	}
}

// TestReinforcementResumesAnywhereToTheBit: stopped or killed at random steps, also within an iteration, with another number of threads, a training
// ends with the artifacts and the metrics of the undisturbed one.
func TestReinforcementResumesAnywhereToTheBit(t *testing.T) {
	shop := &workshop{t, mem.New()}
	for name, a := range shop.reinforcements() {
		t.Run(name, func(t *testing.T) {
			l := &workshop{t, shop.store}
			a.threads = 1
			whole, err := l.run(a)
			require.NoError(t, err)
			require.Contains(t, whole.Metrics, "pass_at_1")
			require.Less(t, whole.Metrics["drift_max"], 1e-3)
			rows, err := example.Load(t.Context(), l.store, whole.Outputs["samples"])
			require.NoError(t, err)
			require.Len(t, rows, 16)
			require.Contains(t, rows[0].Rewards, "repetition")
			require.Contains(t, rows[0].Rewards, "reward_model")
			require.NotNil(t, rows[0].Score)
			r := rand.New(rand.NewPCG(7, 8))
			for range 2 {
				kept := &points{}
				a.points, a.threads = kept, 2
				a.stopAt = 1 + r.Int64N(7)
				if _, err := l.run(a); err != nil {
					require.ErrorIs(t, err, ErrStopped)
				}
				kept.lose(r)
				a.stopAt = -1
				got, err := l.run(a)
				require.NoError(t, err)
				require.Equal(t, whole, got)
			}
		})
	}
}

// TestReinforcementSolvesMoreProblems: a model that says the right word sometimes learns to say it.
func TestReinforcementSolvesMoreProblems(t *testing.T) {
	l := &workshop{t, mem.New()}
	m := l.beginner(small)
	var demos []*example.Example
	for i, x := range questions(3, 60) {
		word := []string{"cat", "dog", "fox"}[i%3]
		demos = append(demos, &example.Example{Prompt: x.Prompt, Completion: example.Plain(word)})
	}
	start := l.output(execution{kind: sft(), threads: 2, params: `{"steps": 150, "batch": 2, "learning_rate": 0.01}`, inputs: ports{"model": {m}, "data": {l.examples(demos...)}}}, "model")
	res, err := l.run(execution{
		kind: rl(), threads: 2, params: `{"iterations": 20, "prompts": 8, "max_tokens": 8, "learning_rate": 0.005, "rewards": [{"reward": "accuracy", "weight": 1}]}`,
		inputs: ports{"model": {start}, "problems": {l.examples(questions(1, 40)...)}, "held_out": {l.examples(questions(2, 20)...)}},
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, res.Metrics["pass_at_1"], 0.9)
	require.GreaterOrEqual(t, res.Metrics["pass_rate"], 0.7)
}

// TestReinforcementLearnsToLook: a model that names colours at random learns by rewards alone to name the one that it sees, its image tower too.
func TestReinforcementLearnsToLook(t *testing.T) {
	l := &workshop{t, mem.New()}
	set, err := shard.Open(t.Context(), l.store, l.framed(96, 1), t.TempDir())
	require.NoError(t, err)
	var rows, demos []*example.Example
	for s, err := range set.All(t.Context()) {
		require.NoError(t, err)
		colour := strings.Fields(s.Caption)[3]
		row := &example.Example{ID: s.Key, Prompt: example.Plain("what"), Images: []string{"x.png"}, Pictures: [][]byte{s.Image}, Problem: &example.Problem{Task: "text", Answer: colour, Mark: string(task.Entire)}}
		guess := *row
		guess.Completion, guess.Problem = example.Plain([]string{"red", "green", "blue", "white"}[len(rows)%4]), nil
		rows, demos = append(rows, row), append(demos, &guess)
	}
	require.NoError(t, set.Close())
	words := l.output(execution{kind: tokenizerKind(), params: `{"alphabet": "words"}`, inputs: ports{"data": {l.examples(demos...)}}}, "tokenizer")
	m := l.output(execution{kind: initModel(), params: `{"kind": "vlm", "seed": 6, "model": {"width": 16, "layers": 1, "text_layers": 1, "heads": 2, "patch": 8, "image": 16, "context": 12, "config": {"text": {"form": "llama", "token_std": 0.2}}}}`, inputs: ports{"tokenizer": {words}}}, "model")
	start := l.output(execution{kind: sft(), threads: 2, params: `{"steps": 40, "batch": 16, "learning_rate": 0.01}`, inputs: ports{"model": {m}, "data": {l.examples(demos...)}}}, "model")
	res, err := l.run(execution{kind: rl(), threads: 2, inputs: ports{"model": {start}, "problems": {l.examples(rows[:64]...)}}, params: `{"algorithm": "dr_grpo", "iterations": 200, "prompts": 16, "max_tokens": 4, "learning_rate": 0.005, "loss": {"entropy": 0.01}, "rewards": [{"reward": "accuracy", "weight": 1}]}`})
	require.NoError(t, err)
	require.Less(t, res.Metrics["drift_max"], 1e-3)
	solved := func(m artifact.Artifact, pictures string) float64 {
		params := fmt.Sprintf(`{"samples": 4, "k": [1], "max_tokens": 4, "pictures": %q}`, pictures)
		res, err := l.run(execution{kind: evaluateTasks(), params: params, inputs: ports{"model": {m}, "data": {l.examples(rows[64:]...)}}})
		require.NoError(t, err)
		return res.Metrics["pass_1"]
	}
	require.Less(t, solved(start, "own"), 45.0)
	require.Greater(t, solved(res.Outputs["model"], "own"), 85.0)
	require.Less(t, solved(res.Outputs["model"], "other"), 50.0)
	require.Less(t, solved(res.Outputs["model"], "blank"), 50.0)
}

func TestAWorldThatAnswersIsPartOfASample(t *testing.T) {
	l := &workshop{t, mem.New()}
	guess, err := task.Find("guess")
	require.NoError(t, err)
	g, err := guess.Open(json.RawMessage(`{}`))
	require.NoError(t, err)
	var rows, demos []*example.Example
	for i := range 40 {
		e, err := g.Generate(1, i)
		require.NoError(t, err)
		rows, demos = append(rows, e), append(demos, task.Demonstrate(e))
	}
	start := l.output(execution{kind: sft(), threads: 2, params: `{"steps": 100, "batch": 4, "learning_rate": 0.01}`, inputs: ports{"model": {l.beginner(small)}, "data": {l.examples(demos...)}}}, "model")
	res, err := l.run(execution{kind: rl(), inputs: ports{"model": {start}, "problems": {l.examples(rows...)}}, params: `{"iterations": 2, "prompts": 8, "max_tokens": 24, "rewards": [{"reward": "accuracy", "weight": 1}]}`})
	require.NoError(t, err)
	require.Less(t, res.Metrics["drift_max"], 1e-3, "what the world says is not compared")
	samples, err := example.Load(t.Context(), l.store, res.Outputs["samples"])
	require.NoError(t, err)
	heard := 0
	for _, s := range samples {
		text := s.Completion.Plain
		if len(text) > 1 && guess.Reply(s.Problem, text[:1]) == text[1:2] {
			heard++
		}
	}
	require.Greater(t, heard, len(samples)*3/4)
}

func TestFaultsOfReinforcementAreReportedWell(t *testing.T) {
	l := &workshop{t, mem.New()}
	m := l.beginner(small)
	problems := l.examples(questions(1, 12)...)
	judge := l.output(execution{kind: rewardModel(), params: `{"batch": 16}`, inputs: ports{"model": {m}, "data": {l.examples(preferences(11, 32)...)}}}, "model")
	long := questions(2, 3)
	long[1].Prompt = example.Plain("the" + phrase(rand.New(rand.NewPCG(1, 1)), 1) + fmt.Sprint(make([]int, 60)))
	seer := l.beginner(smallSeer)
	seen := l.examples(seenScenes(1, 8)...)
	for name, c := range map[string]struct {
		params string
		in     ports
		want   string
	}{
		"pictures for a model that sees none":          {`{"prompts": 4}`, ports{"problems": {seen}}, "it has 1 images, and the model sees none"},
		"a model that sees, and rows without pictures": {`{"prompts": 4}`, ports{"model": {seer}}, "has no image: a vision-language model learns from rows with one"},
		"a judge that does not see":                    {`{"prompts": 4}`, ports{"model": {seer}, "problems": {seen}, "reward_model": {judge}}, "train it from a model of the same tokenizer"},
		"a part that there is not":                     {`{"prompts": 4, "freeze": ["vision"]}`, ports{}, "a lm model has the parts"},
		"all rewards equal":                            {`{"prompts": 4, "equal_limit": 2, "rewards": [{"reward": "accuracy", "weight": 1}]}`, ports{}, "for 2 iterations in a row: there is nothing to learn from"},
		"no reward":                                    {`{"prompts": 4, "rewards": []}`, ports{}, "give one of them"},
		"no head":                                      {`{"prompts": 4}`, ports{"reward_model": {m}}, "has no score head"},
		"more prompts than rows":                       {`{"prompts": 64}`, ports{}, "lower the batch size or give more data"},
		"nothing to keep the best":                     {`{"prompts": 4, "keep": "best"}`, ports{}, "needs held_out"},
		"prompts past the context":                     {`{"prompts": 2, "max_tokens": 45}`, ports{"problems": {l.examples(long[1])}}, "fewer than 45 are left"},
		"explosion":                                    {`{"prompts": 4, "max_tokens": 8, "max_moved": 1e-9, "rewards": [{"reward": "repetition", "weight": 1}, {"reward": "length", "weight": 1}]}`, ports{}, "with half the learning rate"},
	} {
		t.Run(name, func(t *testing.T) {
			in := ports{"model": {m}, "problems": {problems}}
			for port, a := range c.in {
				in[port] = a
			}
			l := &workshop{t, l.store}
			_, err := l.run(execution{kind: rl(), params: c.params, inputs: in})
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := rl().Check([]byte(`{"group": 1, "temperature": 0, "algorithm": "pgpo", "rewards": [{"reward": "acuracy", "weight": 1}]}`))
	for _, want := range []string{"use grpo, dr_grpo", "temperature"} {
		require.ErrorContains(t, err, want)
	}
	_, err = rl().Check([]byte(`{"group": 1, "rewards": [{"reward": "acuracy", "weight": 1}]}`))
	for _, want := range []string{"group is 1", `no reward "acuracy"`} {
		require.ErrorContains(t, err, want)
	}
}
