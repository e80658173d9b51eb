package shard

import (
	"archive/tar"
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"tempera/datagen/sample"
)

// tarWriter writes samples as members with nothing in their headers but name
// and size.
type tarWriter struct {
	buf *bufio.Writer
	tw  *tar.Writer
	n   int64 // bytes of the archive so far, its end marker not counted
}

func newTarWriter(w io.Writer) *tarWriter {
	buf := bufio.NewWriterSize(w, 256<<10)
	return &tarWriter{buf: buf, tw: tar.NewWriter(buf)}
}

const block = 512

// membersSize is what a sample takes in the archive.
func membersSize(s *sample.Sample, facts []byte) int64 {
	size := int64(0)
	for _, n := range []int{len(s.Image), len(s.Caption), len(facts)} {
		size += block + int64((n+block-1)/block*block)
	}
	return size
}

func (t *tarWriter) add(s *sample.Sample, facts []byte) error {
	members := []struct {
		ext  string
		data []byte
	}{{s.Format, s.Image}, {"txt", []byte(s.Caption)}, {"json", facts}}
	for _, m := range members {
		h := tar.Header{
			Typeflag: tar.TypeReg, Name: s.Key + "." + m.ext, Size: int64(len(m.data)),
			Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
		}
		if err := t.tw.WriteHeader(&h); err != nil {
			return fmt.Errorf("write %s: %w", h.Name, err)
		}
		if _, err := t.tw.Write(m.data); err != nil {
			return fmt.Errorf("write %s: %w", h.Name, err)
		}
	}
	t.n += membersSize(s, facts)
	return nil
}

func (t *tarWriter) close() error {
	if err := t.tw.Close(); err != nil {
		return err
	}
	return t.buf.Flush()
}

// WriteTar writes one shard to w and returns how many samples it holds. Faults
// in the stream are errors here: quarantine them first.
func WriteTar(w io.Writer, samples sample.Stream) (int, error) {
	t, n := newTarWriter(w), 0
	for s, err := range samples {
		if err != nil {
			return n, err
		}
		if err := check(&s, Limits{}.WithDefaults()); err != nil {
			return n, err
		}
		facts, err := json.Marshal(s.Facts)
		if err != nil {
			return n, fmt.Errorf("facts of %s: %w", s.Key, err)
		}
		if err := t.add(&s, facts); err != nil {
			return n, err
		}
		n++
	}
	return n, t.close()
}
