package shard

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tempera/datagen/sample"
)

// Entry tells where the members of one sample lie in a tar file.
type Entry struct {
	Key                   string
	Format                string
	Image, Caption, Facts Span
}

// Span is a range of bytes of a file.
type Span struct{ Offset, Size int64 }

// Index finds the samples of a shard that Writer made, for random access. It
// reads headers only. Anything that Writer does not write is an error.
func Index(r io.ReaderAt, size int64) ([]Entry, error) {
	sr := io.NewSectionReader(r, 0, size)
	tr := tar.NewReader(sr)
	var entries []Entry
	seen := map[string]struct{}{}
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return entries, completeEntry(entries)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", sample.ReasonArchive, err)
		}
		key, ext, fault := memberName(h)
		if fault != nil {
			return nil, fault
		}
		offset, err := sr.Seek(0, io.SeekCurrent) // behind the header: a tar.Reader does not read ahead
		if err != nil {
			return nil, err
		}
		if offset+h.Size > size {
			return nil, fmt.Errorf("%s: member %s goes past the end", sample.ReasonArchive, h.Name)
		}
		if len(entries) == 0 || entries[len(entries)-1].Key != key {
			if _, dup := seen[key]; dup {
				return nil, sample.Faulty(key, sample.ReasonDuplicate, nil)
			}
			if err := completeEntry(entries); err != nil {
				return nil, err
			}
			seen[key] = struct{}{}
			entries = append(entries, Entry{Key: key})
		}
		if err := entries[len(entries)-1].set(ext, Span{offset, h.Size}); err != nil {
			return nil, err
		}
	}
}

func (e *Entry) set(ext string, span Span) error {
	to := &e.Image
	switch {
	case ext == "txt":
		to = &e.Caption
	case ext == "json":
		to = &e.Facts
	case imageFormat(ext) != "":
		e.Format = ext
	default:
		return fmt.Errorf("sample %s: member .%s was not written by Tempera", e.Key, ext)
	}
	if to.Offset != 0 {
		return sample.Faulty(e.Key, sample.ReasonDuplicate, fmt.Errorf("a second .%s", ext))
	}
	*to = span
	return nil
}

func completeEntry(entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	e := entries[len(entries)-1]
	if e.Format == "" || e.Caption.Offset == 0 || e.Facts.Offset == 0 {
		return fmt.Errorf("%s: sample %s lacks its image, .txt or .json", sample.ReasonArchive, e.Key)
	}
	return nil
}

// read loads the sample of an entry.
func (e *Entry) read(r io.ReaderAt) (sample.Sample, error) {
	s := sample.Sample{Key: e.Key, Format: e.Format, Image: make([]byte, e.Image.Size)}
	caption, facts := make([]byte, e.Caption.Size), make([]byte, e.Facts.Size)
	for _, m := range []struct {
		span Span
		to   []byte
	}{{e.Image, s.Image}, {e.Caption, caption}, {e.Facts, facts}} {
		if _, err := r.ReadAt(m.to, m.span.Offset); err != nil && (!errors.Is(err, io.EOF) || len(m.to) > 0) {
			return s, fmt.Errorf("sample %s: %w", e.Key, err)
		}
	}
	s.Caption = string(caption)
	if err := json.Unmarshal(facts, &s.Facts); err != nil {
		return s, sample.Faulty(e.Key, sample.ReasonFacts, err)
	}
	return s, nil
}
