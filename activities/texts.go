package activities

import (
	"bytes"
	"context"
	"encoding/json"

	"tempera/infra/artifact"
)

// text is a small file that a kind writes.
type text struct {
	path string
	data []byte
}

// encodeLines writes a line of JSON for each row.
func encodeLines[T any](rows []T) ([]byte, error) {
	var b bytes.Buffer
	for _, r := range rows {
		line, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		b.Write(append(line, '\n'))
	}
	return b.Bytes(), nil
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
