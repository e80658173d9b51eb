package dag

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tempera/infra/artifact"
)

// Source is where an input comes from: an output of another stage, an artifact
// that is already in the store, or a published version, which Pin turns into an
// artifact before a run.
type Source struct {
	Stage, Output string
	Artifact      *artifact.Artifact     // nil where Stage is set
	Published     *artifact.PublishedRef // nil but for a published version
}

var word = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// ParseSource reads "stage.output", "<type>@sha256:<digest>", or
// "<type>:<name>@<version or alias>".
func ParseSource(s string) (Source, error) {
	if typ, digest, ok := strings.Cut(s, "@"); ok {
		if strings.Contains(typ, ":") {
			r, err := artifact.ParsePublished(s)
			return Source{Published: &r}, err
		}
		d, err := artifact.ParseDigest(digest)
		if err != nil || !word.MatchString(typ) {
			return Source{}, fmt.Errorf("%q is no artifact: write <type>@sha256:<64 hex digits>, e.g. model@sha256:9f86..., or model:<name>@<version or alias>", s)
		}
		return Source{Artifact: &artifact.Artifact{Type: typ, Digest: d}}, nil
	}
	id, output, ok := strings.Cut(s, ".")
	if !ok || id == "" || output == "" {
		return Source{}, fmt.Errorf("%q is no source: write stage.output, <type>@sha256:<digest>, or model:<name>@<version or alias>", s)
	}
	return Source{Stage: id, Output: output}, nil
}

// Type returns the type of an artifact or of a published version; "" of an
// output, whose stage knows it.
func (s Source) Type() string {
	switch {
	case s.Artifact != nil:
		return s.Artifact.Type
	case s.Published != nil:
		return s.Published.Type
	}
	return ""
}

// Pin replaces every published version among the inputs by the artifact that it
// stands for at this moment, so that the plan and every replay of it are of that one.
// What find does not know (artifact.ErrNotFound) are faults of the spec.
func (s *Spec) Pin(find func(artifact.PublishedRef) (artifact.Artifact, error)) ([]Fault, error) {
	var found faults
	for i := range s.Stages {
		st := &s.Stages[i]
		for _, port := range sortedPorts(st.Inputs) {
			for k, text := range st.Inputs[port] {
				src, err := ParseSource(text)
				if err != nil || src.Published == nil {
					continue // Check reports it
				}
				a, err := find(*src.Published)
				switch {
				case errors.Is(err, artifact.ErrNotFound):
					found.add(Fault{Check: CheckPublished, Stage: st.ID}, "inputs.%s: %v", port, err)
				case err != nil:
					return nil, err
				default:
					st.Inputs[port][k] = a.Type + "@" + string(a.Digest)
				}
			}
		}
	}
	return found, nil
}

// WithFaults adds faults to the error of Check or NewPlan, so that all are told
// at once.
func (s *Spec) WithFaults(err error, more []Fault) error {
	var check *CheckError
	switch {
	case len(more) == 0 || err != nil && !errors.As(err, &check):
		return err
	case check != nil:
		more = append(slices.Clone(check.Faults), more...)
	}
	return &CheckError{Pipeline: s.Name, Faults: more}
}
