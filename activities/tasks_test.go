package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/datagen/document"
	"tempera/datagen/example"
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

func TestARolloutKeepsWhatIsAsked(t *testing.T) {
	s := newSchool(t)
	const common = `"samples": 6, "max_tokens": 16, "seed": 1, "temperature": 1.5, "rewards": [{"reward": "accuracy", "weight": 1}, {"reward": "format", "weight": 0.5}]`
	roll := func(more string) (*stage.Result, []*example.Example) {
		res, err := s.run(execution{kind: rollout(), params: `{` + common + more + `}`, inputs: ports{"model": {s.trained}, "data": {s.problems}}})
		require.NoError(t, err)
		rows := s.rows(res.Outputs["examples"])
		require.Equal(t, float64(len(rows)), res.Metrics["kept"])
		return res, rows
	}
	right := func(e *example.Example, text *example.Text) bool { return task.Check(e.Problem, text.String()).Right }

	res, all := roll(``)
	require.Len(t, all, 24*6)
	solved := 0
	for _, e := range all {
		require.Equal(t, example.Completed, e.Form())
		require.InDelta(t, *e.Score, e.Rewards["accuracy"]+0.5*e.Rewards["format"], 1e-12)
		if e.Rewards["accuracy"] == 1 {
			require.True(t, right(e, e.Completion))
			solved++
		}
	}
	require.Equal(t, float64(solved), res.Metrics["right"])
	require.Positive(t, solved)
	require.Less(t, solved, 24*6, "at this temperature it errs sometimes")

	_, kept := roll(`, "keep": "right", "distinct": true, "per_prompt": 2`)
	counts := map[string]int{}
	for _, e := range kept {
		require.True(t, right(e, e.Completion))
		counts[e.Prompt.String()]++
		require.LessOrEqual(t, counts[e.Prompt.String()], 2)
	}
	_, best := roll(`, "keep": "best"`)
	require.Len(t, best, 24)
	_, labels := roll(`, "keep": "labels"`)
	require.Len(t, labels, 24*6)
	require.Equal(t, example.Labelled, labels[0].Form())
	_, pairs := roll(`, "keep": "pairs", "margin": 1, "per_prompt": 1`)
	require.NotEmpty(t, pairs)
	for _, e := range pairs {
		require.Equal(t, example.Preference, e.Form())
		require.GreaterOrEqual(t, e.Margin, 1.0)
		require.True(t, right(e, e.Chosen))
		require.False(t, right(e, e.Rejected))
	}
	_, noisy := roll(`, "keep": "pairs", "margin": 1, "per_prompt": 1, "noise": 1e9`)
	require.Len(t, noisy, len(pairs))
	require.True(t, slices.ContainsFunc(noisy, func(e *example.Example) bool { return e.Margin < 0 }), "a judge who knows nothing errs")
	_, err := s.run(execution{kind: rollout(), params: `{` + common + `, "keep": "steps"}`, inputs: ports{"model": {s.trained}, "data": {s.problems}}})
	require.ErrorContains(t, err, "no completion of 24 prompts is kept (keep: steps", "counting has no steps")
}

func TestARolloutInShardsIsThatOfTheWhole(t *testing.T) {
	s := newSchool(t)
	rows := s.rows(s.problems)
	parts := []artifact.Artifact{s.examples(rows[:10]...), s.examples(rows[10:]...)}
	joined, err := example.Join(t.Context(), s.store, "all", parts)
	require.NoError(t, err)
	const params = `{"samples": 2, "max_tokens": 16}`
	whole, err := s.run(execution{kind: rollout(), params: params, inputs: ports{"model": {s.trained}, "data": {joined}}})
	require.NoError(t, err)
	var made []artifact.Artifact
	sums := map[string]float64{}
	for i := range 2 {
		resolved, err := rollout().Check([]byte(params))
		require.NoError(t, err)
		k := &Task{
			Request: stage.Request{Params: resolved, Inputs: ports{"model": {s.trained}, "data": {joined}}, Shard: &stage.Shard{Index: i, Count: 2}},
			Store:   s.store, Log: slog.New(slog.DiscardHandler), Scratch: t.TempDir(), Threads: 1, Checkpoints: nowhere{}, Progress: func(Progress) {}, Result: &stage.Result{},
		}
		require.NoError(t, rollout().Run(t.Context(), k))
		made = append(made, k.Result.Outputs["examples"])
		for name, v := range k.Result.Metrics {
			sums[name] += v
		}
	}
	all, err := example.Join(t.Context(), s.store, "rollout", made)
	require.NoError(t, err)
	require.Equal(t, s.rows(whole.Outputs["examples"]), s.rows(all))
	require.Equal(t, whole.Metrics, sums)
	files, err := shardsOf(t.Context(), s.store, rollout().Describe(), ports{"data": {joined}})
	require.NoError(t, err)
	require.Len(t, files, 2)
}

func TestSamplingGoesOnWhereAStoppedWorkerLeftIt(t *testing.T) {
	s := newSchool(t)
	for _, c := range []struct {
		kind   Kind
		params string
		inputs ports
	}{
		{rollout(), `{"samples": 64, "max_tokens": 12}`, ports{"model": {s.trained}, "data": {s.problems}}},
		{evaluateTasks(), `{"samples": 64, "max_tokens": 12, "greedy": true, "k": [1, 64]}`, ports{"model": {s.trained}, "data": {s.problems}}},
		{winRate(), `{"samples": 64, "max_tokens": 12}`, ports{"model": {s.trained}, "baseline": {s.untrained}, "data": {s.problems}}},
	} {
		t.Run(c.kind.Describe().Name, func(t *testing.T) {
			s := &workshop{t, s.store}
			whole, err := s.run(execution{kind: c.kind, params: c.params, inputs: c.inputs})
			require.NoError(t, err)
			resolved, err := c.kind.Check([]byte(c.params))
			require.NoError(t, err)
			stopping := make(chan struct{})
			close(stopping) // each attempt writes a part, of 16 prompts, and is stopped
			kept, attempts := &points{}, 0
			for err = ErrStopped; err != nil; attempts++ {
				require.ErrorIs(t, err, ErrStopped)
				require.Less(t, attempts, 9)
				k := &Task{
					Request: stage.Request{Kind: c.kind.Describe().Name, Params: resolved, Inputs: c.inputs, Key: "key"}, Store: s.store, Log: slog.New(slog.DiscardHandler),
					Scratch: t.TempDir(), Threads: 1, Checkpoints: kept, Progress: func(Progress) {}, Result: &stage.Result{}, Stopping: stopping,
				}
				if err = c.kind.Run(t.Context(), k); err == nil {
					require.Equal(t, whole, k.Result)
				}
			}
			require.Greater(t, attempts, 2)
		})
	}
}

func TestARowThatTheModelCannotWriteToIsLeftOut(t *testing.T) {
	s := newSchool(t)
	rows := s.rows(s.problems)[:3]
	long, talk := *rows[0], *rows[1]
	long.ID, long.Prompt = "long", example.Plain(strings.Repeat("a", 60))
	talk.ID, talk.Prompt = "talk", example.Chat(example.Say("user", "a in ab?"))
	res, err := s.run(execution{kind: rollout(), params: `{"max_tokens": 8}`, inputs: ports{"model": {s.trained}, "data": {s.examples(&long, rows[2], &talk)}}})
	require.NoError(t, err)
	require.Equal(t, 1.0, res.Metrics["prompts"])
	require.Len(t, res.Quarantined, 2)
	require.Contains(t, res.Quarantined[0].Reason, "has 61 tokens, and the context of 48 leaves no room")
	require.Contains(t, res.Quarantined[1].Reason, "no chat template")
	_, err = s.run(execution{kind: rollout(), params: `{}`, inputs: ports{"model": {s.trained}, "data": {s.examples(&talk)}}})
	require.ErrorContains(t, err, "none of 1 rows has a prompt that the model can write to; the first, talk:")
}

func TestTheWorldRepliesInARollout(t *testing.T) {
	s := newSchool(t)
	var rows []*example.Example
	for i := range 8 {
		rows = append(rows, generated(t, "guess", ``, i))
	}
	res, err := s.run(execution{kind: rollout(), params: `{"samples": 3, "max_tokens": 12, "temperature": 3}`, inputs: ports{"model": {s.untrained}, "data": {s.examples(rows...)}}})
	require.NoError(t, err)
	replied := 0
	for _, e := range s.rows(res.Outputs["examples"]) {
		text := e.Completion.String()
		if len(text) > 1 && (text[1] == '+' || text[1] == '-') {
			replied++
			require.Equal(t, text[:1] == e.Problem.Answer, text[1] == '+')
		}
	}
	require.Greater(t, replied, 6, "of 24; first tokens of one byte get a reply")
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

func TestTheTrainedModelWins(t *testing.T) {
	s := newSchool(t)
	in := ports{"model": {s.trained}, "baseline": {s.untrained}, "data": {s.problems}}
	out := s.output(execution{kind: winRate(), params: `{"max_tokens": 16, "temperature": 0.5}`, inputs: in}, "evaluation")
	e := s.evaluation(out)
	require.Greater(t, e.Metrics["win_rate"].Mean, 80.0)
	require.Less(t, e.Metrics["win_rate"].High, 100.1)
	require.Contains(t, s.report(out), "won against")
	in["model"] = in["baseline"]
	e = s.evaluation(s.output(execution{kind: winRate(), params: `{"max_tokens": 16}`, inputs: in}, "evaluation"))
	require.Equal(t, 50.0, e.Metrics["win_rate"].Mean, "a model ties with itself")
}

// asked is a judge behind an API that answers by a function of the question.
func asked(t *testing.T, answer func(question string, n int) (status int, reply string)) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var q struct {
			Model    string `json:"model"`
			Messages []struct {
				Content string `json:"content"`
			} `json:"messages"`
		}
		if json.Unmarshal(body, &q) != nil || r.URL.Path != "/v1/chat/completions" || q.Model != "judge" || len(q.Messages) != 1 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		status, reply := answer(q.Messages[0].Content, int(n.Add(1)))
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"message": map[string]string{"content": reply}}}})
	}))
	t.Cleanup(server.Close)
	return server, &n
}

func TestAnEndpointJudges(t *testing.T) {
	row := &example.Example{ID: "a", Prompt: example.Plain("Say yes.")}
	good, bad := completion{text: "yes"}, completion{text: "no"}
	prefersYes := func(q string, _ int) (int, string) {
		if strings.Contains(q, "[Answer A]\nyes") && strings.Contains(q, "[Answer B]\nno") {
			return 200, "A."
		}
		if strings.Contains(q, "[Answer A]\nno") && strings.Contains(q, "[Answer B]\nyes") {
			return 200, "**B**"
		}
		return 200, "C, neither"
	}
	for _, c := range []struct {
		name   string
		answer func(q string, n int) (int, string)
		m      match
		want   float64 // the result; -1: an error
		err    string
		asked  int64
		away   bool
	}{
		{"a win in both orders", prefersYes, match{row: row, model: good, baseline: bad}, 1, "", 2, false},
		{"a loss in both orders", prefersYes, match{row: row, model: bad, baseline: good}, 0, "", 2, false},
		{"a tie", prefersYes, match{row: row, model: good, baseline: good}, 0.5, "", 2, false},
		{"a judge who favours the first place gives a tie", func(string, int) (int, string) { return 200, "A" }, match{row: row, model: good, baseline: bad}, 0.5, "", 2, false},
		{"words in place of a letter are a tie", func(string, int) (int, string) { return 200, "Both are fine" }, match{row: row, model: good, baseline: bad}, 0.5, "", 2, false},
		{"a judge that comes back", func(q string, n int) (int, string) {
			if n < 3 {
				return 503, ""
			}
			return prefersYes(q, n)
		}, match{row: row, model: good, baseline: bad}, 1, "", 4, false},
		{"too many requests", func(q string, n int) (int, string) {
			if n == 1 {
				return 429, ""
			}
			return prefersYes(q, n)
		}, match{row: row, model: good, baseline: bad}, 1, "", 3, false},
		{"a judge that is down", func(string, int) (int, string) { return 500, "" }, match{row: row, model: good, baseline: bad}, -1, "the judge does not answer", 3, true},
		{"a judge that is slow", func(string, int) (int, string) { time.Sleep(300 * time.Millisecond); return 200, "A" }, match{row: row, model: good, baseline: bad}, -1, "Timeout", 3, true},
		{"a wrong key", func(string, int) (int, string) { return 401, "" }, match{row: row, model: good, baseline: bad}, -1, "set the variable JUDGE_API_KEY", 1, false},
		{"a wrong name", func(string, int) (int, string) { return 404, "no such model" }, match{row: row, model: good, baseline: bad}, -1, "no such model", 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, n := asked(t, c.answer)
			p := defaultEndpoint()
			p.URL, p.Model, p.Key, p.Tries, p.Seconds = server.URL+"/v1", "judge", "JUDGE_API_KEY", 3, 0.15
			require.Empty(t, p.faults())
			e := newEndpoint(&Task{Log: slog.New(slog.DiscardHandler)}, p)
			e.pause = time.Millisecond
			matches := []match{c.m}
			err := e.compare(t.Context(), matches)
			require.Equal(t, c.asked, n.Load())
			if c.want >= 0 {
				require.NoError(t, err)
				require.Equal(t, c.want, matches[0].result)
				return
			}
			require.ErrorContains(t, err, c.err)
			class := stage.InvalidInput
			if c.away {
				class = stage.JudgeUnavailable
			}
			require.ErrorContains(t, failure(err), class)
		})
	}
	_, err := winRate().Check([]byte(`{"judge": "endpoint", "endpoint": {"url": "host", "key": "AWS_SECRET", "prompt": "?"}}`))
	for _, want := range []string{"endpoint.url", "endpoint.model", "ends in _API_KEY", "{second}"} {
		require.ErrorContains(t, err, want)
	}
}

func TestSearchesAreComparedAtEqualTokens(t *testing.T) {
	s := newSchool(t)
	const params = `{"n": [1, 4], "methods": ["best", "likeliest", "majority", "weighted", "beam", "mcts"], "separator": "\\n", "branch": 2, "temperature": 1.5, "max_tokens": 16, "seed": 2}`
	res, err := s.run(execution{kind: searchKind(), params: params, inputs: ports{"model": {s.trained}, "data": {s.problems}}})
	require.NoError(t, err)
	m := res.Metrics
	require.Equal(t, m["best_4"], m["any_4"], "the oracle finds a right text where there is one")
	require.GreaterOrEqual(t, m["any_4"], m["majority_4"])
	require.Equal(t, m["best_1"], m["majority_1"])
	require.Greater(t, m["mcts_4"], m["likeliest_1"], "of one text, likeliest is no choice")
	require.Greater(t, m["beam_4"], m["likeliest_1"])
	tokens := map[string]float64{}
	for _, r := range s.evaluation(res.Outputs["evaluation"]).Tasks.Search {
		tokens[fmt.Sprintf("%s_%d", r.Method, r.N)] = r.Tokens
	}
	require.Equal(t, tokens["best_4"], tokens["majority_4"])
	require.InDelta(t, tokens["best_4"], tokens["mcts_4"], 0.5*tokens["best_4"])
	require.InDelta(t, tokens["best_4"], tokens["beam_4"], 0.5*tokens["best_4"])
	require.Contains(t, s.report(res.Outputs["evaluation"]), "accuracy over tokens")
	again, err := s.run(execution{kind: searchKind(), params: params, inputs: ports{"model": {s.trained}, "data": {s.problems}}, threads: 2})
	require.NoError(t, err)
	require.Equal(t, res, again)
}

// TestAModelThatJudgesPlugsInEverywhere trains judges on what the model wrote, and lets them judge rollouts, comparisons and searches.
func TestAModelThatJudgesPlugsInEverywhere(t *testing.T) {
	s := newSchool(t)
	labelled := s.output(execution{kind: rollout(), params: `{"samples": 24, "temperature": 1.5, "max_tokens": 16, "keep": "labels", "seed": 5}`, inputs: ports{"model": {s.trained}, "data": {s.problems}}}, "examples")
	const learn = `{"learn": "labels", "readout": "sum", "scale": 0.3, "steps": 120, "batch": 32, "learning_rate": 0.004}`
	judge := s.output(execution{kind: rewardModel(), params: learn, inputs: ports{"model": {s.trained}, "data": {labelled}}, threads: 2}, "model")

	rows := s.rows(s.output(execution{kind: rollout(), params: `{"samples": 8, "temperature": 1.5, "max_tokens": 16, "reward_weight": 0.5}`, inputs: ports{"model": {s.trained}, "data": {s.problems}, "reward_model": {judge}}}, "examples"))
	var means [2]float64
	var n [2]float64
	for _, e := range rows {
		k := int(e.Rewards["accuracy"])
		means[k], n[k] = means[k]+e.Rewards["reward_model"], n[k]+1
		require.InDelta(t, *e.Score, e.Rewards["accuracy"]+0.5*e.Rewards["reward_model"], 1e-9)
	}
	require.Greater(t, means[1]/n[1], means[0]/n[0]+1, "right answers are worth more to it")

	e := s.evaluation(s.output(execution{kind: winRate(), params: `{"judge": "reward_model", "max_tokens": 16}`, inputs: ports{
		"model": {s.trained}, "baseline": {s.untrained}, "data": {s.problems}, "reward_model": {judge},
	}}, "evaluation"))
	require.Greater(t, e.Metrics["win_rate"].Mean, 80.0)

	const searching = `{"n": [1, 8], "methods": ["best", "weighted", "beam", "mcts"], "separator": "\n", "verifier": "model", "branch": 2, "temperature": 1.5, "max_tokens": 16}`
	res, err := s.run(execution{kind: searchKind(), params: searching, inputs: ports{"model": {s.trained}, "data": {s.problems}, "verifier": {judge}}})
	require.NoError(t, err)
	require.Greater(t, res.Metrics["best_8"], res.Metrics["best_1"], "the judge chooses better than chance")
	again, err := s.run(execution{kind: searchKind(), params: searching, inputs: ports{"model": {s.trained}, "data": {s.problems}, "verifier": {judge}}, threads: 2})
	require.NoError(t, err)
	require.Equal(t, res, again)

	for _, c := range []struct {
		kind         Kind
		params, want string
		inputs       ports
	}{
		{searchKind(), searching, "there is no input verifier", ports{"model": {s.trained}, "data": {s.problems}}},
		{searchKind(), searching, "input verifier has no score head", ports{"model": {s.trained}, "data": {s.problems}, "verifier": {s.trained}}},
		{winRate(), `{"judge": "reward_model", "max_tokens": 4}`, "there is no input reward_model", ports{"model": {s.trained}, "baseline": {s.trained}, "data": {s.problems}}},
		{rollout(), `{"rewards": [], "max_tokens": 4}`, "rewards is empty", ports{"model": {s.trained}, "data": {s.problems}}},
	} {
		_, err := s.run(execution{kind: c.kind, params: c.params, inputs: c.inputs})
		require.ErrorContains(t, err, c.want)
	}
}

// TestAProcessVerifierJudgesStepsThatNothingSeparates learns from labelled steps of running sums and judges those of a search.
func TestAProcessVerifierJudgesStepsThatNothingSeparates(t *testing.T) {
	s := newSchool(t)
	var rows []*example.Example
	for i := range 12 {
		rows = append(rows, generated(t, "running", `{"sums": 4}`, i))
	}
	problems := s.examples(rows...)
	stepped := s.output(execution{kind: rollout(), params: `{"samples": 4, "max_tokens": 6, "keep": "steps"}`, inputs: ports{"model": {s.untrained}, "data": {problems}}}, "examples")
	require.Equal(t, example.Stepwise, s.rows(stepped)[0].Form())
	verifier := s.output(execution{kind: rewardModel(), params: `{"learn": "steps", "separator": "", "steps": 4, "batch": 16}`, inputs: ports{"model": {s.untrained}, "data": {stepped}}}, "model")
	res, err := s.run(execution{kind: searchKind(), params: `{"n": [4], "separator": "", "step_tokens": 1, "verifier": "model", "max_tokens": 6}`, inputs: ports{"model": {s.untrained}, "data": {problems}, "verifier": {verifier}}})
	require.NoError(t, err)
	for _, method := range []string{"best_4", "majority_4", "weighted_4", "beam_4", "mcts_4"} {
		require.Contains(t, res.Metrics, method)
	}
	_, err = s.run(execution{kind: rollout(), params: `{"max_tokens": 6}`, inputs: ports{"model": {s.untrained}, "data": {problems}, "reward_model": {verifier}}})
	require.ErrorContains(t, err, "the reward model judges steps")
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
