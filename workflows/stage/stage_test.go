package stage

import (
	"encoding/json"
	"strings"
	"testing"

	"tempera/infra/artifact"
)

func key(t *testing.T, version int, params string, inputs map[string][]artifact.Artifact) string {
	t.Helper()
	k, err := Key("train", version, json.RawMessage(params), inputs)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeysAreEqualForEqualWorkOnly(t *testing.T) {
	in := func(digests ...artifact.Digest) map[string][]artifact.Artifact {
		m := map[string][]artifact.Artifact{}
		for _, d := range digests {
			m["data"] = append(m["data"], artifact.Artifact{Type: "dataset", Digest: d})
		}
		return m
	}
	base := key(t, 1, `{"a": 1, "seed": 9007199254740992}`, in("x", "y"))
	if other := key(t, 1, ` {"seed":9007199254740992,"a":1}`, in("x", "y")); other != base {
		t.Fatal("the order of keys and white space change the key")
	}
	for name, other := range map[string]string{
		"the version":            key(t, 2, `{"a": 1, "seed": 9007199254740992}`, in("x", "y")),
		"a parameter":            key(t, 1, `{"a": 2, "seed": 9007199254740992}`, in("x", "y")),
		"a seed above 2^53":      key(t, 1, `{"a": 1, "seed": 9007199254740993}`, in("x", "y")),
		"the order of inputs":    key(t, 1, `{"a": 1, "seed": 9007199254740992}`, in("y", "x")),
		"the number of inputs":   key(t, 1, `{"a": 1, "seed": 9007199254740992}`, in("x")),
		"the absence of a block": key(t, 1, `{"seed": 9007199254740992}`, in("x", "y")),
	} {
		if other == base {
			t.Fatalf("%s does not change the key", name)
		}
	}
}

type block struct {
	Rate float64 `json:"rate" doc:"A rate." above:"0" max:"1"`
}

type params struct {
	block
	Steps int      `json:"steps" doc:"Steps." min:"1" max:"10"`
	Names []string `json:"names" enum:"a,b"`
	Deep  *block   `json:"deep,omitempty" doc:"May be left out."`
	Many  []block  `json:"many,omitempty"`
	Seed  uint64   `json:"seed"`
}

func TestSchemaForShowsTheTags(t *testing.T) {
	got := string(SchemaFor[params]())
	for _, want := range []string{
		`"description":"Steps."`, `"minimum":1`, `"maximum":10`, `"exclusiveMinimum":0`, `"enum":["a","b"]`,
		`"description":"May be left out."`, `"additionalProperties":false`,
	} {
		if !strings.Contains(got, want) {
			t.Fatalf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "required") {
		t.Fatalf("parameters are required in %s", got)
	}
}

func TestCheckTagsFindsEveryFault(t *testing.T) {
	good := params{block: block{Rate: 1}, Steps: 10, Names: []string{"a"}}
	if faults := CheckTags(good); len(faults) > 0 {
		t.Fatalf("got %v", faults)
	}
	bad := params{Steps: 11, Names: []string{"a", "c"}, Deep: &block{Rate: 2}, Many: []block{{Rate: 0.5}, {}}}
	got := strings.Join(CheckTags(&bad), "\n")
	want := strings.Join([]string{
		"rate is 0: use more than 0",
		"steps is 11: use at most 10",
		`names[1] is "c": use a or b`,
		"deep.rate is 2: use at most 1",
		"many[1].rate is 0: use more than 0",
	}, "\n")
	if got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}
