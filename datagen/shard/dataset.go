package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"

	"tempera/datagen/sample"
	"tempera/infra/artifact"
)

// Dataset is an open data set. Its shards come to local files when they are
// first needed. All methods may be called concurrently; Close comes last.
type Dataset struct {
	Artifact artifact.Artifact
	Meta     Meta

	blobs   artifact.Blobs
	scratch string
	shards  []artifact.File
	start   []int // index of the first sample of each shard, and the total

	mu     sync.Mutex
	opened map[int]*localShard
}

// localShard is opened once; ready is closed when file, entries and err stand.
type localShard struct {
	ready   chan struct{}
	file    *os.File
	entries []Entry
	release func()
	err     error
}

// Open loads the manifest of a data set. Scratch is a folder for copies of
// shards where the store does not keep blobs as local files.
func Open(ctx context.Context, blobs artifact.Blobs, a artifact.Artifact, scratch string) (*Dataset, error) {
	if a.Type == "" {
		a.Type = artifact.TypeDataset
	}
	m, err := artifact.LoadManifest(ctx, blobs, a)
	if err != nil {
		return nil, fmt.Errorf("open data set %s: %w", a.Digest.Short(), err)
	}
	if m.Type != artifact.TypeDataset {
		return nil, fmt.Errorf("open data set %s: it is a %s", a.Digest.Short(), m.Type)
	}
	d := &Dataset{Artifact: a, blobs: blobs, scratch: scratch, start: []int{0}, opened: map[int]*localShard{}}
	if len(m.Meta) > 0 {
		if err := json.Unmarshal(m.Meta, &d.Meta); err != nil {
			return nil, fmt.Errorf("open data set %s: facts: %w", a.Digest.Short(), err)
		}
	}
	for _, f := range m.Files {
		if strings.HasSuffix(f.Path, ".tar") {
			d.shards = append(d.shards, f)
			d.start = append(d.start, d.Len()+f.Records)
		}
	}
	return d, nil
}

// Len returns the number of samples.
func (d *Dataset) Len() int { return d.start[len(d.start)-1] }

// Shards returns the shards in order.
func (d *Dataset) Shards() []artifact.File { return d.shards }

// Start returns the index of the first sample of shard k.
func (d *Dataset) Start(k int) int { return d.start[k] }

// Sample returns the sample with an index from 0 to Len()-1.
func (d *Dataset) Sample(ctx context.Context, i int) (sample.Sample, error) {
	if i < 0 || i >= d.Len() {
		return sample.Sample{}, fmt.Errorf("sample %d: the data set has %d", i, d.Len())
	}
	k := sort.SearchInts(d.start, i+1) - 1
	l, err := d.local(ctx, k)
	if err != nil {
		return sample.Sample{}, err
	}
	s, err := l.entries[i-d.start[k]].read(l.file)
	if err != nil {
		return s, d.shardError(k, err)
	}
	return s, nil
}

// All yields every sample in order.
func (d *Dataset) All(ctx context.Context) sample.Stream { return d.between(ctx, 0, d.Len()) }

// Shard yields the samples of shard k in order.
func (d *Dataset) Shard(ctx context.Context, k int) sample.Stream {
	return d.between(ctx, d.start[k], d.start[k+1])
}

func (d *Dataset) between(ctx context.Context, lo, hi int) sample.Stream {
	return func(yield func(sample.Sample, error) bool) {
		for i := lo; i < hi; i++ {
			if err := ctx.Err(); err != nil {
				yield(sample.Sample{}, err)
				return
			}
			s, err := d.Sample(ctx, i)
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

func (d *Dataset) local(ctx context.Context, k int) (*localShard, error) {
	d.mu.Lock()
	l := d.opened[k]
	if l == nil {
		l = &localShard{ready: make(chan struct{})}
		d.opened[k] = l
		d.mu.Unlock()
		d.fetch(ctx, k, l)
		if l.err != nil { // let the next caller try again
			d.mu.Lock()
			delete(d.opened, k)
			d.mu.Unlock()
		}
		close(l.ready)
		return l, l.err
	}
	d.mu.Unlock()
	select {
	case <-l.ready:
		if errors.Is(l.err, context.Canceled) && ctx.Err() == nil {
			return d.local(ctx, k) // it was another caller that gave up
		}
		return l, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *Dataset) fetch(ctx context.Context, k int, l *localShard) {
	path, release, err := artifact.LocalPath(ctx, d.blobs, d.shards[k].Digest, d.scratch)
	if err != nil {
		l.err = d.shardError(k, err)
		return
	}
	l.release = release
	if l.file, err = os.Open(path); err == nil {
		l.entries, err = Index(l.file, d.shards[k].Size)
	}
	if want := d.start[k+1] - d.start[k]; err == nil && len(l.entries) != want {
		err = fmt.Errorf("%s: %d samples, the manifest says %d", sample.ReasonArchive, len(l.entries), want)
	}
	if err != nil {
		l.err = d.shardError(k, errors.Join(err, l.close()))
	}
}

func (d *Dataset) shardError(k int, err error) error {
	return fmt.Errorf("shard %s (%s): %w", d.shards[k].Path, d.shards[k].Digest, err)
}

func (l *localShard) close() error {
	var err error
	if l.file != nil {
		err = l.file.Close()
	}
	if l.release != nil {
		l.release()
	}
	return err
}

// Close releases the local files.
func (d *Dataset) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for k, l := range d.opened {
		<-l.ready
		if l.err == nil {
			errs = append(errs, l.close())
		}
		delete(d.opened, k)
	}
	return errors.Join(errs...)
}

// Join makes one data set of the shards of several, in order, without touching
// the shards. It is how the parts of a mapped stage become one data set. Keys
// must be unique over all parts; the shards are renamed after name.
func Join(ctx context.Context, blobs artifact.Blobs, opts Options, parts []artifact.Artifact) (artifact.Artifact, error) {
	opts = opts.withDefaults()
	meta := Meta{Name: opts.Name, Card: opts.Card}
	var files []artifact.File
	for _, p := range parts {
		d, err := Open(ctx, blobs, p, "")
		if err != nil {
			return artifact.Artifact{}, err
		}
		for _, f := range d.shards {
			f.Path = FileName(opts.Name, len(files))
			files = append(files, f)
		}
		meta.Stats.merge(d.Meta.Stats)
	}
	return publish(ctx, blobs, meta, files)
}
