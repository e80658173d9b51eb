package dag

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type decay struct {
	Rate  float64 `json:"rate" min:"0" max:"1"`
	Every int     `json:"every" min:"1"`
}

type fitParams struct {
	Steps  int            `json:"steps" min:"1"`
	Seed   uint64         `json:"seed"`
	Name   string         `json:"name" enum:"a,b"`
	Dry    bool           `json:"dry"`
	Decay  *decay         `json:"decay,omitempty"`
	Sizes  []int          `json:"sizes"`
	Weight map[string]int `json:"weight"`
	Wait   Duration       `json:"wait"`
	Any    any            `json:"any,omitempty"`
}

func fitDefaults() fitParams {
	return fitParams{Steps: 10, Name: "a", Sizes: []int{1, 2}, Wait: Duration(time.Second)}
}

func TestDecodeParamsKeepsDefaultsOfWhatIsNotSaid(t *testing.T) {
	defaults := fitDefaults()
	got, faults := DecodeParams(defaults, []byte(`{"seed": 18446744073709551615, "decay": {"rate": 0.5, "every": 2}, "sizes": [3], "wait": "2m", "any": {"x": 1}}`))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	want := fitDefaults()
	want.Seed, want.Decay, want.Sizes, want.Wait = 18446744073709551615, &decay{0.5, 2}, []int{3}, Duration(2*time.Minute)
	want.Any = map[string]any{"x": 1.0}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	if d := cmp.Diff(fitDefaults(), defaults); d != "" {
		t.Fatalf("the defaults changed: %s", d)
	}
}

func TestDecodeParamsFindsEveryFaultAtOnce(t *testing.T) {
	_, faults := DecodeParams(fitDefaults(), []byte(`{
		"stpes": 5, "seed": -1, "name": "c", "dry": "yes", "decay": {"rate": 2, "evry": 1},
		"sizes": [1, 2.5, "x"], "weight": {"a": true}, "steps": 1e2, "wait": "soon"
	}`))
	want := []string{
		`there is no parameter "stpes": did you mean "steps"?`,
		`seed is -1: use a whole number, at least 0`,
		`dry is "yes": use true or false`,
		`there is no parameter "decay.evry": did you mean "every"?`,
		`sizes[1] is 2.5: use a whole number`,
		`sizes[2] is "x": use a whole number`,
		`weight.a is true: use a whole number`,
		`steps is 1e2: use a whole number`,
		`time: invalid duration "soon"`,
	}
	got := strings.Join(faults, "\n")
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Fatalf("no %s in\n%s", w, got)
		}
	}
	for _, w := range []string{`name is "c": use a or b`, "decay.rate is 2: use at most 1"} {
		if !strings.Contains(got, w) {
			t.Fatalf("the range fault %s is not told beside the others:\n%s", w, got)
		}
	}
}

func TestDecodeParamsRefusesWhatIsNoObject(t *testing.T) {
	for _, raw := range []string{`[1]`, `"x"`, `3`, `{`} {
		if _, faults := DecodeParams(fitDefaults(), []byte(raw)); len(faults) == 0 {
			t.Fatalf("%s is accepted", raw)
		}
	}
	for _, raw := range []string{``, ` `, `{}`, `null`} {
		if _, faults := DecodeParams(fitDefaults(), []byte(raw)); len(faults) > 0 {
			t.Fatalf("%q gives %v", raw, faults)
		}
	}
}
