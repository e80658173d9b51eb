package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxManifest bounds a manifest, in bytes: about 500,000 files.
const MaxManifest = 64 << 20

// MaxJSON bounds what ReadJSON takes in, in bytes.
const MaxJSON = 64 << 20

// PutBytes stores bytes that are in memory.
func PutBytes(ctx context.Context, s Blobs, data []byte) (Ref, error) {
	return s.Put(ctx, bytes.NewReader(data))
}

// ReadAll returns a whole blob, verified. More than limit bytes is an error.
func ReadAll(ctx context.Context, s Blobs, d Digest, limit int64) (_ []byte, err error) {
	r, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return readLimited(r, limit, string(d))
}

func readLimited(r io.Reader, limit int64, what string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: larger than the %d bytes allowed here", what, limit)
	}
	return data, nil
}

// Validate reports every fault of a manifest at once.
func (m *Manifest) Validate() error {
	var faults []error
	if m.Type == "" {
		faults = append(faults, errors.New("manifest has no type"))
	}
	seen := make(map[string]bool, len(m.Files))
	for i, f := range m.Files {
		if err := CheckName(f.Path); err != nil {
			faults = append(faults, fmt.Errorf("file %d: %w", i, err))
		}
		if seen[f.Path] {
			faults = append(faults, fmt.Errorf("file %d: path %q is listed twice", i, f.Path))
		}
		seen[f.Path] = true
		if _, err := ParseDigest(string(f.Digest)); err != nil {
			faults = append(faults, fmt.Errorf("file %q: %w", f.Path, err))
		}
		if f.Size < 0 || f.Records < 0 {
			faults = append(faults, fmt.Errorf("file %q: negative size or count", f.Path))
		}
	}
	return errors.Join(faults...)
}

// PutManifest stores a manifest and returns the artifact that it makes of its
// files. The files must be in the store already.
func PutManifest(ctx context.Context, s Blobs, m *Manifest) (Artifact, error) {
	if err := m.Validate(); err != nil {
		return Artifact{}, fmt.Errorf("store %s manifest: %w", m.Type, err)
	}
	data, err := m.Encode()
	if err != nil {
		return Artifact{}, fmt.Errorf("encode %s manifest: %w", m.Type, err)
	}
	ref, err := PutBytes(ctx, s, data)
	if err != nil {
		return Artifact{}, fmt.Errorf("store %s manifest: %w", m.Type, err)
	}
	return Artifact{Type: m.Type, Digest: ref.Digest}, nil
}

// LoadManifest returns the manifest that an artifact names. An artifact whose
// manifest says another type, or that names no manifest, is an error.
func LoadManifest(ctx context.Context, s Blobs, a Artifact) (*Manifest, error) {
	data, err := ReadAll(ctx, s, a.Digest, MaxManifest)
	if err != nil {
		return nil, fmt.Errorf("load %s manifest: %w", a.Type, err)
	}
	m, err := DecodeManifest(data)
	if err != nil {
		return nil, fmt.Errorf("%s is not a manifest: %w", a.Digest, err)
	}
	if a.Type != "" && m.Type != a.Type {
		return nil, fmt.Errorf("%s is a %s, not a %s", a.Digest, m.Type, a.Type)
	}
	return m, nil
}

// DecodeManifest parses canonical JSON; unknown keys are errors.
func DecodeManifest(data []byte) (*Manifest, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	m := new(Manifest)
	if err := d.Decode(m); err != nil {
		return nil, err
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return m, nil
}

// ReadJSON decodes the JSON under a name into v and returns the name's state,
// whose ETag Swap takes.
func ReadJSON(ctx context.Context, s Names, name string, v any) (_ Named, err error) {
	r, state, err := s.Read(ctx, name)
	if err != nil {
		return Named{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	data, err := readLimited(r, MaxJSON, name)
	if err != nil {
		return Named{}, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return Named{}, fmt.Errorf("decode %s: %w", name, err)
	}
	return state, nil
}

// WriteJSON creates or replaces a name with v as indented JSON, for people.
func WriteJSON(ctx context.Context, s Names, name string, v any) error {
	data, err := EncodeJSON(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return s.Write(ctx, name, bytes.NewReader(data), int64(len(data)))
}

// EncodeJSON is the form of every JSON name: indented, characters of captions
// as they are, a newline at the end.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// Linker is a store that can give a blob a readable name without moving the
// bytes through the client.
type Linker interface {
	// Link creates or replaces name with the bytes of d.
	Link(ctx context.Context, name string, d Digest) error
}

// Link gives a blob a readable name: in the store itself where it is a Linker,
// through this process otherwise.
func Link(ctx context.Context, s Store, name string, d Digest) (err error) {
	if l, ok := s.(Linker); ok {
		return l.Link(ctx, name, d)
	}
	ref, err := s.Stat(ctx, d)
	if err != nil {
		return err
	}
	r, err := s.Open(ctx, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return s.Write(ctx, name, r, ref.Size)
}
