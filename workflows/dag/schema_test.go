package dag

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"
)

// TestSchemaGolden keeps the schema of the test kinds.
func TestSchemaGolden(t *testing.T) {
	const path = "testdata/schema.json"
	got, err := Schema(testKinds())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal(cmp.Diff(string(want), string(got)))
	}
}

// TestSchemaAgreesWithCheck: what the schema refuses, Check refuses; what Check
// takes, the schema takes.
func TestSchemaAgreesWithCheck(t *testing.T) {
	const good = `{"id": "web", "kind": "ingest"}, {"id": "t", "kind": "train", "inputs": {"data": "web.data"}`
	for _, c := range []struct {
		name string
		text string
		ok   bool
	}{
		{"a pipeline", `{"name": "a", "stages": [` + good + `}]}`, true},
		{"a named workflow", `{"workflow": "CaptionBootstrap", "params": {"x": 1}}`, true},
		{"a named workflow with a typing error", `{"workflow": "CaptionBootstrap", "parms": {"x": 1}}`, false},
		{"parameters in range", `{"name": "a", "stages": [` + good + `, "params": {"steps": 5, "rate": 0.5}}]}`, true},
		{"a parameter out of range", `{"name": "a", "stages": [` + good + `, "params": {"steps": 0}}]}`, false},
		{"a parameter on its excluded bound", `{"name": "a", "stages": [` + good + `, "params": {"rate": 1}}]}`, false},
		{"a parameter that is none of the words", `{"name": "a", "stages": [` + good + `, "params": {"optim": "lion"}}]}`, false},
		{"an unknown parameter", `{"name": "a", "stages": [` + good + `, "params": {"stepz": 5}}]}`, false},
		{"an unknown key", `{"name": "a", "stages": [` + good + `, "prams": {}}]}`, false},
		{"an unknown kind", `{"name": "a", "stages": [{"id": "a", "kind": "ingets"}]}`, false},
		{"a missing input", `{"name": "a", "stages": [{"id": "a", "kind": "train"}]}`, false},
		{"an unknown input", `{"name": "a", "stages": [{"id": "a", "kind": "ingest", "inputs": {"x": "b.c"}}]}`, false},
		{"map on a kind without", `{"name": "a", "stages": [{"id": "a", "kind": "ingest", "map": {}}]}`, false},
		{"a list for one source", `{"name": "a", "stages": [{"id": "w", "kind": "ingest"}, {"id": "a", "kind": "train", "inputs": {"data": ["w.data", "w.data"]}}]}`, false},
		{"an unknown queue", `{"name": "a", "stages": [{"id": "a", "kind": "ingest", "resources": {"queue": "tpu"}}]}`, false},
		{"a bad duration", `{"name": "a", "stages": [{"id": "a", "kind": "ingest", "retry": {"timeout": "soon"}}]}`, false},
		{"a bad id", `{"name": "a", "stages": [{"id": "A b", "kind": "ingest"}]}`, false},
		{"no stages", `{"name": "a", "stages": []}`, false},
		{"everything", `{"name": "a", "defaults": {"parallel": 4, "repair": "0s", "retry": {"attempts": 2, "interval": "1.5s"}},
			"stages": [` + good + `, "needs": ["web"], "when": "web.n > 1", "gate": {"approval": true}, "force": true},
			{"id": "c", "kind": "caption", "inputs": {"data": "web.data", "model": ["t.model"]}, "map": {"window": 3, "max_failed": 2}}]}`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := schemaError(t, c.text); (err == nil) != c.ok {
				t.Fatalf("the schema says %v", err)
			}
			f, err := ParseFile([]byte(c.text))
			if err == nil && f.Spec != nil {
				err = Check(f.Spec, testKinds())
			}
			if (err == nil) != c.ok {
				t.Fatalf("Check says %v", err)
			}
		})
	}
}

func schemaError(t *testing.T, text string) error {
	t.Helper()
	b, err := Schema(testKinds())
	if err != nil {
		t.Fatal(err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	resolved, err := s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return resolved.Validate(v)
}
