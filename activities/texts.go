package activities

import (
	"context"

	"tempera/infra/artifact"
)

// text is a small file that a kind writes.
type text struct {
	path string
	data []byte
}

// putTexts stores an artifact of small files.
func putTexts(ctx context.Context, s artifact.Blobs, typ string, texts []text) (artifact.Artifact, error) {
	m := &artifact.Manifest{Type: typ}
	for _, t := range texts {
		ref, err := artifact.PutBytes(ctx, s, t.data)
		if err != nil {
			return artifact.Artifact{}, err
		}
		m.Files = append(m.Files, artifact.File{Path: t.path, Ref: ref})
	}
	return artifact.PutManifest(ctx, s, m)
}
