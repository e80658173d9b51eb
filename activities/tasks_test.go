package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/document"
	"tempera/datagen/example"
	"tempera/datagen/shard"
	"tempera/datagen/task"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training/tokenizer"
	"tempera/workflows/stage"
)

// letters is a task that a tiny model learns in seconds.
const letters = `{"length":2,"letters":3,"mark":"hash"}`

// school has a model that learned to count letters, one that has learned nothing, and problems.
type school struct {
	*workshop
	trained, untrained artifact.Artifact
	long               artifact.Artifact // untrained, of a longer context
	problems, demos    artifact.Artifact
}

var attended struct {
	once sync.Once
	school
}

// newSchool trains once; tests share its store, which keeps contents by digest.
func newSchool(t *testing.T) *school {
	t.Helper()
	attended.once.Do(func() {
		s := &attended.school
		s.workshop = &workshop{t, mem.New()}
		var rows, demos []*example.Example
		w := document.NewWriter(s.store, "train", document.Meta{})
		for i := range 600 {
			demo := task.Demonstrate(generated(t, "counting", letters, i))
			demos = append(demos, demo)
			require.NoError(t, w.Add(t.Context(), document.Document{ID: fmt.Sprint(i), Text: demo.Prompt.Plain + demo.Completion.Plain}))
		}
		seen := map[string]bool{}
		for i := 0; len(rows) < 24; i++ {
			if row := generated(t, "counting", letters, 1000+i); !seen[row.Prompt.Plain] {
				seen[row.Prompt.Plain] = true
				rows = append(rows, row)
			}
		}
		text, err := w.Close(t.Context())
		require.NoError(t, err)
		words := s.tokenizer(demos)
		tokens := s.output(execution{kind: tokensKind(), params: `{}`, inputs: ports{"data": {text}, "tokenizer": {words}}}, "tokens")
		fit := func(steps, context int) artifact.Artifact {
			params := fmt.Sprintf(`{"objective": "lm", "steps": %d, "batch": 16, "learning_rate": 0.01, "model": {"width": 32, "text_layers": 2, "heads": 2, "context": %d, "config": {"text": {"form": "llama"}}}}`, steps, context)
			return s.output(execution{kind: pretrain(), params: params, inputs: ports{"data": {tokens}, "tokenizer": {words}}, threads: 2}, "model")
		}
		s.trained, s.untrained, s.long = fit(150, 48), fit(1, 48), fit(1, 128)
		s.problems, s.demos = s.examples(rows...), s.examples(demos...)
	})
	require.NotEmpty(t, attended.demos.Digest)
	s := attended.school
	s.workshop = &workshop{t, s.store}
	return &s
}

func generated(t testing.TB, name, params string, i int) *example.Example {
	t.Helper()
	k, err := task.Find(name)
	require.NoError(t, err)
	g, err := k.Open(json.RawMessage(params))
	require.NoError(t, err)
	e, err := g.Generate(7, i)
	require.NoError(t, err)
	return e
}

// tokenizer is one of bytes with the tags of thinking and answers.
func (l *workshop) tokenizer(rows []*example.Example) artifact.Artifact {
	l.t.Helper()
	texts := func(yield func(string) bool) {
		for _, r := range rows {
			if !yield(r.Prompt.String()) {
				return
			}
		}
	}
	tok, err := tokenizer.Train(texts, tokenizer.TrainOptions{
		VocabSize: 264, Tags: []string{"<think>", "</think>", "<answer>", "</answer>"}, Template: []string{"[BOS]", "$A", "[EOS]"},
	})
	require.NoError(l.t, err)
	data, err := tok.JSON()
	require.NoError(l.t, err)
	ref, err := artifact.PutBytes(l.t.Context(), l.store, data)
	require.NoError(l.t, err)
	a, err := artifact.PutManifest(l.t.Context(), l.store, &artifact.Manifest{
		Type: artifact.TypeTokenizer, Files: []artifact.File{{Path: tokenizerFile, Ref: ref}}, Meta: must(json.Marshal(tokenizerMeta{Vocab: tok.Size()})),
	})
	require.NoError(l.t, err)
	return a
}

// examples stores rows, and numbers those that have no id.
func (l *workshop) examples(rows ...*example.Example) artifact.Artifact {
	l.t.Helper()
	w := example.NewWriter(l.store, "rows", example.Meta{})
	for i, r := range rows {
		if r.ID == "" {
			r.ID = fmt.Sprintf("r%03d", i)
		}
		require.NoError(l.t, w.Add(l.t.Context(), r))
	}
	a, err := w.Close(l.t.Context())
	require.NoError(l.t, err)
	return a
}

func (l *workshop) rows(a artifact.Artifact) []*example.Example {
	l.t.Helper()
	rows, err := example.Load(l.t.Context(), l.store, a)
	require.NoError(l.t, err)
	return rows
}

func (l *workshop) evaluation(a artifact.Artifact) Evaluation {
	l.t.Helper()
	e, err := loadEvaluation(l.t.Context(), l.store, a)
	require.NoError(l.t, err)
	return e
}

func TestAnEvaluationTellsWhoSolvesProblems(t *testing.T) {
	s := newSchool(t)
	const params = `{"samples": 4, "k": [1, 2, 4], "max_tokens": 16, "greedy": true, "seed": 3}`
	before := s.output(execution{kind: evaluateTasks(), params: params, inputs: ports{"model": {s.untrained}, "data": {s.problems}}}, "evaluation")
	res, err := s.run(execution{kind: evaluateTasks(), params: params, inputs: ports{"model": {s.trained}, "data": {s.problems}, "baseline": {before}, "training": {s.demos}}})
	require.NoError(t, err)
	m := res.Metrics
	require.Greater(t, m["exact_match"], 80.0, "the model has learned it")
	require.Greater(t, m["pass_1"], 60.0)
	require.GreaterOrEqual(t, m["pass_2"], m["pass_1"])
	require.GreaterOrEqual(t, m["pass_4"], m["pass_2"])
	require.Greater(t, m["maj_4"], 60.0)
	require.InDelta(t, m["pass_1"]/100, m["reward_accuracy"], 1e-9)
	require.InDelta(t, m["reward_accuracy"]+0.1*m["reward_format"], m["reward"], 1e-9)
	require.Greater(t, m["gain"], 60.0)
	require.Less(t, m["gain_p"], 0.01)
	require.Equal(t, 100.0, m["overlap"], "every problem was among the demonstrations")

	e := s.evaluation(res.Outputs["evaluation"])
	require.Equal(t, 24, e.Problems)
	require.Equal(t, 24, e.Tasks.Baseline.Problems)
	require.Equal(t, before.Digest, e.Tasks.Baseline.Evaluation)
	require.Nil(t, e.Tasks.Overlap.Clean)
	require.Len(t, e.Tasks.Slices, 1)
	var lines []solvedProblem
	require.NoError(t, readLines(t.Context(), linesOf{s.store, res.Outputs["evaluation"], problemsFile}, func(p solvedProblem) { lines = append(lines, p) }))
	require.Len(t, lines, 24)
	require.NotNil(t, lines[0].Greedy)

	again, err := s.run(execution{kind: evaluateTasks(), params: params, inputs: ports{"model": {s.trained}, "data": {s.problems}, "baseline": {before}, "training": {s.demos}}, threads: 2})
	require.NoError(t, err)
	require.Equal(t, res, again, "the same bits for any number of threads")

	page := s.report(before, res.Outputs["evaluation"])
	for _, want := range []string{"pass@1", "seen in training", "p = 0.0", "####", "wrong"} {
		require.Contains(t, page, want)
	}
}

// TestAModelThatSeesAnswersAboutPictures trains a vlm to name colours; shown other pictures with the same questions, it is wrong.
func TestAModelThatSeesAnswersAboutPictures(t *testing.T) {
	l := &workshop{t, mem.New()}
	data := l.framed(64, 1)
	words := l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 300}`, inputs: ports{"data": {data}}}, "tokenizer")
	const params = `{"objective": "vlm", "prompt": "we see", "steps": 200, "batch": 8, "learning_rate": 0.005, "model": {"width": 16, "layers": 1, "text_layers": 1, "heads": 2, "patch": 8, "image": 16, "context": 40}}`
	m := l.output(execution{kind: pretrain(), params: params, threads: 2, inputs: ports{"data": {data}, "tokenizer": {words}}}, "model")
	set, err := shard.Open(t.Context(), l.store, l.framed(24, 2), t.TempDir())
	require.NoError(t, err)
	var rows, swapped []*example.Example
	for s, err := range set.All(t.Context()) {
		require.NoError(t, err)
		e := example.Example{
			ID: s.Key, Prompt: example.Plain("we see"), Images: []string{"x.png"}, Pictures: [][]byte{s.Image},
			Problem: &example.Problem{Task: "text", Answer: s.Caption}, Choices: []string{"a wall of red paint", "a wall of green paint", "a wall of blue paint", "a wall of white paint"},
		}
		k := slices.Index(e.Choices, s.Caption)
		e.Choice = &k
		rows = append(rows, &e)
	}
	require.NoError(t, set.Close())
	for i, e := range rows {
		other := *e
		other.Pictures = rows[(i+1)%len(rows)].Pictures
		swapped = append(swapped, &other)
	}
	solved := func(kind Kind, params, metric string, rows []*example.Example) float64 {
		res, err := l.run(execution{kind: kind, params: params, inputs: ports{"model": {m}, "data": {l.examples(rows...)}}})
		require.NoError(t, err)
		require.Equal(t, float64(len(rows)), float64(l.evaluation(res.Outputs["evaluation"]).Problems))
		return res.Metrics[metric]
	}
	const tasks = `{"samples": 2, "k": [1], "max_tokens": 20, "temperature": 0.3}`
	require.Greater(t, solved(evaluateTasks(), tasks, "pass_1", rows), 80.0)
	require.Less(t, solved(evaluateTasks(), tasks, "pass_1", swapped), 60.0)
	for _, pictures := range []string{"other", "blank"} {
		params := strings.Replace(tasks, "{", fmt.Sprintf(`{"pictures": %q, `, pictures), 1)
		require.Less(t, solved(evaluateTasks(), params, "pass_1", rows), 60.0, pictures)
	}
	same := *rows[0]
	same.ID = "same"
	_, err = l.run(execution{kind: evaluateTasks(), params: `{"pictures": "other"}`, inputs: ports{"model": {m}, "data": {l.examples(rows[0], &same)}}})
	require.ErrorContains(t, err, "give more problems, or pictures: blank")
	silent := *rows[0]
	silent.Images, silent.Pictures = nil, nil
	_, err = l.run(execution{kind: evaluateTasks(), params: `{"pictures": "blank"}`, inputs: ports{"model": {m}, "data": {l.examples(&silent)}}})
	require.ErrorContains(t, err, "has none: leave pictures out")
	require.Greater(t, solved(evaluateChoices(), `{}`, "choice", rows), 80.0)
	require.Less(t, solved(evaluateChoices(), `{}`, "choice", swapped), 60.0)
}

func TestAnEvaluationNotesWhatTrainingHasSeen(t *testing.T) {
	s := newSchool(t)
	rows := s.rows(s.problems)[:6]
	story := strings.Repeat("one two three four five six seven ", 2)
	rows[0].Prompt, rows[1].Prompt, rows[2].Prompt = example.Plain("x "+story), example.Plain("y "+story[4:]), example.Plain("SAME  as")
	seen := s.examples(
		&example.Example{ID: "a", Prompt: example.Plain("same as"), Completion: example.Plain("b")},
		&example.Example{ID: "b", Messages: []example.Message{example.Say("user", "It begins: "+story)}},
		&example.Example{ID: "c", Prompt: rows[3].Prompt, Chosen: example.Plain("1"), Rejected: example.Plain("2")},
	)
	out := s.output(execution{kind: evaluateTasks(), params: `{"samples": 1, "k": [1], "max_tokens": 4}`, inputs: ports{
		"model": {s.long}, "data": {s.examples(rows...)}, "training": {seen, s.examples()},
	}}, "evaluation")
	o := s.evaluation(out).Tasks.Overlap
	require.Equal(t, 2, o.Same, "whatever the case and the spaces")
	require.Equal(t, 2, o.Near, "13 words in a row, of a prompt with others around")
	require.InDelta(t, 100*4.0/6, o.Share, 1e-9)
	require.Equal(t, 2, o.Clean.N)
	require.Len(t, o.Training, 2)
	m, err := artifact.LoadManifest(t.Context(), s.store, out)
	require.NoError(t, err)
	f, err := m.Find(ResultsFile)
	require.NoError(t, err)
	table, err := artifact.ReadAll(t.Context(), s.store, f.Digest, 1<<20)
	require.NoError(t, err)
	require.Contains(t, string(table), "| pass_1 ")
}

// report renders evaluations.
func (l *workshop) report(evaluations ...artifact.Artifact) string {
	l.t.Helper()
	var labels []string
	steps, seeds := make([]int, len(evaluations)), make([]int, len(evaluations))
	for i := range evaluations {
		labels = append(labels, fmt.Sprintf("model %d", i))
	}
	params := must(json.Marshal(map[string]any{"labels": labels, "steps": steps, "seeds": seeds, "metric": "pass_1"}))
	a := l.output(execution{kind: reportKind(), params: string(params), inputs: ports{"evaluations": evaluations}}, "report")
	m, err := artifact.LoadManifest(l.t.Context(), l.store, a)
	require.NoError(l.t, err)
	data, err := artifact.ReadAll(l.t.Context(), l.store, m.Files[0].Digest, 1<<24)
	require.NoError(l.t, err)
	return string(data)
}

func TestChoicesAreMeasuredByWhatIsLikely(t *testing.T) {
	s := newSchool(t)
	var rows []*example.Example
	for _, e := range s.rows(s.problems) {
		e.Choices = []string{}
		for k, n := range []string{"0", "1", "2"} {
			shown := *e
			problem := *e.Problem
			problem.Answer = n
			shown.Problem = &problem
			e.Choices = append(e.Choices, task.Demonstrate(&shown).Completion.Plain)
			if n == e.Problem.Answer {
				e.Choice = &k
			}
		}
		rows = append(rows, e)
	}
	choose := func(model artifact.Artifact) Evaluation {
		return s.evaluation(s.output(execution{kind: evaluateChoices(), params: `{}`, inputs: ports{"model": {model}, "data": {s.examples(rows...)}}}, "evaluation"))
	}
	after, before := choose(s.trained), choose(s.untrained)
	require.Greater(t, after.Metrics["choice"].Mean, 90.0)
	require.Less(t, before.Metrics["choice"].Mean, 70.0)
	require.Less(t, after.Metrics["perplexity"].Mean, 1.5)
	require.Greater(t, before.Metrics["perplexity"].Mean, 20.0)
	require.Less(t, after.Tasks.Calibration.Error, 0.2)
	demos := s.evaluation(s.output(execution{kind: evaluateChoices(), params: `{"rows": 20}`, inputs: ports{"model": {s.trained}, "data": {s.demos}}}, "evaluation"))
	require.NotContains(t, demos.Metrics, "choice")
	require.InDelta(t, after.Metrics["loss"].Mean, demos.Metrics["loss"].Mean, 0.2)
	_, err := s.run(execution{kind: evaluateChoices(), params: `{}`, inputs: ports{"model": {s.trained}, "data": {s.problems}}})
	require.ErrorContains(t, err, "neither choices nor a completion")
}

func TestWrongParametersOfKindsThatSample(t *testing.T) {
	catalog := NewCatalog(All()...)
	for _, c := range []struct{ name, kind, params, want string }{
		{"many greedy samples", "rollout", `{"temperature": 0}`, "they would all be the same"},
		{"pairs of one", "rollout", `{"keep": "pairs", "samples": 1}`, "use at least 2"},
		{"an unknown reward", "rollout", `{"rewards": [{"reward": "beauty", "weight": 1}]}`, `there is no reward "beauty"`},
		{"noise without pairs", "rollout", `{"noise": 1}`, "set noise to 0"},
		{"more tries than samples", "evaluate_tasks", `{"samples": 2, "k": [1, 8]}`, "k has 8 and samples is 2"},
		{"steps that end nowhere", "search", `{"separator": ""}`, "set one of them"},
		{"a beam without a verifier", "search", `{"verifier": "none"}`, "methods has beam, which needs a verifier"},
		{"nothing to search", "search", `{"n": []}`, "give at least one"},
		{"an unknown way to search", "search", `{"methods": ["luck"]}`, "luck"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := catalog.Resolve(c.kind, json.RawMessage(c.params))
			require.ErrorContains(t, err, c.want)
		})
	}
	for _, k := range []Kind{rollout(), evaluateTasks(), evaluateChoices(), winRate(), searchKind()} {
		_, err := k.Check([]byte(`{}`))
		require.NoError(t, err, k.Describe().Name)
	}
	s := newSchool(t)
	stopping := make(chan struct{})
	close(stopping)
	resolved, err := rollout().Check([]byte(`{}`))
	require.NoError(t, err)
	err = rollout().Run(context.Background(), &Task{
		Request: stage.Request{Params: resolved, Inputs: ports{"model": {s.trained}, "data": {s.problems}}}, Store: s.store, Log: slog.New(slog.DiscardHandler), Scratch: t.TempDir(), Threads: 1,
		Checkpoints: nowhere{}, Progress: func(Progress) {}, Result: &stage.Result{}, Stopping: stopping,
	})
	require.ErrorIs(t, err, ErrStopped)
}
