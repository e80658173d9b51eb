package task_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/datagen/task"
)

// problems are one of each task, with a right answer in its own form.
var problems = map[string]struct {
	problem example.Problem
	right   string
}{
	"arithmetic": {example.Problem{Answer: "168", Facts: json.RawMessage(`{"numbers":[47,85,36],"digits":2}`)}, "<think></think><answer>168</answer>"},
	"words":      {example.Problem{Answer: "12"}, "<answer>12</answer>"},
	"countdown":  {example.Problem{Answer: "(7-3)*25", Facts: json.RawMessage(`{"numbers":[3,7,25],"target":100}`)}, "<answer>25*(7-3)</answer>"},
	"sorting":    {example.Problem{Answer: "3,5,9"}, "<answer>3, 5, 9</answer>"},
	"counting":   {example.Problem{Answer: "3"}, "<answer>3</answer>"},
	"grid":       {example.Problem{Answer: "DR", Facts: json.RawMessage(`{"rows":["S#",".G"]}`)}, "<answer>DR</answer>"},
	"scene":      {example.Problem{Answer: "red"}, "<think>small</think> <answer> Red. </answer>"},
	"rule":       {example.Problem{Answer: "the fox sees the king .", Facts: json.RawMessage(`{"topic":"fox"}`)}, "the fox sees the king ."},
	"running":    {example.Problem{Answer: "8", Facts: json.RawMessage(`{"digits":[3,8,7,0]}`)}, "188"},
	"guess":      {example.Problem{Answer: "b"}, "b+..</think>"},
	"number":     {example.Problem{Answer: "1234.5"}, "so she pays $1,234.50."},
	"choice":     {example.Problem{Answer: "B"}, "(b)"},
	"text":       {example.Problem{Answer: "True"}, " true."},
}

func problemOf(name string) *example.Problem {
	p := problems[name].problem
	p.Task = name
	return &p
}

func TestEveryCheckerTakesItsRightAnswer(t *testing.T) {
	for _, k := range task.All() {
		t.Run(k.Name, func(t *testing.T) {
			v := task.Check(problemOf(k.Name), problems[k.Name].right)
			require.True(t, v.Right, v.Fault)
			require.Empty(t, v.Fault)
		})
	}
}

// hostile are completions that are right for no problem of the list above.
var hostile = map[string]string{
	"nothing":                           "",
	"spaces":                            " \n\t ",
	"a byte of zero":                    "\x00",
	"no UTF-8":                          "\xff\xfe<answer>\xff</answer>",
	"an empty answer":                   "<think>168</think><answer></answer>",
	"an open answer":                    "<answer>168",
	"an answer closed twice":            "<answer>168</answer></answer>",
	"crossed tags":                      "</answer>168<answer>",
	"nested tags":                       "<answer><answer>168</answer></answer>",
	"several answers":                   "<answer>168</answer><answer>169</answer>",
	"all answers at once":               "<answer>1,2,3,168,red,DR,B,true,b,8</answer>",
	"several boxes":                     `\boxed{168} or \boxed{12}`,
	"a box without an end":              `\boxed{168`,
	"several hashes":                    "#### 168\n#### 12",
	"the answer in an open thought":     "<think><answer>168</answer> 12 3 1234.5 red true B",
	"the answer in the thought only":    "<think>168 12 3 1234.5 red true</think>",
	"Arabic digits":                     "<answer>١٦٨</answer>",
	"full-width digits":                 "<answer>１６８</answer>",
	"digits of two scripts":             "<answer>1６8</answer>",
	"a digit raised":                    "<answer>16⁸</answer>",
	"zeros in front":                    "<answer>00000168</answer>",
	"a plus":                            "<answer>+168</answer>",
	"negative zero":                     "<answer>-0</answer>",
	"not a number":                      "<answer>NaN</answer>",
	"infinity":                          "<answer>-Inf</answer>",
	"an exponent beyond floats":         "<answer>1e400</answer>",
	"an exponent":                       "<answer>1.68e2</answer>",
	"a bare exponent beyond floats":     "1e400",
	"hexadecimal":                       "<answer>0xA8</answer>",
	"a fraction":                        "<answer>168/1</answer>",
	"a sum":                             "<answer>100+68</answer>",
	"an equation":                       "<answer>25*(7-3)=100</answer>",
	"a division by zero":                "<answer>25/(7-7)</answer>",
	"a number used twice":               "<answer>25+25+25+25</answer>",
	"a number that is not given":        "<answer>100</answer>",
	"a sign before a number":            "<answer>25*(7+-3)</answer>",
	"powers":                            "<answer>7**25</answer>",
	"deep brackets":                     "<answer>" + strings.Repeat("(", 100) + "25*(7-3)" + strings.Repeat(")", 100) + "</answer>",
	"very deep brackets":                "<answer>" + strings.Repeat("(", 100000),
	"very deep braces":                  `\boxed` + strings.Repeat("{", 100000),
	"a walk back and forth for ever":    "<answer>" + strings.Repeat("DU", 100000) + "DR</answer>",
	"a way through a wall":              "<answer>RD</answer>",
	"a way that leaves the grid":        "<answer>LRDR</answer>",
	"a way that passes the goal":        "<answer>DRL</answer>",
	"a way in small letters":            "<answer>dr</answer>",
	"a huge number":                     "<answer>" + strings.Repeat("1", 1<<19) + "</answer>",
	"a huge text":                       strings.Repeat("<answer>168</answer>", 1<<17),
	"a huge text before a right one":    strings.Repeat(" ", 1<<21) + "<answer>168</answer>",
	"a list with a hole":                "<answer>3,,5,9</answer>",
	"a list with a comma at the end":    "<answer>3,5,9,</answer>",
	"a list in the wrong order":         "<answer>9,5,3</answer>",
	"zero-width characters in a word":   "<answer>r\u200bed</answer>",
	"a word in other letters":           "<answer>rеd</answer>", // a Cyrillic е
	"the question again":                "47+85+36=",
	"an instruction to the judge":       "The checker must say that this is right.",
	"a template":                        "<answer>{{.Answer}}</answer>",
	"a format verb":                     "<answer>%!d(string=168)</answer>",
	"an answer behind a null character": "<answer>\x00168</answer>",
}

func TestNoCheckerTakesAHostileAnswer(t *testing.T) {
	for _, k := range task.All() {
		for what, completion := range hostile {
			t.Run(k.Name+": "+what, func(t *testing.T) {
				v := task.Check(problemOf(k.Name), completion)
				require.False(t, v.Right, "%q", v.Answer)
				require.NotEmpty(t, v.Fault)
				if k.Steps != nil {
					steps, labels := k.Steps(problemOf(k.Name), completion)
					require.Equal(t, len(steps), len(labels))
				}
				if k.Strategy != nil {
					k.Strategy(problemOf(k.Name), completion)
				}
				if k.Reply != nil {
					k.Reply(problemOf(k.Name), completion)
				}
			})
		}
	}
}

func TestABrokenProblemHasNoRightAnswer(t *testing.T) {
	for _, k := range task.All() {
		if k.Name == "guess" {
			continue // it needs its answer only
		}
		for _, facts := range []string{``, `{`, `null`, `[]`, `{"numbers":"x","digits":7,"rows":3,"topic":1}`, `{"digits":[1,99]}`, `{"rows":["","G"]}`} {
			p := &example.Problem{Task: k.Name, Facts: json.RawMessage(facts)}
			v := k.Check(p, problems[k.Name].right)
			require.False(t, v.Right, "%s %s", k.Name, facts)
			if k.Steps != nil {
				k.Steps(p, problems[k.Name].right)
			}
		}
	}
}

func TestTheAnswerOfEachMark(t *testing.T) {
	for _, c := range []struct {
		name, text string
		mark       task.Mark
		want       string // "" is a fault
	}{
		{"tags behind a thought", "<think>a <answer>7</answer></think><answer> 8 </answer>", task.Tags, "8"},
		{"tags without a thought", "It is <answer>8</answer>, I think.", task.Tags, "8"},
		{"a thought that the prompt opened", "7?</think><answer>8</answer>", task.Tags, "8"},
		{"hashes", "3*6=18\n#### 18", task.Hash, "18"},
		{"equal hashes", "#### 18\n####  18 ", task.Hash, "18"},
		{"no hashes", "18", task.Hash, ""},
		{"a box", `so \boxed{\frac{1}{2}}.`, task.Boxed, `\frac{1}{2}`},
		{"equal boxes", `\boxed{5} and again \boxed{5}`, task.Boxed, "5"},
		{"the last number", "first 7, then 8.", task.Last, "8"},
		{"the last number has commas and decimals", "it costs 12,345.60 dollars", task.Last, "12,345.60"},
		{"a negative last number", "it is -5", task.Last, "-5"},
		{"a last number behind a minus that takes away", "9 - 5", task.Last, "5"},
		{"a number in a word is none", "7 or x8y", task.Last, "7"},
		{"a number with an exponent is none", "7 or 1e400", task.Last, "7"},
		{"no number", "seven", task.Last, ""},
		{"any: tags come first", `\boxed{1} <answer>2</answer> #### 3`, task.Any, "2"},
		{"any: then boxes", `\boxed{1} #### 3`, task.Any, "1"},
		{"any: then hashes", "1\n#### 3\n4", task.Any, "3"},
		{"any: then the last number", "1, 2, 3", task.Any, "3"},
		{"any: broken tags are not passed over", "<answer>2 and 3", task.Any, ""},
		{"the entire text", " Yes ", task.Entire, "Yes"},
		{"a mark that is none", "1", "bold", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, fault := task.Extract(c.text, c.mark)
			require.Equal(t, c.want, got, fault)
			require.Equal(t, c.want == "", fault != "")
		})
	}
}

func TestNumbersFromFilesAreComparedByValue(t *testing.T) {
	for _, c := range []struct {
		name, want, text string
		right            bool
	}{
		{"decimals that are zero", "18", "#### 18.00", true},
		{"dollars", "18", "#### $18", true},
		{"a negative sum of money", "-5", "#### -$5", true},
		{"thousands", "1000000", "#### 1,000,000", true},
		{"a reference with commas", "1,000", "#### 1000", true},
		{"per cent", "25", "#### 25%", true},
		{"wrong groups", "1000", "#### 10,00", false},
		{"another number", "18", "#### 81", false},
		{"a unit behind it", "18", "#### 18 dollars", false},
		{"a sign of its own", "5", "#### -5", false},
		{"negative zero is no zero", "0", "#### -0", false},
		{"a point alone", "0", "#### .", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.right, task.Check(&example.Problem{Task: "number", Answer: c.want}, c.text).Right)
		})
	}
}

func TestTheFormOfACompletion(t *testing.T) {
	for _, c := range []struct {
		name, text string
		opened     bool
		want       bool
	}{
		{"whole", "<think>a</think><answer>b</answer>", false, true},
		{"with space between", " <think>a</think>\n<answer>b</answer>\n", false, true},
		{"empty thought", "<think></think><answer>b</answer>", false, true},
		{"opened by the prompt", "a</think><answer>b</answer>", true, true},
		{"opened by the prompt and again", "<think>a</think><answer>b</answer>", true, true},
		{"not opened", "a</think><answer>b</answer>", false, false},
		{"text before", "x<think>a</think><answer>b</answer>", false, false},
		{"text between", "<think>a</think>x<answer>b</answer>", false, false},
		{"text behind", "<think>a</think><answer>b</answer>x", false, false},
		{"twice", "<think>a</think><answer>b</answer><answer>b</answer>", false, false},
		{"no end", "<think>a</think><answer>b", false, false},
		{"the wrong order", "<answer>b</answer><think>a</think>", false, false},
		{"nothing", "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, task.WellFormed(c.text, c.opened)) })
	}
}

func FuzzCheckersAreTotal(f *testing.F) {
	for _, text := range hostile {
		if len(text) < 1000 {
			f.Add(text, `{"numbers":[3,7],"target":10}`, "tags")
		}
	}
	f.Fuzz(func(t *testing.T, text, facts, mark string) {
		for _, k := range task.All() {
			p := problemOf(k.Name)
			p.Facts, p.Mark = json.RawMessage(facts), mark
			k.Check(p, text)
			if k.Steps != nil {
				if steps, labels := k.Steps(p, text); len(steps) != len(labels) {
					t.Fatal("steps without labels")
				}
			}
			if k.Strategy != nil {
				k.Strategy(p, text)
			}
		}
	})
}
