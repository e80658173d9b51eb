package example

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tempera/infra/artifact"
)

// Shards are the files of an artifact's rows, in order, without those of the images beside them.
func Shards(files []artifact.File) []artifact.File {
	var rows []artifact.File
	for _, f := range files {
		if strings.HasSuffix(f.Path, ".jsonl") {
			rows = append(rows, f)
		}
	}
	return rows
}

// Shard yields the rows of one shard of an artifact, as All does those of all.
func Shard(ctx context.Context, blobs artifact.Blobs, a artifact.Artifact, index int) Stream {
	return func(yield func(*Example, error) bool) {
		m, err := load(ctx, blobs, a)
		if err != nil {
			yield(nil, err)
			return
		}
		rows := Shards(m.Files)
		if index < 0 || index >= len(rows) {
			yield(nil, fmt.Errorf("examples %s: there is no shard %d of %d", a.Digest.Short(), index, len(rows)))
			return
		}
		f := rows[index]
		images, err := readImages(ctx, blobs, m, strings.TrimSuffix(f.Path, ".jsonl")+".tar")
		if err == nil {
			_, err = readShard(ctx, blobs, f, images, yield)
		}
		if err != nil {
			yield(nil, fmt.Errorf("shard %s (%s): %w", f.Path, f.Digest, err))
		}
	}
}

// Join makes one artifact of the shards of several, in order, without touching them. It is how the parts of a mapped stage become one; the shards are
// renamed after name.
func Join(ctx context.Context, blobs artifact.Blobs, name string, parts []artifact.Artifact) (artifact.Artifact, error) {
	all := Meta{Forms: map[Form]int{}}
	var files []artifact.File
	shards := 0
	for _, p := range parts {
		m, err := load(ctx, blobs, p)
		if err != nil {
			return artifact.Artifact{}, err
		}
		var meta Meta
		if err := json.Unmarshal(m.Meta, &meta); err != nil {
			return artifact.Artifact{}, fmt.Errorf("examples %s: facts: %w", p.Digest.Short(), err)
		}
		all.add(meta)
		for _, f := range Shards(m.Files) {
			images := strings.TrimSuffix(f.Path, ".jsonl") + ".tar"
			stem := fmt.Sprintf("%s-%06d", name, shards)
			shards++
			f.Path = stem + ".jsonl"
			files = append(files, f)
			if beside, err := m.Find(images); err == nil {
				beside.Path = stem + ".tar"
				files = append(files, beside)
			}
		}
	}
	meta, err := json.Marshal(all)
	if err != nil {
		return artifact.Artifact{}, err
	}
	return artifact.PutManifest(ctx, blobs, &artifact.Manifest{Type: artifact.TypeExamples, Files: files, Meta: meta})
}

// add counts the rows of another artifact. Titles and licences that are new are kept.
func (m *Meta) add(other Meta) {
	if m.Title == "" {
		m.Title = other.Title
	}
	m.License, m.Credits = union(m.License, other.License), union(m.Credits, other.Credits)
	m.Rows += other.Rows
	m.Images += other.Images
	m.Longest = max(m.Longest, other.Longest)
	for form, n := range other.Forms {
		m.Forms[form] += n
	}
}

func union(a, b []string) []string {
	for _, x := range b {
		if !slices.Contains(a, x) {
			a = append(a, x)
		}
	}
	return a
}
