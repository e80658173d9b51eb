package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tempera/infra/artifact"
)

// marker follows references. A reference is any JSON string that is a digest,
// wherever it stands: a sweep must not depend on the formats of its roots.
type marker struct {
	store   artifact.Store
	live    map[artifact.Digest]bool
	strings map[string]bool // every other string in the roots, for stage keys
	damaged []string
}

func newMarker(s artifact.Store) *marker {
	return &marker{store: s, live: make(map[artifact.Digest]bool), strings: make(map[string]bool)}
}

// names reports whether a root that was marked holds this stage key.
func (m *marker) names(key string) bool { return m.strings[key] }

// markRoot marks what a name refers to. A name that vanished meanwhile refers
// to nothing.
func (m *marker) markRoot(ctx context.Context, name string) error {
	r, _, err := m.store.Read(ctx, name)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	refs, err := m.collect(data)
	if err != nil {
		m.damaged = append(m.damaged, fmt.Sprintf("%s: %v", name, err))
		return nil
	}
	return m.markAll(ctx, refs)
}

// reference is a digest and whether it can be a manifest's.
type reference struct {
	digest artifact.Digest
	leaf   bool // stands beside a size, so it is a file's
}

// markAll marks blobs, and the blobs that those of them which are manifests
// list.
func (m *marker) markAll(ctx context.Context, refs []reference) error {
	for len(refs) > 0 {
		ref := refs[len(refs)-1]
		refs = refs[:len(refs)-1]
		if m.live[ref.digest] {
			continue
		}
		m.live[ref.digest] = true
		if ref.leaf {
			continue
		}
		more, err := m.manifest(ctx, ref.digest)
		if err != nil {
			return err
		}
		refs = append(refs, more...)
	}
	return nil
}

// manifest returns what a blob refers to if it is a manifest.
func (m *marker) manifest(ctx context.Context, d artifact.Digest) ([]reference, error) {
	stat, err := m.store.Stat(ctx, d)
	if errors.Is(err, artifact.ErrNotFound) || err == nil && stat.Size > artifact.MaxManifest {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := artifact.ReadAll(ctx, m.store, d, artifact.MaxManifest)
	if errors.Is(err, artifact.ErrDigest) {
		m.damaged = append(m.damaged, err.Error())
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := artifact.DecodeManifest(data); err != nil {
		return nil, nil
	}
	return m.collect(data)
}

// collect returns the digests in JSON, and remembers its other strings.
func (m *marker) collect(data []byte) ([]reference, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var root any
	if err := d.Decode(&root); err != nil {
		return nil, err
	}
	var refs []reference
	var walk func(v any, leaf bool)
	walk = func(v any, leaf bool) {
		switch v := v.(type) {
		case map[string]any:
			_, sized := v["size"]
			for key, value := range v {
				walk(key, false)
				walk(value, key == "digest" && sized)
			}
		case []any:
			for _, value := range v {
				walk(value, false)
			}
		case string:
			if digest, err := artifact.ParseDigest(v); err == nil {
				refs = append(refs, reference{digest, leaf})
			} else {
				m.strings[v] = true
			}
		}
	}
	walk(root, false)
	return refs, nil
}
