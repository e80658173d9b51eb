// Package sweep removes what nothing refers to any more.
//
// It marks from the names that people and pipelines use (runs, stage commits,
// models, data sets, aliases, and checkpoints of stages that have not
// committed) through manifests to blobs, and plans the removal of all other
// blobs and of the checkpoints of committed stages. Nothing younger than the
// grace period is touched: a stage puts its blobs before its commit names them.
//
// NewPlan is the dry run; Execute does it.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tempera/infra/artifact"
)

// DefaultGrace is longer than a stage may take from its first put to its
// commit. It must exceed the time after which stores refresh blobs that are put
// again (minio.Options.RefreshAfter).
const DefaultGrace = 7 * 24 * time.Hour

// Options say how old is old enough.
type Options struct {
	Grace time.Duration // 0: DefaultGrace
	// CommitAge is the age from which the commit of a stage that no run names is
	// removed, with what only it refers to. 0 keeps every commit.
	CommitAge time.Duration
	Now       time.Time // zero: the clock's
}

// Why an object is removed.
const (
	Unreferenced = "nothing refers to it"
	Committed    = "its stage has committed"
	Expired      = "no run names its stage any more"
)

// Item is one object to remove.
type Item struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Why  string `json:"why"`
	etag string
}

// Plan lists what would be removed, in the order of names.
type Plan struct {
	Items       []Item `json:"items"`
	Objects     int    `json:"objects"` // to remove
	Bytes       int64  `json:"bytes"`
	KeptObjects int    `json:"kept_objects"` // of those that a sweep may remove
	KeptBytes   int64  `json:"kept_bytes"`
	// Damaged lists roots and manifests that could not be read. While there is
	// one, blobs are not removed: what it refers to is not known.
	Damaged []string `json:"damaged,omitempty"`

	opts Options
}

// ErrDamaged means that the plan keeps every blob because of Plan.Damaged.
var ErrDamaged = errors.New("a root could not be read")

// NewPlan looks at the whole store and changes nothing.
func NewPlan(ctx context.Context, s artifact.Store, o Options) (*Plan, error) {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Grace < 0 || o.CommitAge < 0 {
		return nil, fmt.Errorf("sweep: grace %v and commit age %v: want no negative durations", o.Grace, o.CommitAge)
	}
	p := &Plan{opts: o}
	now := o.Now
	if now.IsZero() {
		now = time.Now()
	}
	m := newMarker(s)
	if err := p.markNames(ctx, s, m, now); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	p.Damaged = m.damaged
	for n, err := range s.List(ctx, "cas/") {
		if err != nil {
			return nil, fmt.Errorf("sweep: %w", err)
		}
		d, ok := artifact.BlobDigest(n.Name)
		if !ok || m.live[d] || len(p.Damaged) > 0 || now.Sub(n.Modified) < o.Grace {
			p.keep(n)
			continue
		}
		p.add(n, Unreferenced)
	}
	slices.SortFunc(p.Items, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	return p, nil
}

func (p *Plan) keep(n artifact.Named) {
	p.KeptObjects++
	p.KeptBytes += n.Size
}

func (p *Plan) add(n artifact.Named, why string) {
	p.Items = append(p.Items, Item{Name: n.Name, Size: n.Size, Why: why, etag: n.ETag})
	p.Objects++
	p.Bytes += n.Size
}

// markNames marks from every root, and plans the removal of checkpoints and
// commits.
func (p *Plan) markNames(ctx context.Context, s artifact.Store, m *marker, now time.Time) error {
	for _, prefix := range []string{"runs/", "models/", "datasets/", "aliases/"} {
		for n, err := range s.List(ctx, prefix) {
			if err != nil {
				return err
			}
			if !holdsReferences(n.Name) {
				continue
			}
			if err := m.markRoot(ctx, n.Name); err != nil {
				return err
			}
		}
	}
	committed := make(map[string]bool)
	for n, err := range s.List(ctx, "stages/") {
		if err != nil {
			return err
		}
		key := strings.TrimSuffix(strings.TrimPrefix(n.Name, "stages/"), ".json")
		if p.opts.CommitAge > 0 && now.Sub(n.Modified) >= max(p.opts.CommitAge, p.opts.Grace) && !m.names(key) {
			p.add(n, Expired)
			continue
		}
		p.keep(n)
		committed[key] = true
		if err := m.markRoot(ctx, n.Name); err != nil {
			return err
		}
	}
	for n, err := range s.List(ctx, "checkpoints/") {
		if err != nil {
			return err
		}
		if stageCommitted(committed, n.Name) && now.Sub(n.Modified) >= p.opts.Grace {
			p.add(n, Committed)
			continue
		}
		p.keep(n)
		if !strings.HasSuffix(n.Name, ".json") {
			continue
		}
		if err := m.markRoot(ctx, n.Name); err != nil {
			return err
		}
	}
	return nil
}

// holdsReferences picks the names that may refer to artifacts. The weights and
// logs of readable folders are copies and refer to nothing.
func holdsReferences(name string) bool {
	return strings.HasSuffix(name, ".json") && !strings.HasSuffix(name, "/tokenizer.json")
}

// stageCommitted reports whether the stage of a checkpoint, or the shard of it
// that the checkpoint's path goes on to name, has committed.
func stageCommitted(committed map[string]bool, name string) bool {
	rest := strings.TrimPrefix(name, "checkpoints/")
	for i := range len(rest) {
		if rest[i] == '/' && committed[rest[:i]] {
			return true
		}
	}
	return false
}

// Execute removes what the plan lists and still may go: it plans again first,
// and leaves what has been put again, or is referred to, since. It returns what
// it removed; after an error, what it removed until then.
func (p *Plan) Execute(ctx context.Context, s artifact.Store) (*Plan, error) {
	o := p.opts
	if !o.Now.IsZero() && o.Now.Before(time.Now()) {
		o.Now = time.Time{}
	}
	again, err := NewPlan(ctx, s, o)
	if err != nil {
		return nil, err
	}
	listed := make(map[string]string, len(p.Items))
	for _, i := range p.Items {
		listed[i.Name] = i.etag
	}
	done := &Plan{opts: p.opts, Damaged: again.Damaged, KeptObjects: again.KeptObjects, KeptBytes: again.KeptBytes}
	for _, i := range again.Items {
		etag, ok := listed[i.Name]
		if !ok || etag != i.etag {
			done.KeptObjects++
			done.KeptBytes += i.Size
			continue
		}
		if err := s.Remove(ctx, i.Name); err != nil {
			return done, fmt.Errorf("sweep: %w", err)
		}
		done.Items = append(done.Items, i)
		done.Objects++
		done.Bytes += i.Size
	}
	if len(done.Damaged) > 0 {
		return done, fmt.Errorf("sweep: %w, so all blobs are kept: %s: mend or remove it", ErrDamaged, strings.Join(done.Damaged, "; "))
	}
	return done, nil
}
