package shard

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"unicode/utf8"

	"tempera/datagen/sample"
)

// Fields name the members of a sample that a stranger's shards use for what
// Tempera keeps in txt and json. Zero means Tempera's own names.
type Fields struct {
	Caption string `json:"caption,omitempty"` // extension of the caption's member; default "txt"
	// JSONKey takes the caption from this key of <key>.json instead.
	JSONKey string `json:"json_key,omitempty"`
}

// Read yields the samples of one tar file in order. Members that belong
// together follow each other; members with other extensions are ignored.
//
// What is wrong with one sample is yielded as a *sample.Fault, and reading goes
// on behind it. A broken archive, or a reader's error, ends the sequence.
func Read(ctx context.Context, r io.Reader, lim Limits) iter.Seq2[sample.Sample, error] {
	return ReadFields(ctx, r, lim, Fields{})
}

// ReadFields is Read for shards whose members have other names. Facts of such
// shards are not read where JSONKey is set: the json is the stranger's.
func ReadFields(ctx context.Context, r io.Reader, lim Limits, fields Fields) iter.Seq2[sample.Sample, error] {
	lim = lim.WithDefaults()
	if fields.Caption == "" {
		fields.Caption = "txt"
	}
	return func(yield func(sample.Sample, error) bool) {
		g := group{lim: lim, fields: fields, seen: map[string]struct{}{}}
		tr := tar.NewReader(r)
		for {
			if err := ctx.Err(); err != nil {
				yield(sample.Sample{}, err)
				return
			}
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				g.finish(yield)
				return
			}
			if err != nil {
				if g.finish(yield) {
					yield(sample.Sample{}, fmt.Errorf("%s: %w", sample.ReasonArchive, err))
				}
				return
			}
			if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader {
				continue
			}
			key, ext, fault := memberName(h)
			if fault != nil {
				if !yield(sample.Sample{}, fault) {
					return
				}
				continue
			}
			if key != g.key && !g.next(key, yield) {
				return
			}
			if err := g.member(ext, h, tr); err != nil {
				if g.finish(yield) {
					yield(sample.Sample{}, fmt.Errorf("%s: member %q: %w", sample.ReasonArchive, h.Name, err))
				}
				return
			}
		}
	}
}

// memberName splits a member's name into the sample's key and the extension,
// and refuses names that would leave the folder they are unpacked in.
func memberName(h *tar.Header) (key, ext string, fault *sample.Fault) {
	item := printable(h.Name)
	if h.Typeflag != tar.TypeReg {
		return "", "", sample.Faulty(item, sample.ReasonLink, fmt.Errorf("member of type %q", h.Typeflag))
	}
	name := strings.TrimPrefix(h.Name, "./")
	if err := CheckPath(name); err != nil {
		return "", "", sample.Faulty(item, sample.ReasonPath, err)
	}
	dir, base := path.Split(name)
	stem, ext, ok := strings.Cut(base, ".")
	if !ok || stem == "" {
		return "", "", sample.Faulty(item, sample.ReasonPath, errors.New("want <key>.<extension>"))
	}
	return SafeKey(dir + stem), strings.ToLower(ext), nil
}

// CheckPath accepts relative slash-separated paths that stay where they are.
func CheckPath(name string) error {
	switch {
	case name == "" || len(name) > 1024:
		return fmt.Errorf("a name of %d bytes", len(name))
	case strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\\:\x00"):
		return errors.New("an absolute path, or a character that file systems give a meaning")
	case !utf8.ValidString(name):
		return errors.New("not UTF-8")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return errors.New("a path that leaves its folder")
		}
	}
	return nil
}

// printable shortens a hostile name for messages.
func printable(name string) string {
	q := fmt.Sprintf("%+q", name)
	if len(q) > 120 {
		q = q[:117] + `..."`
	}
	return strings.Trim(q, `"`)
}

// group collects the members of one sample.
type group struct {
	lim    Limits
	fields Fields
	seen   map[string]struct{}
	key    string
	s      sample.Sample
	have   map[string]bool
	fault  *sample.Fault // the first one of this sample
}

// next ends the sample under way and starts the one with key.
func (g *group) next(key string, yield func(sample.Sample, error) bool) bool {
	if !g.finish(yield) {
		return false
	}
	g.key, g.s, g.have, g.fault = key, sample.Sample{Key: key}, map[string]bool{}, nil
	if _, dup := g.seen[key]; dup {
		g.fail(sample.ReasonDuplicate, errors.New("its members do not follow each other, or it is there twice"))
	}
	g.seen[key] = struct{}{}
	return true
}

func (g *group) fail(reason string, err error) {
	if g.fault == nil {
		g.fault = sample.Faulty(g.key, reason, err)
	}
}

// finish yields the sample under way, or its fault. It returns false where the
// caller wants no more.
func (g *group) finish(yield func(sample.Sample, error) bool) bool {
	if g.key == "" {
		return true
	}
	g.key = ""
	switch {
	case g.fault != nil:
	case g.s.Format == "":
		g.fault = sample.Faulty(g.s.Key, sample.ReasonNoImage, nil)
	case strings.TrimSpace(g.s.Caption) == "":
		g.fault = sample.Faulty(g.s.Key, sample.ReasonNoCaption, nil)
	}
	if g.fault != nil {
		return yield(sample.Sample{}, g.fault)
	}
	return yield(g.s, nil)
}

// member takes one member in. Its error is the archive's, not the sample's.
func (g *group) member(ext string, h *tar.Header, r io.Reader) error {
	role, limit := g.role(ext)
	if role == "" || g.fault != nil {
		return nil
	}
	if g.have[role] {
		g.fail(sample.ReasonDuplicate, fmt.Errorf("a second %s, .%s", role, ext))
		return nil
	}
	g.have[role] = true
	if h.Size > limit {
		g.fail(sample.ReasonSize, fmt.Errorf(".%s of %d bytes, the limit is %d", ext, h.Size, limit))
		return nil
	}
	data := make([]byte, h.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		g.fail(sample.ReasonArchive, err)
		return err
	}
	switch role {
	case "image":
		g.s.Image, g.s.Format = data, imageFormat(ext)
		if len(data) == 0 {
			g.fail(sample.ReasonBroken, errors.New("no bytes"))
		}
	case "caption":
		g.setCaption(data)
	case "facts":
		g.setFacts(data)
	}
	return nil
}

func (g *group) role(ext string) (string, int64) {
	switch {
	case imageFormat(ext) != "":
		return "image", g.lim.Image
	case ext == "json":
		return "facts", g.lim.Facts
	case ext == g.fields.Caption && g.fields.JSONKey == "":
		return "caption", g.lim.Caption
	}
	return "", 0
}

func (g *group) setCaption(data []byte) {
	if !utf8.Valid(data) || bytes.ContainsRune(data, 0) {
		g.fail(sample.ReasonCaption, errors.New("not UTF-8 text"))
		return
	}
	g.s.Caption = string(data)
}

// setFacts reads our own facts, or a caption out of a stranger's JSON. Keys
// that are not ours are ignored: strangers keep all sorts of things there.
func (g *group) setFacts(data []byte) {
	if g.fields.JSONKey == "" {
		if err := json.Unmarshal(data, &g.s.Facts); err != nil {
			var shape *json.UnmarshalTypeError
			if errors.As(err, &shape) { // a stranger's key with a name of ours
				g.s.Facts = sample.Facts{}
				return
			}
			g.fail(sample.ReasonFacts, err)
		}
		return
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		g.fail(sample.ReasonFacts, err)
		return
	}
	raw, ok := object[g.fields.JSONKey]
	if !ok {
		return
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil || int64(len(text)) > g.lim.Caption {
		g.fail(sample.ReasonCaption, fmt.Errorf("key %q is not a string of at most %d bytes", g.fields.JSONKey, g.lim.Caption))
		return
	}
	g.setCaption([]byte(text))
}
