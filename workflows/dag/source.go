package dag

import (
	"fmt"
	"regexp"
	"strings"

	"tempera/infra/artifact"
)

// Source is where an input comes from: an output of another stage, or an
// artifact that is already in the store.
type Source struct {
	Stage, Output string
	Artifact      *artifact.Artifact // nil where Stage is set
}

var word = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// ParseSource reads "stage.output" or "<type>@sha256:<digest>".
func ParseSource(s string) (Source, error) {
	if typ, digest, ok := strings.Cut(s, "@"); ok {
		d, err := artifact.ParseDigest(digest)
		if err != nil || !word.MatchString(typ) {
			return Source{}, fmt.Errorf("%q is no artifact: write <type>@sha256:<64 hex digits>, e.g. model@sha256:9f86...", s)
		}
		return Source{Artifact: &artifact.Artifact{Type: typ, Digest: d}}, nil
	}
	id, output, ok := strings.Cut(s, ".")
	if !ok || id == "" || output == "" {
		return Source{}, fmt.Errorf("%q is no source: write stage.output, or <type>@sha256:<digest>", s)
	}
	return Source{Stage: id, Output: output}, nil
}
