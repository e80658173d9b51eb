package dag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

// kinds is a catalog of a few kinds with the shapes that real ones have.
type kinds []stage.Descriptor

type trainParams struct {
	Steps int     `json:"steps" doc:"Optimiser steps." min:"1" max:"1000000"`
	Rate  float64 `json:"rate" doc:"Peak learning rate." above:"0" below:"1"`
	Optim string  `json:"optim" doc:"The optimiser." enum:"adamw,sgd"`
	Seed  uint64  `json:"seed" doc:"Of all randomness."`
}

var trainDefaults = trainParams{Steps: 100, Rate: 0.001, Optim: "adamw"}

type deviceParams struct {
	Device    string `json:"device,omitempty"`
	Precision string `json:"precision,omitempty"`
}

func testKinds() kinds {
	data := func(name string) stage.Port { return stage.Port{Name: name, Type: artifact.TypeDataset} }
	model := func(name string) stage.Port { return stage.Port{Name: name, Type: artifact.TypeModel} }
	train, err := json.Marshal(trainDefaults)
	if err != nil {
		panic(err)
	}
	none := json.RawMessage("{}")
	return kinds{
		{Name: "ingest", Version: 1, Summary: "Fetches a data set.", Outputs: []stage.Port{data("data")}, Queue: stage.CPU, Params: none},
		{
			Name: "train", Version: 2, Summary: "Trains a model.", Inputs: []stage.Port{
				data("data"), {Name: "init", Type: artifact.TypeModel, Optional: true, Doc: "Weights to begin with."},
			},
			Outputs: []stage.Port{model("model")}, Queue: stage.GPU, Params: train, Schema: stage.SchemaFor[trainParams](),
		},
		{
			Name: "caption", Version: 1, Summary: "Captions images.", Inputs: []stage.Port{data("data"), model("model")},
			Outputs: []stage.Port{data("data")}, Queue: stage.GPU, Map: "data", Params: none,
		},
		{
			Name: "merge", Version: 1, Summary: "Joins data sets.",
			Inputs:  []stage.Port{{Name: "data", Type: artifact.TypeDataset, Many: true}},
			Outputs: []stage.Port{data("data")}, Queue: stage.CPU, Params: none,
		},
		{
			Name: "evaluate", Version: 1, Summary: "Scores a model.", Inputs: []stage.Port{model("model"), data("data")},
			Outputs: []stage.Port{{Name: "evaluation", Type: artifact.TypeEvaluation}}, Queue: stage.CPU, Params: none, Schema: stage.SchemaFor[deviceParams](),
		},
		{
			Name: "report", Version: 1, Summary: "Writes the report.",
			Inputs:  []stage.Port{{Name: "evaluations", Type: artifact.TypeEvaluation, Many: true, Optional: true}, {Name: "any", Optional: true}},
			Outputs: []stage.Port{{Name: "report", Type: artifact.TypeReport}}, Queue: stage.CPU, Params: none,
		},
		{
			Name: "noop", Version: 1, Summary: "Does nothing.",
			Inputs:  []stage.Port{{Name: "in", Many: true, Optional: true}},
			Outputs: []stage.Port{{Name: "out", Optional: true}}, Queue: stage.CPU, Params: none,
		},
	}
}

func (k kinds) Kind(name string) (stage.Descriptor, bool) {
	for _, d := range k {
		if d.Name == name {
			return d, true
		}
	}
	return stage.Descriptor{}, false
}

func (k kinds) Names() []string {
	names := make([]string, len(k))
	for i, d := range k {
		names[i] = d.Name
	}
	return names
}

func (k kinds) Resolve(kind string, params json.RawMessage) (json.RawMessage, error) {
	if kind == "evaluate" {
		p, faults := DecodeParams(deviceParams{}, params)
		if len(faults) > 0 {
			return nil, errors.New(strings.Join(faults, "; "))
		}
		return json.Marshal(p)
	}
	if kind != "train" {
		if p := strings.TrimSpace(string(params)); p != "" && p != "{}" {
			return nil, fmt.Errorf("kind %s takes no parameters: remove %s", kind, p)
		}
		return json.RawMessage("{}"), nil
	}
	p := trainDefaults
	if len(params) > 0 {
		d := json.NewDecoder(bytes.NewReader(params))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil {
			return nil, err
		}
	}
	var faults []error
	for _, f := range stage.CheckTags(p) {
		faults = append(faults, errors.New(f))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return json.Marshal(p)
}

// stageKey makes a digest of a text.
func stageKey(text string) (artifact.Digest, error) {
	key, err := stage.Key("x", 1, nil, map[string][]artifact.Artifact{"a": {{Digest: artifact.Digest(text)}}})
	return artifact.Digest("sha256:" + strings.TrimPrefix(key, "x-") + "000000000000000000000000"), err
}
