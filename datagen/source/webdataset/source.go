// Package webdataset reads the image-text pairs that users bring: WebDataset
// tar shards from a folder, the store or the web, folders of images with a text
// file beside each, and JSON Lines that name images.
//
// Nothing that it reads is trusted: paths stay in their folder, sizes are
// bounded, and what is unusable is yielded as a *sample.Fault.
package webdataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tempera/datagen/sample"
	"tempera/datagen/shard"
	"tempera/infra/artifact"
)

// Name is the source's name in parameters and in samples' facts.
const Name = "webdataset"

// Params of the source. Zero fields mean the defaults.
type Params struct {
	// From lists where the pairs are: a folder, a .tar or .jsonl file, a URL of a
	// .tar with {000..146} for many, or store:<prefix> for names in the store.
	From    []string `json:"from"`
	Caption string   `json:"caption,omitempty"`  // extension of captions' files; default "txt"
	JSONKey string   `json:"json_key,omitempty"` // takes captions from this key of .json files instead
	Image   string   `json:"image,omitempty"`    // of JSON Lines: the key of the image's path; default "image"
	Text    string   `json:"text,omitempty"`     // of JSON Lines: the key of the caption; default "caption"
	Limits  Limits   `json:"limits,omitzero"`
}

// Limits bound one sample's files; zero fields mean the defaults of shard.Limits.
type Limits = shard.Limits

// storeScheme marks names in the artifact store.
const storeScheme = "store:"

// WithDefaults fills the zero fields in.
func (p Params) WithDefaults() Params {
	for _, d := range []struct {
		field *string
		value string
	}{{&p.Caption, "txt"}, {&p.Image, "image"}, {&p.Text, "caption"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	p.Caption = strings.TrimPrefix(p.Caption, ".")
	return p
}

// Validate reports every fault. It does not look whether the places are there.
func (p Params) Validate() error {
	var faults []error
	if len(p.From) == 0 {
		faults = append(faults, errors.New("from is empty: name a folder, a .tar or .jsonl file, a URL, or store:<prefix>"))
	}
	for _, f := range p.From {
		if f == "" {
			faults = append(faults, errors.New("from has an empty place"))
			continue
		}
		if _, err := Expand(f); err != nil {
			faults = append(faults, err)
		}
		if scheme, _, ok := strings.Cut(f, "://"); ok && scheme != "http" && scheme != "https" {
			faults = append(faults, fmt.Errorf("from has %q: use http://, https://, store:<prefix> or a path", f))
		}
	}
	return errors.Join(faults...)
}

// Source yields the pairs of all places, in the order they are listed.
type Source struct {
	Params Params
	Names  artifact.Names // for store:<prefix>
	Client *http.Client   // nil: one that gives up on servers that do not answer
	Count  int            // at most so many; 0 means all
}

// Name returns "webdataset".
func (s *Source) Name() string { return Name }

// archive is one tar file that can be opened.
type archive struct {
	name string
	open func(ctx context.Context) (io.ReadCloser, error)
}

// Samples yields the pairs. The seed does not matter: the order is the data's.
func (s *Source) Samples(ctx context.Context, _ uint64) iter.Seq2[sample.Sample, error] {
	return func(yield func(sample.Sample, error) bool) {
		left := s.Count
		take := func(out sample.Sample, err error) bool {
			if err != nil {
				return yield(out, err) && isFault(err)
			}
			out.Facts = strangersFacts(out.Facts)
			if !yield(out, nil) {
				return false
			}
			left--
			return left != 0 // never, where Count is 0
		}
		p := s.Params.WithDefaults()
		if err := p.Validate(); err != nil {
			yield(sample.Sample{}, fmt.Errorf("webdataset: %w", err))
			return
		}
		r := reader{ctx: ctx, params: p, source: s}
		for _, from := range p.From {
			if !r.place(from, take) {
				return
			}
		}
	}
}

// strangersFacts keeps what Tempera wrote itself into a shard, such as an
// exported data set, and names the source where nothing is known.
func strangersFacts(f sample.Facts) sample.Facts {
	if f.Source == "" {
		f.Source = Name
	}
	if f.Origin == "" {
		f.Origin = "web"
	}
	return f
}

func isFault(err error) bool {
	_, ok := err.(*sample.Fault) //nolint:errorlint // the type itself is the protocol
	return ok
}

// reader goes through places; its methods return false where the caller wants
// no more, or after an error.
type reader struct {
	ctx      context.Context
	params   Params
	source   *Source
	archives int // so far, over all places
}

type take = func(sample.Sample, error) bool

func (r *reader) place(from string, yield take) bool {
	if prefix, ok := strings.CutPrefix(from, storeScheme); ok {
		return r.store(prefix, yield)
	}
	all, err := Expand(from)
	if err != nil {
		return yield(sample.Sample{}, err)
	}
	for _, one := range all {
		if strings.HasPrefix(one, "http://") || strings.HasPrefix(one, "https://") {
			if !r.archive(r.source.web(one), yield) {
				return false
			}
			continue
		}
		if !r.local(one, yield) {
			return false
		}
	}
	return true
}

func (r *reader) local(path string, yield take) bool {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return yield(sample.Sample{}, fmt.Errorf("webdataset: %w", err))
	case info.IsDir():
		return r.folder(path, yield)
	case strings.HasSuffix(path, ".tar"):
		return r.archive(archive{path, func(context.Context) (io.ReadCloser, error) { return os.Open(path) }}, yield)
	case strings.HasSuffix(path, ".jsonl"):
		return r.lines(path, yield)
	}
	return yield(sample.Sample{}, fmt.Errorf("webdataset: %s is neither a folder nor a .tar or .jsonl file", path))
}

// folder reads the shards of a folder where it has some, the pairs of
// metadata.jsonl where it has that, and images with text files otherwise.
func (r *reader) folder(dir string, yield take) bool {
	shards, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.tar"))
	if err != nil {
		return yield(sample.Sample{}, fmt.Errorf("webdataset: %s: %w", dir, err))
	}
	for _, path := range shards { // in lexical order
		if !r.local(path, yield) {
			return false
		}
	}
	if len(shards) > 0 {
		return true
	}
	lines := filepath.Join(dir, "metadata.jsonl")
	if _, err := os.Stat(lines); err == nil {
		return r.lines(lines, yield)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return yield(sample.Sample{}, fmt.Errorf("webdataset: %w", err))
	}
	return r.pairs(dir, yield)
}

func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// store reads every .tar under a prefix.
func (r *reader) store(prefix string, yield take) bool {
	if r.source.Names == nil {
		return yield(sample.Sample{}, fmt.Errorf("webdataset: %s%s: there is no store here", storeScheme, prefix))
	}
	found := false
	for named, err := range r.source.Names.List(r.ctx, prefix) {
		if err != nil {
			return yield(sample.Sample{}, fmt.Errorf("webdataset: list %s%s: %w", storeScheme, prefix, err))
		}
		if !strings.HasSuffix(named.Name, ".tar") {
			continue
		}
		found = true
		open := func(ctx context.Context) (io.ReadCloser, error) {
			body, _, err := r.source.Names.Read(ctx, named.Name)
			return body, err
		}
		if !r.archive(archive{storeScheme + named.Name, open}, yield) {
			return false
		}
	}
	if !found {
		return yield(sample.Sample{}, fmt.Errorf("webdataset: %s%s: %w: no name under it ends in .tar", storeScheme, prefix, artifact.ErrNotFound))
	}
	return true
}

// web opens a URL. A server that fails is an error of its own, never a broken
// archive: trying again may help.
func (s *Source) web(url string) archive {
	client := s.Client
	if client == nil {
		client = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 30 * time.Second, TLSHandshakeTimeout: 15 * time.Second,
		}}
	}
	return archive{url, func(ctx context.Context) (io.ReadCloser, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			return nil, errors.Join(fmt.Errorf("the server says %s", resp.Status), resp.Body.Close())
		}
		return resp.Body, nil
	}}
}

// archive reads one tar file. Keys get the archive's number in front, from the
// second one on: strangers number every shard from zero.
func (r *reader) archive(a archive, yield take) bool {
	prefix := ""
	if r.archives > 0 {
		prefix = fmt.Sprintf("s%05d-", r.archives)
	}
	r.archives++
	body, err := a.open(r.ctx)
	if err != nil {
		return yield(sample.Sample{}, fmt.Errorf("webdataset: open %s: %w", a.name, err))
	}
	defer func() { _ = body.Close() }() // only read from
	watched := &watchedReader{r: body}
	fields := shard.Fields{Caption: r.params.Caption, JSONKey: r.params.JSONKey}
	for s, err := range shard.ReadFields(r.ctx, watched, r.params.Limits, fields) {
		switch {
		case err == nil:
			s.Key = shard.SafeKey(prefix + s.Key)
		case isFault(err):
			f := *err.(*sample.Fault) //nolint:errorlint // isFault has looked
			f.Item = a.name + ": " + f.Item
			err = &f
		case r.ctx.Err() != nil:
			return yield(sample.Sample{}, r.ctx.Err())
		case watched.err != nil:
			return yield(sample.Sample{}, fmt.Errorf("webdataset: read %s: %w", a.name, watched.err))
		default:
			err = sample.Faulty(a.name, sample.ReasonArchive, err)
		}
		if !yield(s, err) {
			return false
		}
	}
	return true
}

// watchedReader remembers that reading failed: what looks like a broken archive
// is then a broken connection.
type watchedReader struct {
	r   io.Reader
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
