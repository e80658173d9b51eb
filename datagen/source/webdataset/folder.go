package webdataset

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"tempera/datagen/sample"
	"tempera/datagen/shard"
)

// ErrNothing says that a folder is there, but no pairs in it.
var ErrNothing = errors.New("there is nothing to read")

// maxLine bounds a line of a JSON Lines file, in bytes.
const maxLine = 1 << 20

// imageExt returns the sample format of a file name, "" where it is no image's.
func imageExt(name string) string {
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".png", ".jpg", ".webp", ".gif":
		return ext[1:]
	case ".jpeg":
		return "jpg"
	}
	return ""
}

// pairs reads the images of a folder and those below it, each with its caption
// from a file of the same name.
func (r *reader) pairs(dir string, yield take) bool {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return yield(sample.Sample{}, fmt.Errorf("webdataset: %w", err))
	}
	defer func() { _ = root.Close() }()
	more, found := true, false
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case r.ctx.Err() != nil:
			return r.ctx.Err()
		case d.IsDir() || imageExt(name) == "":
			return nil
		}
		found = true
		s, err := r.pair(root, name)
		if more = yield(s, err); !more {
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: put .tar shards, a metadata.jsonl, or images with a caption's file beside each into it", ErrNothing)
	}
	if err != nil {
		return yield(sample.Sample{}, fmt.Errorf("webdataset: folder %s: %w", dir, err))
	}
	return more
}

// pair reads an image and the caption beside it. Its error is a fault.
func (r *reader) pair(root *os.Root, name string) (sample.Sample, error) {
	stem := strings.TrimSuffix(name, path.Ext(name))
	ext, limit := r.params.Caption, r.limits().Caption
	if r.params.JSONKey != "" {
		ext, limit = "json", r.limits().Facts
	}
	text, fault := readRooted(root, stem+"."+ext, limit)
	if fault != nil {
		if errors.Is(fault.Err, fs.ErrNotExist) {
			fault = sample.Faulty(name, sample.ReasonNoCaption, fmt.Errorf("there is no %s.%s", path.Base(stem), ext))
		}
		return sample.Sample{}, fault
	}
	caption := string(text)
	if r.params.JSONKey != "" {
		var object map[string]any
		if err := json.Unmarshal(text, &object); err != nil {
			return sample.Sample{}, sample.Faulty(name, sample.ReasonFacts, err)
		}
		caption, _ = object[r.params.JSONKey].(string)
	}
	return r.load(root, name, strings.TrimSpace(caption))
}

// load reads the image of a caption. Its error is a fault.
func (r *reader) load(root *os.Root, name, caption string) (sample.Sample, error) {
	switch {
	case caption == "":
		return sample.Sample{}, sample.Faulty(name, sample.ReasonNoCaption, nil)
	case !utf8.ValidString(caption) || strings.ContainsRune(caption, 0):
		return sample.Sample{}, sample.Faulty(name, sample.ReasonCaption, nil)
	case int64(len(caption)) > r.limits().Caption:
		return sample.Sample{}, sample.Faulty(name, sample.ReasonSize, fmt.Errorf("a caption of %d bytes", len(caption)))
	}
	data, fault := readRooted(root, name, r.limits().Image)
	if fault != nil {
		return sample.Sample{}, fault
	}
	if len(data) == 0 {
		return sample.Sample{}, sample.Faulty(name, sample.ReasonBroken, errors.New("no bytes"))
	}
	stem := strings.TrimSuffix(name, path.Ext(name))
	return sample.Sample{Key: shard.SafeKey(stem), Image: data, Format: imageExt(name), Caption: caption}, nil
}

func (r *reader) limits() shard.Limits { return r.params.Limits.WithDefaults() }

// readRooted reads a regular file inside the root. Links that lead out of it,
// devices and absolute paths are refused.
func readRooted(root *os.Root, name string, limit int64) ([]byte, *sample.Fault) {
	info, err := root.Stat(filepath.FromSlash(name)) // before opening: a pipe would wait for a writer
	if err != nil {
		reason := sample.ReasonUnreadable
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			reason = sample.ReasonPath
		}
		return nil, sample.Faulty(name, reason, err)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, sample.Faulty(name, sample.ReasonLink, nil)
	case info.Size() > limit:
		return nil, sample.Faulty(name, sample.ReasonSize, fmt.Errorf("%d bytes, the limit is %d", info.Size(), limit))
	}
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, sample.Faulty(name, sample.ReasonUnreadable, err)
	}
	defer func() { _ = f.Close() }() // only read from
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, sample.Faulty(name, sample.ReasonUnreadable, err)
	}
	return data, nil
}

// lines reads a JSON Lines file whose objects name an image, relative to the
// file's folder, and its caption.
func (r *reader) lines(file string, yield take) bool {
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return yield(sample.Sample{}, fmt.Errorf("webdataset: %w", err))
	}
	defer func() { _ = root.Close() }()
	f, err := os.Open(file)
	if err != nil {
		return yield(sample.Sample{}, fmt.Errorf("webdataset: %w", err))
	}
	defer func() { _ = f.Close() }() // only read from
	scan := bufio.NewScanner(f)
	scan.Buffer(make([]byte, 64<<10), maxLine)
	for number := 1; scan.Scan(); number++ {
		if r.ctx.Err() != nil {
			return yield(sample.Sample{}, r.ctx.Err())
		}
		if len(strings.TrimSpace(scan.Text())) == 0 {
			continue
		}
		s, err := r.line(root, fmt.Sprintf("%s line %d", filepath.Base(file), number), scan.Bytes())
		if !yield(s, err) {
			return false
		}
	}
	if err := scan.Err(); err != nil {
		return yield(sample.Sample{}, fmt.Errorf("webdataset: read %s: %w", file, err))
	}
	return true
}

func (r *reader) line(root *os.Root, item string, text []byte) (sample.Sample, error) {
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		return sample.Sample{}, sample.Faulty(item, sample.ReasonFacts, err)
	}
	name, ok := object[r.params.Image].(string)
	if !ok {
		return sample.Sample{}, sample.Faulty(item, sample.ReasonNoImage, fmt.Errorf("key %q is not there, or no text", r.params.Image))
	}
	if err := shard.CheckPath(name); err != nil {
		return sample.Sample{}, sample.Faulty(item, sample.ReasonPath, err)
	}
	if imageExt(name) == "" {
		return sample.Sample{}, sample.Faulty(item, sample.ReasonFormat, fmt.Errorf("%s: want png, jpg, webp or gif", path.Base(name)))
	}
	caption, _ := object[r.params.Text].(string)
	s, err := r.load(root, name, strings.TrimSpace(caption))
	var fault *sample.Fault
	if errors.As(err, &fault) {
		fault.Item = item + ": " + fault.Item
	}
	return s, err
}
