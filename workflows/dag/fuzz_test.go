package dag

import (
	"encoding/json"
	"errors"
	"os"
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
