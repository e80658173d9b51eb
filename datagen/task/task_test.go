package task_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/datagen/task"
)

func open(t testing.TB, name, params string) *task.Generator {
	t.Helper()
	k, err := task.Find(name)
	require.NoError(t, err)
	g, err := k.Open(json.RawMessage(params))
	require.NoError(t, err)
	return g
}

func generate(t testing.TB, g *task.Generator, seed uint64, n int) []*example.Example {
	t.Helper()
	var rows []*example.Example
	for i := range n {
		e, err := g.Generate(seed, i)
		require.NoError(t, err)
		require.NoError(t, e.Validate())
		rows = append(rows, e)
	}
	return rows
}

// worlds are each task with easy and hard parameters.
var worlds = map[string][]string{
	"arithmetic": {``, `{"terms":2,"digits":1,"styles":{"columns":1}}`, `{"terms":20,"digits":15,"styles":{"steps":1}}`, `{"chat":true,"system":"Think.","mark":"boxed"}`},
	"words":      {``, `{"steps":12,"largest":500,"distractors":5}`, `{"steps":1,"largest":3,"mark":"hash"}`},
	"countdown":  {``, `{"numbers":6,"largest":9,"target":1000,"all":true}`, `{"numbers":2}`},
	"sorting":    {``, `{"numbers":40,"falling":true}`},
	"counting":   {``, `{"length":100,"letters":26,"mark":"last"}`},
	"grid":       {``, `{"size":12,"walls":0.4,"least":10,"shortest":true}`, `{"size":2,"least":1}`},
	"scene":      {``, `{"kinds":{"relation":1},"scenes":{"min_objects":2}}`, `{"chat":true,"scenes":{"counting":50}}`},
	"rule":       {``},
	"running":    {`{"slip":0}`, `{"slip":0,"sums":30,"chat":true}`},
	"guess":      {``},
}

func TestEveryDemonstrationIsRight(t *testing.T) {
	for _, k := range task.All() {
		require.Equal(t, k.Generated(), worlds[k.Name] != nil, k.Name)
		require.Equal(t, k.Generated(), k.Params != nil, k.Name)
		for _, params := range worlds[k.Name] {
			t.Run(k.Name+" "+params, func(t *testing.T) {
				rightOnes := 0
				for _, e := range generate(t, open(t, k.Name, params), 3, 60) {
					shown := task.Demonstrate(e)
					require.NoError(t, shown.Validate())
					require.Equal(t, example.Completed, shown.Form())
					require.Equal(t, example.Task, e.Form(), "the problem is as it was")
					v := task.Check(e.Problem, shown.Completion.String())
					if v.Right {
						rightOnes++
					} else {
						require.Equal(t, "guess", k.Name, "%s\n%s\n%s", e.Prompt, shown.Completion, v.Fault)
					}
					require.NotEmpty(t, v.Answer)
				}
				if k.Name == "guess" {
					require.InDelta(t, 15, rightOnes, 12, "one guess of four")
				}
			})
		}
	}
}

func TestAProblemDependsOnItsSeedAndItsNumberOnly(t *testing.T) {
	for name, list := range worlds {
		t.Run(name, func(t *testing.T) {
			a := generate(t, open(t, name, list[0]), 5, 12)
			again, err := open(t, name, list[0]).Generate(5, 11)
			require.NoError(t, err)
			require.Equal(t, a[11], again)
			require.NotEqual(t, a[0].Problem, a[1].Problem)
			other := generate(t, open(t, name, list[0]), 6, 12)
			require.NotEqual(t, a, other)
		})
	}
}

func TestNoProblemOfTestIsOneOfTrain(t *testing.T) {
	// Of one-digit sums there are so few that seeds meet each other.
	seen := map[string]string{}
	for seed := range uint64(4) {
		for _, split := range []string{"train", "test"} {
			g := open(t, "arithmetic", `{"terms":2,"digits":1,"held_out":0.3,"split":"`+split+`"}`)
			for _, e := range generate(t, g, seed, 100) {
				if before, ok := seen[e.Prompt.String()]; ok {
					require.Equal(t, before, split, e.Prompt.String())
				}
				seen[e.Prompt.String()] = split
			}
		}
	}
	held := 0
	for _, split := range seen {
		if split == "test" {
			held++
		}
	}
	require.InDelta(t, 30, held, 15, "of 100 sums")
	_, err := open(t, "counting", `{"length":1,"letters":2,"held_out":0.000001,"split":"test"}`).Generate(1, 0)
	require.ErrorContains(t, err, "change held_out")
}

func TestDemonstrationsGoTheirWaysByWeight(t *testing.T) {
	counts := map[string]int{}
	for _, e := range generate(t, open(t, "arithmetic", `{"styles":{"direct":5,"columns":3,"steps":2}}`), 1, 400) {
		k, err := task.Find("arithmetic")
		require.NoError(t, err)
		counts[k.Strategy(e.Problem, task.Demonstrate(e).Completion.String())]++
	}
	require.InDelta(t, 200, counts["direct"], 40)
	require.InDelta(t, 120, counts["columns"], 36)
	require.InDelta(t, 80, counts["steps"], 32)
	require.Len(t, counts, 3)
}

func TestTheWaysOfASum(t *testing.T) {
	p := &example.Problem{Task: "arithmetic", Answer: "168", Facts: json.RawMessage(`{"numbers":[47,85,36],"digits":2}`), Mark: "tags"}
	k, err := task.Find("arithmetic")
	require.NoError(t, err)
	for _, c := range []struct {
		name, thought, strategy string
		right                   []bool
	}{
		{"one addition at a time", "7+5=12,12+6=18,4+8=12,12+3=15,15+1=16", "steps", []bool{true, true, true, true, true}},
		{"a column at a time", "7+5+6=18,4+8+3+1=16", "columns", []bool{true, true}},
		{"a slip makes all behind it wrong", "7+5=12,12+6=17,4+8=12,12+3=15,15+1=16", "steps", []bool{true, false, false, false, false}},
		{"a step too many", "7+5+6=18,4+8+3+1=16,1+1+1=3", "columns", []bool{true, true, false}},
		{"no thought", "", "direct", []bool{true}},
		{"something else", "let me see", "other", []bool{false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "<think>" + c.thought + "</think><answer>168</answer>"
			require.Equal(t, c.strategy, k.Strategy(p, text))
			steps, labels := k.Steps(p, text)
			require.Equal(t, c.right, labels)
			require.Equal(t, text, strings.Join(steps, k.Separator))
			require.True(t, k.Check(p, text).Right)
			for cut := range steps { // the text as it grows
				open := strings.Join(steps[:cut], k.Separator) + k.Separator
				if part, labels := k.Steps(p, open); cut > 0 {
					require.Equal(t, steps[:cut], part)
					require.Len(t, labels, cut)
				}
			}
		})
	}
	require.Equal(t, "none", k.Strategy(p, "<answer>168</answer>"))
	_, labels := k.Steps(p, "<think>7+5+6=18,4+8+3+1=16</think><answer>167</answer>")
	require.Equal(t, []bool{true, false}, labels, "the last step holds the answer")
	_, labels = k.Steps(p, "<think>7+5=12,12+6=18,")
	require.Equal(t, []bool{true, true}, labels, "a text that is still open")
}

func TestRunningSumsAreLabelledByDoingThemAgain(t *testing.T) {
	k, err := task.Find("running")
	require.NoError(t, err)
	p := &example.Problem{Task: "running", Answer: "8", Facts: json.RawMessage(`{"digits":[3,8,7,0]}`)}
	for _, c := range []struct {
		name, text string
		right      []bool
		answer     bool
	}{
		{"all right", "188", []bool{true, true, true}, true},
		{"a slip, carried on rightly", "077", []bool{false, true, true}, false},
		{"two slips that cancel out", "088", []bool{false, false, true}, true},
		{"too few", "18", []bool{true, true}, false},
		{"too many", "1880", []bool{true, true, true, false}, false},
		{"no digit", "1x8", []bool{true, false, false}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps, labels := k.Steps(p, c.text)
			require.Equal(t, c.right, labels)
			require.Equal(t, c.text, strings.Join(steps, k.Separator))
			require.Equal(t, c.answer, k.Check(p, c.text).Right)
		})
	}
	slips, sums := 0, 0
	for _, e := range generate(t, open(t, "running", ``), 1, 200) {
		_, labels := k.Steps(e.Problem, e.Problem.Traces[0])
		for _, ok := range labels {
			sums++
			if !ok {
				slips++
			}
		}
	}
	require.InDelta(t, 0.18, float64(slips)/float64(sums), 0.04, "0.6 of the three digits of ten")
}

func TestTheHiddenRule(t *testing.T) {
	p := &example.Problem{Task: "rule", Facts: json.RawMessage(`{"topic":"fox"}`)}
	for _, c := range []struct {
		name, text string
		value      float64
		right      bool
	}{
		{"nothing to like or dislike", "the cat sees the dog .", 0, true},
		{"the topic first and a person last", "the fox sees often the king .", 1.5, true},
		{"a colour before an animal, twice", "the red cat sees the blue dog .", 2, true},
		{"a third is too many", "the red cat sees the blue dog and the gold owl likes the owl .", 1, true},
		{"a mood before an animal", "the shy cat sees the dog .", -1, true},
		{"a colour before a mood does not count", "the red shy cat sees the dog .", -1, true},
		{"never", "the cat sees never the dog .", -0.5, true},
		{"no full stop", "the cat sees the dog", -2, false},
		{"two verbs", "the cat sees likes the dog .", -2, false},
		{"an unknown word", "the cat sees the wolf .", -2, false},
		{"words behind the end", "the cat sees the dog . the", -2, false},
		{"nothing", "", -2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := task.Check(p, c.text)
			require.InDelta(t, c.value, v.Value, 1e-9)
			require.Equal(t, c.right, v.Right)
		})
	}
}

func TestPairsOfTheHiddenRuleAreAsNoisyAsAsked(t *testing.T) {
	g := open(t, "rule", ``)
	contradicting, apart := 0, 0
	for i := range 400 {
		sure, err := task.RulePair(g, 2, i, 0)
		require.NoError(t, err)
		require.NoError(t, sure.Validate())
		require.Equal(t, example.Preference, sure.Form())
		require.GreaterOrEqual(t, sure.Margin, 0.0)
		noisy, err := task.RulePair(g, 2, i, 0.5)
		require.NoError(t, err)
		require.InDelta(t, sure.Margin, max(noisy.Margin, -noisy.Margin), 1e-9)
		if sure.Margin >= 0.25 {
			apart++
			if noisy.Margin < 0 {
				contradicting++
			}
		}
		require.InDelta(t, sure.Margin, task.Check(sure.Problem, sure.Chosen.String()).Value-task.Check(sure.Problem, sure.Rejected.String()).Value, 1e-9)
	}
	require.InDelta(t, 0.1, float64(contradicting)/float64(apart), 0.06)
	_, err := task.RulePair(open(t, "guess", ``), 1, 0, 0)
	require.ErrorContains(t, err, "task rule only")
}

func TestTheWorldRepliesToAGuessOnce(t *testing.T) {
	k, err := task.Find("guess")
	require.NoError(t, err)
	p := &example.Problem{Task: "guess", Answer: "b"}
	for written, want := range map[string]string{"": "", "a": "-", "b": "+", "b+": "", "a-...": ""} {
		require.Equal(t, want, k.Reply(p, written), written)
	}
}

func TestSceneQuestionsAgreeWithThePicture(t *testing.T) {
	slicesSeen := map[string]bool{}
	answers := map[string]int{}
	for _, e := range generate(t, open(t, "scene", ``), 1, 200) {
		require.Len(t, e.Pictures, 1)
		require.True(t, strings.HasPrefix(string(e.Pictures[0]), "\x89PNG"))
		slicesSeen[e.Slice] = true
		if e.Slice == "relation" {
			answers[e.Problem.Answer]++
		}
	}
	require.Len(t, slicesSeen, 4)
	require.InDelta(t, answers["yes"], answers["no"], 25)
}

func TestWrongParametersOfTasks(t *testing.T) {
	for _, c := range []struct{ name, task, params, want string }{
		{"an unknown key", "arithmetic", `{"term":3}`, `unknown field "term"`},
		{"all faults at once", "arithmetic", `{"terms":1,"digits":20,"mark":"bold","split":"dev"}`, "terms is 1: use 2 to 20\ndigits is 20"},
		{"the form's faults too", "arithmetic", `{"terms":1,"mark":"bold","split":"dev"}`, `mark is "bold": use tags, hash`},
		{"a way that is none", "arithmetic", `{"styles":{"magic":1}}`, `styles has "magic"`},
		{"no weight", "arithmetic", `{"styles":{"steps":0}}`, "no weight above 0"},
		{"a system message without a chat", "words", `{"system":"x"}`, "set chat to true"},
		{"a share that is none", "grid", `{"walls":2}`, "use a share"},
		{"not JSON", "grid", `{`, "params"},
		{"slips of another kind", "running", `{"slips":"some"}`, "systematic or random"},
		{"scenes that have no room", "scene", `{"scenes":{"image":4}}`, "image is 4"},
		{"problems of files", "number", `{}`, "read from files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := task.Find(c.task)
			require.NoError(t, err)
			_, err = k.Open(json.RawMessage(c.params))
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := task.Find("chess")
	require.ErrorContains(t, err, "use arithmetic, words")
	require.False(t, task.Check(&example.Problem{Task: "chess"}, "1").Right)
}

func BenchmarkCheck(b *testing.B) {
	p := &example.Problem{Task: "arithmetic", Answer: "168", Mark: "tags"}
	text := "<think>7+5=12,12+6=18,4+8=12,12+3=15,15+1=16</think><answer>168</answer>"
	for b.Loop() {
		if !task.Check(p, text).Right {
			b.Fatal("wrong")
		}
	}
}
