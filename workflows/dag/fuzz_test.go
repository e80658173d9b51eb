package dag

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// FuzzParse: no text makes the parser panic, run away or lose a fault's type,
// and what it accepts reads the same after a round through JSON.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/parse", "testdata/check", "testdata/plan"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		cases, _ := parseGolden(&testing.T{}, string(text))
		for _, c := range cases {
			f.Add([]byte(c.input))
		}
	}
	f.Add([]byte("a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseFile(data)
		if err != nil {
			var faults *CheckError
			if !errors.As(err, &faults) || len(faults.Faults) == 0 {
				t.Fatalf("an error without faults: %v", err)
			}
			return
		}
		var v any = file.Spec
		if file.Run != nil {
			v = file.Run
		}
		first, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("accepted, but no JSON: %v", err)
		}
		if file.Spec == nil {
			return
		}
		again, err := Parse(first)
		if err != nil {
			t.Fatalf("its own JSON is refused: %v\n%s", err, first)
		}
		second, err := json.Marshal(again)
		if err != nil || string(first) != string(second) {
			t.Fatalf("%v\n%s\n%s", err, first, second)
		}
		if err := Check(again, testKinds()); err != nil {
			_ = err.Error()
		}
	})
}

// FuzzExpression: no condition makes the compiler or the evaluation panic, and
// a condition that compiles evaluates where its metrics are there.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		"eval.r1 > baseline.r1 + 0.01", `a["recall@1"] >= .5 and not (b.x < 1 or b.y == -2)`,
		"a.x > 1 ? b.y > 2 : true", "min(a.x, 2, b.y) ^ 2 != abs(-3) / 0", "let x = 1; x > 0", "1 | max(2) > 1", "[1][0] > 0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		e, err := ParseExpression(source)
		if err != nil {
			return
		}
		metrics := map[string]map[string]float64{}
		for _, r := range e.refs {
			if metrics[r.stage] == nil {
				metrics[r.stage] = map[string]float64{}
			}
			metrics[r.stage][r.metric] = 0.5
		}
		first, err := e.Eval(metrics)
		if err != nil {
			t.Fatalf("%q compiles and fails: %v", source, err)
		}
		if second, _ := e.Eval(metrics); second != first {
			t.Fatalf("%q is %v, then %v", source, first, second)
		}
	})
}

// TestTextsThatWouldNeverEnd: texts that expand or nest without end are refused
// at once, with the line.
func TestTextsThatWouldNeverEnd(t *testing.T) {
	bomb := "name: bomb\nstages:\n  - id: a\n    kind: train\n    params:\n      a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		bomb += fmt.Sprintf("      a%d: &a%[1]d [%s*a%d]\n", i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	for _, c := range []struct{ name, text, want string }{
		{"aliases of aliases", bomb, "aliases expand to too much"},
		{"brackets", "name: x\nstages: " + strings.Repeat("[", 100_000), "line 2: nested deeper"},
		{"dashes", strings.Repeat("- ", 100_000), "line 1: nested deeper"},
		{"tags between dashes", strings.Repeat("- !x ", 100_000), "line 1: nested deeper"},
		{"blocks", "a:\n" + strings.Repeat(" ", 1) + strings.Repeat("- ", 500) + "x", "nested deeper"},
		{"JSON", `{"stages":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}", "nested deeper"},
		{"megabytes", strings.Repeat("#", maxText+1), "at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %.200v, want %s", err, c.want)
			}
		})
	}
}
