package activities

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

// checkpoints keeps the resume point of one attempt under checkpoints/<key>/,
// or, of a forced stage, in a folder of the forcing run below that:
// an object for each state, and newest.json, which lists the two newest ones
// and is written last. Changes of newest.json are compare-and-swap by ETag, so
// that a worker that was given up for dead cannot move the resume point of the
// attempt that took over: its Save fails.
type checkpoints struct {
	owner   *attempt
	prefix  string
	step    atomic.Int64
	resumed atomic.Int64 // the step that Load gave
	mu      sync.Mutex   // serialises Save and Load
	index   pointIndex
	etag    string // of newest.json; "" where there is none
	indexed bool   // index and etag are known
	used    bool   // there may be objects to clear
}

// pointIndex is the content of newest.json.
type pointIndex struct {
	Attempt string  `json:"attempt"` // that wrote it
	Points  []point `json:"points"`  // the newest first
}

type point struct {
	Step   int64           `json:"step"`
	Name   string          `json:"name"`
	Digest artifact.Digest `json:"digest"`
	Size   int64           `json:"size"`
}

const (
	pointsKept   = 2
	pointsName   = "newest.json"
	saveLimit    = 15 * time.Minute
	clearedLimit = time.Minute
)

func newCheckpoints(a *attempt) *checkpoints {
	c := &checkpoints{owner: a, prefix: artifact.CheckpointPrefix(checkpointKey(a.request))}
	c.step.Store(-1)
	return c
}

// checkpointKey names the checkpoints of a request. A forced stage has its own, so that it does not go on from where another run was cancelled.
func checkpointKey(q stage.Request) string {
	if q.Force == "" {
		return commitKey(q)
	}
	return path.Join(commitKey(q), "forced-"+shortHash(q.Force))
}

// shortHash makes a part of an object's name of any text.
func shortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// newest returns the step of the newest checkpoint, 0 where there is none.
func (c *checkpoints) newest() int64 { return max(0, c.step.Load()) }

// attemptID tells attempts apart, also those of different runs.
func (a *attempt) attemptID() string {
	return fmt.Sprintf("%s %s attempt %d, begun %s", a.request.Run, a.name, a.number, a.began.UTC().Format(time.RFC3339Nano))
}

// load reads newest.json once.
func (c *checkpoints) load(ctx context.Context) error {
	if c.indexed {
		return nil
	}
	state, err := artifact.ReadJSON(ctx, c.owner.runtime.Store, c.prefix+pointsName, &c.index)
	if err != nil && !errors.Is(err, artifact.ErrNotFound) {
		return fmt.Errorf("checkpoints of %s: %w", c.owner.name, err)
	}
	c.etag, c.indexed = state.ETag, true
	c.used = c.used || c.etag != ""
	return nil
}

// swap replaces newest.json. A swap that took effect although its answer was
// lost is recognised by its content.
func (c *checkpoints) swap(ctx context.Context, points []point) error {
	store, name := c.owner.runtime.Store, c.prefix+pointsName
	index := pointIndex{Attempt: c.owner.attemptID(), Points: points}
	data, err := artifact.EncodeJSON(index)
	if err != nil {
		return err
	}
	err = store.Swap(ctx, name, data, c.etag)
	if err != nil && !errors.Is(err, artifact.ErrConflict) {
		return err
	}
	var now pointIndex
	state, readErr := artifact.ReadJSON(ctx, store, name, &now)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	if now.Attempt != index.Attempt || !slices.Equal(now.Points, points) {
		return fmt.Errorf("another attempt has taken over (%s): %w", now.Attempt, artifact.ErrConflict)
	}
	c.index, c.etag = index, state.ETag
	return nil
}

// Save implements Checkpoints. It goes on when ctx is cancelled: a cancelled
// stage writes its checkpoint first.
func (c *checkpoints) Save(ctx context.Context, step int64, write func(io.Writer) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveLimit)
	defer cancel()
	if err := c.load(ctx); err != nil {
		return err
	}
	began := time.Now()
	c.used = true
	p, err := c.upload(ctx, step, write)
	if err != nil {
		return fmt.Errorf("save checkpoint of step %d: %w", step, err)
	}
	if err := c.owner.metrics.save(ctx); err != nil {
		return fmt.Errorf("save metrics of step %d: %w", step, err)
	}
	before := slices.DeleteFunc(slices.Clone(c.index.Points), func(o point) bool { return o.Name == p.Name })
	points := append([]point{p}, before...)
	kept := points[:min(pointsKept, len(points))]
	if err := c.swap(ctx, slices.Clone(kept)); err != nil {
		return fmt.Errorf("save checkpoint of step %d: %w", step, err)
	}
	c.step.Store(step)
	for _, old := range points[len(kept):] {
		if err := c.owner.runtime.Store.Remove(ctx, c.prefix+old.Name); err != nil {
			c.owner.log.Warn("old checkpoint stays", "name", old.Name, "error", err)
		}
	}
	c.owner.log.Info("checkpoint saved", "step", step, "bytes", p.Size, "seconds", time.Since(began).Seconds())
	c.owner.log.save(ctx)
	return nil
}

// upload streams a state into an object whose name no other attempt uses.
func (c *checkpoints) upload(ctx context.Context, step int64, write func(io.Writer) error) (point, error) {
	p := point{Step: step, Name: fmt.Sprintf("step-%012d-%s.safetensors", step, shortHash(c.owner.attemptID()))}
	r, w := io.Pipe()
	sum := &counter{hash: sha256.New()}
	wrote := make(chan error, 1)
	go func() {
		err := func() (err error) {
			defer func() {
				if v := recover(); v != nil {
					err = &panicked{v}
				}
			}()
			return write(io.MultiWriter(w, sum))
		}()
		w.CloseWithError(err)
		wrote <- err
	}()
	err := c.owner.runtime.Store.Write(ctx, c.prefix+p.Name, r, -1)
	r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	if writeErr := <-wrote; err == nil {
		err = writeErr
	}
	p.Digest, p.Size = artifact.Digest("sha256:"+hex.EncodeToString(sum.hash.Sum(nil))), sum.n
	return p, err
}

// counter hashes and counts what is written to it.
type counter struct {
	hash hash.Hash
	n    int64
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.hash.Write(b)
}

// Load implements Checkpoints. A checkpoint is copied to the scratch folder and
// verified before read sees a byte of it.
func (c *checkpoints) Load(ctx context.Context, read func(step int64, r io.Reader) error) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil || len(c.index.Points) == 0 {
		return false, err
	}
	var corrupt []string
	for i, p := range c.index.Points {
		f, err := c.fetch(ctx, p)
		if errors.Is(err, artifact.ErrDigest) || errors.Is(err, artifact.ErrNotFound) {
			c.owner.log.Warn("corrupt checkpoint is skipped", "step", p.Step, "digest", p.Digest, "error", err)
			corrupt = append(corrupt, fmt.Sprintf("step %d (%s): %v", p.Step, p.Digest, err))
			continue
		}
		if err != nil {
			return false, fmt.Errorf("load checkpoint of step %d: %w", p.Step, err)
		}
		err = read(p.Step, f)
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		if err != nil {
			return false, fmt.Errorf("read checkpoint of step %d: %w", p.Step, err)
		}
		if err := c.swap(ctx, slices.Clone(c.index.Points[i:])); err != nil { // claim it
			return false, fmt.Errorf("resume from step %d: %w", p.Step, err)
		}
		c.step.Store(p.Step)
		c.resumed.Store(p.Step)
		c.owner.log.Info("resumed from checkpoint", "step", p.Step)
		return true, nil
	}
	return false, &permanent{stage.CorruptArtifact, fmt.Errorf("every checkpoint of %s is corrupt: %s: remove %s to begin again", c.owner.name, strings.Join(corrupt, "; "), c.prefix)}
}

// fetch copies a checkpoint into an open, verified scratch file at its start.
func (c *checkpoints) fetch(ctx context.Context, p point) (_ *os.File, err error) {
	r, _, err := c.owner.runtime.Store.Read(ctx, c.prefix+p.Name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f, err := os.CreateTemp(c.owner.runtime.Scratch, "checkpoint-*")
	if err != nil {
		return nil, err
	}
	sum := &counter{hash: sha256.New()}
	_, err = io.Copy(io.MultiWriter(f, sum), r)
	if got := artifact.Digest("sha256:" + hex.EncodeToString(sum.hash.Sum(nil))); err == nil && got != p.Digest {
		err = fmt.Errorf("%s holds %s: %w", path.Join(c.prefix, p.Name), got, artifact.ErrDigest)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// clear removes the checkpoints of a stage that has committed, but not those of
// runs that force it, which are in folders of their own. What cannot be removed
// is left to the sweep.
func (c *checkpoints) clear(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.used && c.owner.number == 1 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearedLimit)
	defer cancel()
	for n, err := range c.owner.runtime.Store.List(ctx, c.prefix) {
		if err == nil && strings.Contains(n.Name[len(c.prefix):], "/") {
			continue
		}
		if err == nil {
			err = c.owner.runtime.Store.Remove(ctx, n.Name)
		}
		if err != nil {
			c.owner.runtime.logger().Warn("checkpoints stay until the sweep", "prefix", c.prefix, "error", err)
			return
		}
	}
}

// writeName replaces a name with bytes that are in memory.
func writeName(ctx context.Context, s artifact.Names, name string, data []byte) error {
	return s.Write(ctx, name, bytes.NewReader(data), int64(len(data)))
}
