package activities

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

// lineageEvent is an OpenLineage RunEvent, https://openlineage.io/spec/2-0-2.
type lineageEvent struct {
	EventType string           `json:"eventType"`
	EventTime string           `json:"eventTime"`
	Producer  string           `json:"producer"`
	SchemaURL string           `json:"schemaURL"`
	Run       lineageRun       `json:"run"`
	Job       lineageJob       `json:"job"`
	Inputs    []lineageDataset `json:"inputs,omitempty"`
	Outputs   []lineageDataset `json:"outputs,omitempty"`
}

type lineageRun struct {
	ID     string         `json:"runId"`
	Facets map[string]any `json:"facets,omitempty"`
}

type lineageJob struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type lineageDataset struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

const (
	lineageProducer  = "urn:tempera"
	lineageSchema    = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
	lineageParent    = "https://openlineage.io/spec/facets/1-1-0/ParentRunFacet.json#/$defs/ParentRunFacet"
	lineageError     = "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet"
	lineageNamespace = "tempera"
)

// openLineage tells a run as OpenLineage events, one a line: the run, and within
// it every start of a stage, with the artifacts that went in and came out.
func openLineage(rec stage.RunRecord) ([]byte, error) {
	job := lineageJob{lineageNamespace, rec.Pipeline}
	id := lineageID(rec.Run, rec.Started.Format(time.RFC3339Nano))
	events := []lineageEvent{event("START", rec.Started, lineageRun{ID: id}, job)}
	for _, s := range rec.Stages {
		for i, start := range s.Starts {
			own := lineageRun{ID: lineageID(id, s.ID, fmt.Sprint(i)), Facets: map[string]any{"parent": map[string]any{
				"_producer": lineageProducer, "_schemaURL": lineageParent, "run": map[string]string{"runId": id}, "job": job,
			}}}
			stageJob := lineageJob{lineageNamespace, rec.Pipeline + "." + s.ID}
			e := event("START", start.Began, own, stageJob)
			e.Inputs = inputsOf(s)
			events = append(events, e)
			if start.Ended == nil {
				continue
			}
			kind := map[string]string{"succeeded": "COMPLETE", "failed": "FAIL"}[start.Outcome]
			if kind == "" {
				kind = "ABORT"
			}
			if kind == "FAIL" {
				own.Facets["errorMessage"] = map[string]string{
					"_producer": lineageProducer, "_schemaURL": lineageError, "message": s.Message, "programmingLanguage": "Go",
				}
			}
			e = event(kind, *start.Ended, own, stageJob)
			e.Inputs = inputsOf(s)
			if kind == "COMPLETE" {
				for _, port := range slices.Sorted(maps.Keys(s.Outputs)) {
					e.Outputs = append(e.Outputs, datasetOf(s.Outputs[port]))
				}
			}
			events = append(events, e)
		}
	}
	if rec.Ended != nil {
		kind := map[string]string{"completed": "COMPLETE", "failed": "FAIL"}[rec.State]
		if kind == "" {
			kind = "ABORT"
		}
		events = append(events, event(kind, *rec.Ended, lineageRun{ID: id}, job))
	}
	slices.SortStableFunc(events, func(a, b lineageEvent) int { return bytes.Compare([]byte(a.EventTime), []byte(b.EventTime)) })
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
			return nil, fmt.Errorf("encode lineage: %w", err)
		}
	}
	return b.Bytes(), nil
}

func event(kind string, at time.Time, run lineageRun, job lineageJob) lineageEvent {
	return lineageEvent{
		EventType: kind, EventTime: at.UTC().Format("2006-01-02T15:04:05.000000Z"),
		Producer: lineageProducer, SchemaURL: lineageSchema, Run: run, Job: job,
	}
}

func inputsOf(s stage.StageRecord) (all []lineageDataset) {
	for _, port := range slices.Sorted(maps.Keys(s.Inputs)) {
		for _, a := range s.Inputs[port] {
			all = append(all, datasetOf(a))
		}
	}
	return all
}

func datasetOf(a artifact.Artifact) lineageDataset {
	return lineageDataset{lineageNamespace, a.Type + "@" + string(a.Digest)}
}

// lineageID derives a UUID (version 8: of our own making) from names.
func lineageID(names ...string) string {
	h := sha256.New()
	for _, n := range names {
		fmt.Fprintf(h, "%s\n", n)
	}
	u := h.Sum(nil)[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
