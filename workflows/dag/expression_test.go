package dag

import (
	"strings"
	"testing"
)

var testMetrics = map[string]map[string]float64{
	"eval":     {"r1": 0.5, "recall@1": 0.25, "itc.r1": 3, "n": 4},
	"baseline": {"r1": 0.45, "zero": 0},
}

func TestExpressions(t *testing.T) {
	for _, c := range []struct {
		source string
		want   bool
	}{
		{"eval.r1 > baseline.r1 + 0.01", true},
		{"eval.r1 > baseline.r1 + 0.1", false},
		{`eval["recall@1"] == 1 / 4`, true},
		{"eval.itc.r1 == 3", true},
		{"not (eval.r1 > 1) and baseline.zero == 0", true},
		{"eval.r1 > 1 or eval.n >= 4", true},
		{"eval.r1 > 1 ? eval.n > 10 : eval.n < 10", true},
		{"min(eval.r1, baseline.r1, 7) == baseline.r1", true},
		{"max(1, eval.n) == 4 && abs(-eval.n) == 4", true},
		{"floor(2.7) == 2 and ceil(2.2) == 3 and round(2.5) == 3", true},
		{"eval.n ^ 2 == 16", true},
		{"1 / baseline.zero > 1000000", true},
		{"true != (eval.n < 0)", true},
		{"0.1 + 0.2 == 0.3", false},
		{"-eval.n < +eval.n - 1", true},
	} {
		t.Run(c.source, func(t *testing.T) {
			got, err := Eval(c.source, testMetrics)
			if err != nil || got != c.want {
				t.Fatalf("got %v, %v", got, err)
			}
		})
	}
}

func TestMissingMetricsAreNamedWithWhatThereIs(t *testing.T) {
	_, err := Eval("eval.r5 > 1 or nobody.x > 1", testMetrics)
	for _, want := range []string{`stage eval has no metric "r5" (it has itc.r1, n, r1, recall@1)`, `stage nobody has no metric "x" (it has none)`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%v does not say %s", err, want)
		}
	}
}

func TestReferencesAreInTheOrderOfAppearance(t *testing.T) {
	got, err := References(`b.x > 1 and (a["y z"] > 2 or b.z > c.d.e)`)
	if err != nil || strings.Join(got, " ") != "b a c" {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestBudgets(t *testing.T) {
	for _, c := range []struct {
		text        string
		total, want int
	}{
		{"", 1000, 0},
		{"3", 10, 3},
		{"0", 10, 0},
		{"1%", 100, 1},
		{"1%", 99, 0},
		{"0.5 %", 1000, 5},
		{"29%", 100, 29}, // 0.29*100 is just below 29 in floating point
		{"100%", 7, 7},
	} {
		t.Run(c.text, func(t *testing.T) {
			b, err := ParseBudget(c.text)
			if err != nil || b.Allows(c.total) != c.want {
				t.Fatalf("got %d, %v; want %d", b.Allows(c.total), err, c.want)
			}
		})
	}
	for _, bad := range []string{"-1", "x", "101%", "-1%", "NaN%", "1.5", "%"} {
		if _, err := ParseBudget(bad); err == nil {
			t.Fatalf("%q is accepted", bad)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"pretrain", "finetune", "caption", "filter", "merge"}
	for _, c := range []struct{ word, want string }{
		{"pretrian", "pretrain"},
		{"Caption", "caption"},
		{"filtre", "filter"},
		{"mrege", "merge"},
		{"finetuning", "finetune"},
		{"evaluate", ""},
		{"", ""},
	} {
		t.Run("meaning "+c.word, func(t *testing.T) {
			if got, ok := Nearest(c.word, words); got != c.want || ok != (c.want != "") {
				t.Fatalf("got %q, %v", got, ok)
			}
		})
	}
}
