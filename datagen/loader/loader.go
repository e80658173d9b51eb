// Package loader turns data sets into the batches of training steps: decoded,
// resized, augmented, normalised. The batch of a step depends on the data, the
// configuration and (seed, step) alone, so that a resumed run sees the same
// batches.
//
// Start reading at New, then Loader.Batches.
package loader

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"

	"tempera/datagen/order"
	"tempera/datagen/picture"
	"tempera/datagen/sample"
)

// Data is what a loader reads from; shard.Dataset is one. Its methods are
// called concurrently.
type Data interface {
	Len() int
	Sample(ctx context.Context, i int) (sample.Sample, error)
}

// Part is one data set of a mixture.
type Part struct {
	Data   Data
	Weight float64 // relative share of the samples; 0 means its size
}

// Layout is the order of the numbers of an image.
type Layout string

// The layouts. A patch holds its numbers as (C, p, p), and patches follow each
// other row by row.
const (
	CHW     Layout = "chw"     // (B, C, H, W)
	Patches Layout = "patches" // (B, P, C*p*p)
)

// Config of a Loader. Zero fields mean the defaults.
type Config struct {
	Batch   int
	Seed    uint64
	Image   int        // pixels a side; default 32
	Fit     string     // "crop" the middle square of an oblong image (default), or "stretch" it
	Layout  Layout     // default CHW
	Patch   int        // side of a patch; default 4
	Mean    [3]float32 // in 0..255; default 127.5, with Std 127.5: numbers from -1 to 1
	Std     [3]float32
	Augment Augment
	Native  *Native // images keep their shapes; nil: they become squares of Image
	Cache   int64   // bytes of decoded images kept; default 256 MiB
	Workers int     // goroutines that make batches; default: half the processors
	Ahead   int     // batches made ahead; default 4
	Limits  picture.Limits
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *int
		value int
	}{{&c.Image, 32}, {&c.Patch, 4}, {&c.Workers, max(1, runtime.GOMAXPROCS(0)/2)}, {&c.Ahead, 4}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Fit == "" {
		c.Fit = "crop"
	}
	if c.Layout == "" {
		c.Layout = CHW
	}
	if c.Cache == 0 {
		c.Cache = 256 << 20
	}
	if c.Std == [3]float32{} {
		c.Mean, c.Std = [3]float32{127.5, 127.5, 127.5}, [3]float32{127.5, 127.5, 127.5}
	}
	return c
}

// Validate reports every fault of a configuration with its defaults filled in.
func (c Config) validate() error {
	var faults []error
	if c.Batch < 1 {
		faults = append(faults, fmt.Errorf("batch is %d: use 1 or more", c.Batch))
	}
	if c.Image < 1 || c.Image > 4096 {
		faults = append(faults, fmt.Errorf("image is %d: use 1 to 4096 pixels", c.Image))
	}
	if c.Fit != "crop" && c.Fit != "stretch" {
		faults = append(faults, fmt.Errorf("fit is %q: use crop or stretch", c.Fit))
	}
	switch c.Layout {
	case CHW:
	case Patches:
		if c.Patch < 1 || c.Image%c.Patch != 0 {
			faults = append(faults, fmt.Errorf("patch is %d: use a divisor of the image's %d", c.Patch, c.Image))
		}
	default:
		faults = append(faults, fmt.Errorf("layout is %q: use chw or patches", c.Layout))
	}
	for _, s := range c.Std {
		if s <= 0 {
			faults = append(faults, fmt.Errorf("std is %v: use positive numbers", c.Std))
			break
		}
	}
	if c.Native != nil {
		faults = append(faults, c.Native.validate())
	}
	return errors.Join(append(faults, c.Augment.Validate())...)
}

// Loader makes batches. Its methods may be called concurrently.
type Loader struct {
	cfg    Config
	parts  []Part
	order  *order.Order
	cache  *cache
	scale  [3][256]float32 // normalised value of every byte
	target []int           // where each value of (H, W, C) goes in the layout
}

// New checks the configuration against the data.
func New(cfg Config, parts ...Part) (*Loader, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("loader: %w", err)
	}
	sizes := make([]order.Part, len(parts))
	for i, p := range parts {
		sizes[i] = order.Part{Size: p.Data.Len(), Weight: p.Weight}
	}
	o, err := order.New(cfg.Seed, cfg.Batch, sizes)
	if err != nil {
		return nil, fmt.Errorf("loader: %w", err)
	}
	l := &Loader{cfg: cfg, parts: parts, order: o, cache: newCache(cfg.Cache), target: targets(cfg)}
	for c := range 3 {
		for v := range 256 {
			l.scale[c][v] = (float32(v) - cfg.Mean[c]) / cfg.Std[c]
		}
	}
	return l, nil
}

// targets maps (H, W, C) to the layout.
func targets(cfg Config) []int {
	n, p := cfg.Image, cfg.Patch
	out := make([]int, 0, n*n*3)
	for y := range n {
		for x := range n {
			for c := range 3 {
				if cfg.Layout == CHW {
					out = append(out, (c*n+y)*n+x)
					continue
				}
				patch := y/p*(n/p) + x/p
				out = append(out, ((patch*3+c)*p+y%p)*p+x%p)
			}
		}
	}
	return out
}

// Epochs returns how often each part has been gone through after a number of steps.
func (l *Loader) Epochs(steps int64) []float64 { return l.order.Epochs(steps) }

// StepsPerEpoch returns how many batches go through the data once.
func (l *Loader) StepsPerEpoch() int64 { return l.order.Steps() }

// Batch is the input of one step.
type Batch struct {
	Step, Epoch int64
	Images      []float32 // in the loader's layout; nil where they keep their shapes
	Sized       []Sized   // the images that do
	Captions    []string
	Keys        []string
	Part, Index []int // where each sample comes from
}

// Batch makes the batch of a step.
func (l *Loader) Batch(ctx context.Context, step int64) (*Batch, error) {
	if step < 0 {
		return nil, fmt.Errorf("batch of step %d: steps start at 0", step)
	}
	epoch, places := l.order.Batch(step)
	n := l.cfg.Batch
	b := &Batch{
		Step: step, Epoch: epoch,
		Captions: make([]string, n), Keys: make([]string, n), Part: make([]int, n), Index: make([]int, n),
	}
	if l.cfg.Native == nil {
		b.Images = make([]float32, n*l.ImageLen())
	}
	scratch := picture.New(l.cfg.Image, l.cfg.Image)
	for j, at := range places {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := l.load(ctx, at.Part, at.Index)
		if err != nil {
			return nil, fmt.Errorf("batch of step %d: %w", step, err)
		}
		b.Captions[j], b.Keys[j], b.Part[j], b.Index[j] = e.caption, e.key, at.Part, at.Index
		img := e.image
		if l.cfg.Augment.active() {
			rng := sample.Random(l.cfg.Seed, "augment", sample.Mix(at.Epoch)^uint64(at.Part)<<48^uint64(at.Index))
			if l.cfg.Native != nil {
				scratch = picture.New(img.W, img.H)
			}
			img = l.cfg.Augment.apply(img, scratch, rng)
		}
		if l.cfg.Native != nil {
			b.Sized = append(b.Sized, l.sized(img))
			continue
		}
		l.normalise(b.Images[j*l.ImageLen():], img)
	}
	return b, nil
}

// ImageLen returns the count of numbers of one image.
func (l *Loader) ImageLen() int { return 3 * l.cfg.Image * l.cfg.Image }

// Batches yields the batches of steps from, from+1, ... without end, made ahead
// by a few goroutines that stop when the iteration does. An error ends it.
func (l *Loader) Batches(ctx context.Context, from int64) iter.Seq2[*Batch, error] {
	type made struct {
		batch *Batch
		err   error
	}
	return func(yield func(*Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		queue := make(chan chan made, l.cfg.Ahead)
		slots := make(chan struct{}, l.cfg.Workers)
		running.Go(func() {
			for step := from; ; step++ {
				result := make(chan made, 1)
				select {
				case slots <- struct{}{}:
				case <-ctx.Done():
					return
				}
				running.Go(func() {
					b, err := l.Batch(ctx, step)
					result <- made{b, err}
					<-slots
				})
				select {
				case queue <- result:
				case <-ctx.Done():
					return
				}
			}
		})
		for {
			select {
			case result := <-queue:
				m := <-result
				if !yield(m.batch, m.err) || m.err != nil {
					return
				}
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}

// Image returns one sample with its image as an evaluation wants it: resized
// and normalised, not augmented. Out takes ImageLen numbers.
func (l *Loader) Image(ctx context.Context, part, index int, out []float32) (caption string, err error) {
	e, err := l.load(ctx, part, index)
	if err != nil {
		return "", err
	}
	l.normalise(out, e.image)
	return e.caption, nil
}

// Preprocess does for an encoded image what Batch does without augmentation.
func (l *Loader) Preprocess(encoded []byte, out []float32) error {
	img, err := l.decode(encoded)
	if err != nil {
		return err
	}
	l.normalise(out, img)
	return nil
}

func (l *Loader) normalise(out []float32, img *picture.RGB) {
	for i := 0; i+2 < len(img.Pix); i += 3 {
		out[l.target[i]] = l.scale[0][img.Pix[i]]
		out[l.target[i+1]] = l.scale[1][img.Pix[i+1]]
		out[l.target[i+2]] = l.scale[2][img.Pix[i+2]]
	}
}

func (l *Loader) decode(encoded []byte) (*picture.RGB, error) {
	img, err := picture.Decode(encoded, l.cfg.Limits)
	if err != nil {
		return nil, err
	}
	if n := l.cfg.Native; n != nil {
		return img.Resize(n.Fit(img.W, img.H)), nil
	}
	if l.cfg.Fit == "crop" {
		img = img.Square()
	}
	return img.Resize(l.cfg.Image, l.cfg.Image), nil
}

func (l *Loader) load(ctx context.Context, part, index int) (*entry, error) {
	if e := l.cache.get(part, index); e != nil {
		return e, nil
	}
	s, err := l.parts[part].Data.Sample(ctx, index)
	if err != nil {
		return nil, err
	}
	img, err := l.decode(s.Image)
	if err != nil {
		return nil, fmt.Errorf("sample %s: %w", s.Key, err)
	}
	e := &entry{key: s.Key, caption: s.Caption, image: img}
	l.cache.put(part, index, e)
	return e, nil
}
