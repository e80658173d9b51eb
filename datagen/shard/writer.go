package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"tempera/datagen/sample"
	"tempera/infra/artifact"
)

// ErrEmpty says that a data set has no samples.
var ErrEmpty = errors.New("the data set is empty")

// Options of a Writer. Zero fields mean the defaults.
type Options struct {
	Name    string // of the data set, and of its shards' files; default "data"
	Records int    // at most so many samples to a shard; default 1000
	Bytes   int64  // a shard is closed before it would exceed this; default 128 MiB
	Card    Card
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = "data"
	}
	if o.Records == 0 {
		o.Records = 1000
	}
	if o.Bytes == 0 {
		o.Bytes = 128 << 20
	}
	return o
}

// Writer streams samples into shards in the store. It holds at most a shard's
// keys and one sample in memory, next to the set of the keys it has seen. It is
// not for concurrent use. Every Writer ends with Close or Discard.
type Writer struct {
	ctx   context.Context
	blobs artifact.Blobs
	opts  Options
	keys  map[string]struct{}
	files []artifact.File
	stats Stats
	open  *openShard
	err   error // the first one; it sticks
}

// openShard is a shard on its way into the store.
type openShard struct {
	tar     *tarWriter
	pipe    *io.PipeWriter
	stored  chan stored
	records int
}

type stored struct {
	ref artifact.Ref
	err error
}

// NewWriter starts a data set. The context bounds all that the writer does.
func NewWriter(ctx context.Context, blobs artifact.Blobs, opts Options) *Writer {
	return &Writer{ctx: ctx, blobs: blobs, opts: opts.withDefaults(), keys: map[string]struct{}{}}
}

// Records returns how many samples have been added.
func (w *Writer) Records() int { return w.stats.Records }

// Add appends a sample. Its key must be new to the data set.
func (w *Writer) Add(s sample.Sample) error {
	if w.err != nil {
		return w.err
	}
	w.err = w.add(&s)
	return w.err
}

func (w *Writer) add(s *sample.Sample) error {
	if err := check(s, Limits{}.WithDefaults()); err != nil {
		return err
	}
	if _, seen := w.keys[s.Key]; seen {
		return fmt.Errorf("sample %s: its key is in the data set already", s.Key)
	}
	facts, err := json.Marshal(s.Facts)
	if err != nil {
		return fmt.Errorf("facts of %s: %w", s.Key, err)
	}
	size := membersSize(s, facts)
	if w.open != nil && (w.open.records >= w.opts.Records || w.open.tar.n+size > w.opts.Bytes) {
		if err := w.finishShard(); err != nil {
			return err
		}
	}
	if w.open == nil {
		w.startShard()
	}
	if err := w.open.tar.add(s, facts); err != nil {
		return w.storeError(err)
	}
	w.open.records++
	w.keys[s.Key] = struct{}{}
	w.stats.add(s)
	return nil
}

func (w *Writer) startShard() {
	r, p := io.Pipe()
	o := &openShard{tar: newTarWriter(p), pipe: p, stored: make(chan stored, 1)}
	go func() {
		ref, err := w.blobs.Put(w.ctx, r)
		if err == nil {
			// Put has read to the end; anything else would leave the writer hanging.
			err = r.Close()
		} else {
			r.CloseWithError(err)
		}
		o.stored <- stored{ref, err}
	}()
	w.open = o
}

// finishShard waits until the shard is in the store.
func (w *Writer) finishShard() error {
	o := w.open
	if err := o.tar.close(); err != nil {
		return w.storeError(err)
	}
	if err := o.pipe.Close(); err != nil {
		return w.storeError(err)
	}
	w.open = nil
	got := <-o.stored
	path := FileName(w.opts.Name, len(w.files))
	if got.err != nil {
		return fmt.Errorf("store shard %s: %w", path, got.err)
	}
	w.files = append(w.files, artifact.File{Path: path, Ref: got.ref, Records: o.records})
	return nil
}

// storeError gives up the open shard. What the store says about it comes first:
// the error of the write is only its echo.
func (w *Writer) storeError(err error) error {
	o := w.open
	w.open = nil
	o.pipe.CloseWithError(err)
	if got := <-o.stored; got.err != nil {
		err = got.err
	}
	return fmt.Errorf("store shard %s: %w", FileName(w.opts.Name, len(w.files)), err)
}

// Discard ends a writer without a data set. After Close it does nothing, so it
// can be deferred. Shards that are in the store already stay there.
func (w *Writer) Discard() {
	if w.open != nil {
		_ = w.storeError(context.Canceled)
	}
	if w.err == nil {
		w.err = errors.New("the writer is closed")
	}
}

// Close stores what is left, the card and the manifest, and returns the data
// set. A data set without samples has no shards; callers that cannot use one
// look at Records and fail with ErrEmpty.
func (w *Writer) Close() (artifact.Artifact, error) {
	if w.err != nil {
		w.Discard()
		return artifact.Artifact{}, w.err
	}
	if w.open != nil {
		if err := w.finishShard(); err != nil {
			w.err = err
			return artifact.Artifact{}, err
		}
	}
	w.Discard()
	return publish(w.ctx, w.blobs, Meta{Name: w.opts.Name, Card: w.opts.Card, Stats: w.stats}, w.files)
}

// FileName is the file name of a shard.
func FileName(name string, i int) string { return fmt.Sprintf("%s-%06d.tar", name, i) }

// publish stores card, metadata and manifest beside the shards.
func publish(ctx context.Context, blobs artifact.Blobs, meta Meta, shards []artifact.File) (artifact.Artifact, error) {
	texts, err := meta.Describe(shards)
	if err != nil {
		return artifact.Artifact{}, err
	}
	m := artifact.Manifest{Type: artifact.TypeDataset, Files: slices.Clone(shards)}
	for _, t := range texts {
		ref, err := artifact.PutBytes(ctx, blobs, []byte(t.Text))
		if err != nil {
			return artifact.Artifact{}, fmt.Errorf("store %s of data set %s: %w", t.Path, meta.Name, err)
		}
		m.Files = append(m.Files, artifact.File{Path: t.Path, Ref: ref})
	}
	if m.Meta, err = json.Marshal(meta); err != nil {
		return artifact.Artifact{}, fmt.Errorf("facts of data set %s: %w", meta.Name, err)
	}
	return artifact.PutManifest(ctx, blobs, &m)
}
