package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"tempera/activities"
	"tempera/workflows/dag"
)

func TestTheSchemaIsUpToDate(t *testing.T) {
	want, err := dag.Schema(activities.NewCatalog(activities.All()...))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s is not what the kinds say: run go generate ./docs/schema", name)
	}
}

// TestTheSchemaHoldsItsOwnDefaults: a default that its own range refuses would
// make a kind that cannot run.
func TestTheSchemaHoldsItsOwnDefaults(t *testing.T) {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true}); err != nil {
		t.Fatal(err)
	}
}
