package token

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"sync"

	"tempera/infra/artifact"
)

// Set is an open tokens artifact. The borders of the documents are in memory, 12
// bytes each; tokens are read from local files. Its methods may be called
// concurrently; Close comes last.
type Set struct {
	Artifact artifact.Artifact
	Meta     Meta

	shards []*shard
	first  []int    // number of the first document of each shard, and the total
	start  []uint64 // of each document within its shard, in tokens
	length []uint32 // of each document, in tokens
	bytes  []uint32
	buffer sync.Pool
}

type shard struct {
	path    string
	file    *os.File
	release func()
	width   int
	data    int64 // where the tokens begin
}

// Open loads a tokens artifact. Scratch is a folder for copies of shards where
// the store does not keep blobs as local files.
func Open(ctx context.Context, blobs artifact.Blobs, a artifact.Artifact, scratch string) (*Set, error) {
	m, err := artifact.LoadManifest(ctx, blobs, a)
	if err != nil {
		return nil, fmt.Errorf("open tokens %s: %w", a.Digest.Short(), err)
	}
	if m.Type != artifact.TypeTokens {
		return nil, fmt.Errorf("open tokens %s: it is a %s", a.Digest.Short(), m.Type)
	}
	s := &Set{Artifact: a, first: []int{0}}
	s.buffer.New = func() any { return new([]byte) }
	if err := json.Unmarshal(m.Meta, &s.Meta); err != nil {
		return nil, fmt.Errorf("open tokens %s: facts: %w", a.Digest.Short(), err)
	}
	for _, f := range m.Files {
		if !strings.HasSuffix(f.Path, ".tok") {
			continue
		}
		if err := s.add(ctx, blobs, f, scratch); err != nil {
			return nil, errors.Join(fmt.Errorf("open tokens %s: shard %s (%s): %w", a.Digest.Short(), f.Path, f.Digest, err), s.Close())
		}
	}
	if s.Len() != s.Meta.Documents {
		return nil, errors.Join(fmt.Errorf("open tokens %s: %d documents, the manifest says %d", a.Digest.Short(), s.Len(), s.Meta.Documents), s.Close())
	}
	return s, nil
}

func (s *Set) add(ctx context.Context, blobs artifact.Blobs, f artifact.File, scratch string) error {
	path, release, err := artifact.LocalPath(ctx, blobs, f.Digest, scratch)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		release()
		return err
	}
	sh := &shard{path: f.Path, file: file, release: release}
	s.shards = append(s.shards, sh)
	if err := s.readBorders(sh, f.Size); err != nil {
		return err
	}
	s.first = append(s.first, len(s.length))
	return nil
}

// readBorders reads the head of a shard. Sizes are checked against that of the
// file before anything is allocated.
func (s *Set) readBorders(sh *shard, size int64) error {
	r := bufio.NewReaderSize(io.NewSectionReader(sh.file, 0, size), 1<<20)
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:8]) != magic {
		return fmt.Errorf("%w: it does not begin with %s", ErrFormat, magic)
	}
	width := binary.LittleEndian.Uint32(head[8:])
	documents, tokens := binary.LittleEndian.Uint64(head[16:]), binary.LittleEndian.Uint64(head[24:])
	if width != 2 && width != 4 || documents > uint64(size) || tokens > uint64(size) ||
		uint64(size) != headerSize+12*documents+uint64(width)*tokens {
		return fmt.Errorf("%w: %d documents and %d tokens of %d bytes do not make %d bytes", ErrFormat, documents, tokens, width, size)
	}
	sh.width, sh.data = int(width), headerSize+12*int64(documents)
	var last uint64
	for i := range documents {
		var end [8]byte
		if _, err := io.ReadFull(r, end[:]); err != nil {
			return err
		}
		at := binary.LittleEndian.Uint64(end[:])
		if at < last+2 || at > tokens || at-last > 1<<32-1 {
			return fmt.Errorf("%w: document %d ends at %d after %d", ErrFormat, i, at, last)
		}
		s.start, s.length = append(s.start, last), append(s.length, uint32(at-last))
		last = at
	}
	if last != tokens {
		return fmt.Errorf("%w: the documents have %d tokens, the shard %d", ErrFormat, last, tokens)
	}
	for range documents {
		var n [4]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return err
		}
		s.bytes = append(s.bytes, binary.LittleEndian.Uint32(n[:]))
	}
	return nil
}

// Len returns the number of documents.
func (s *Set) Len() int { return len(s.length) }

// Length returns the number of tokens of a document, its borders included.
func (s *Set) Length(i int) int { return int(s.length[i]) }

// Bytes returns the size of a document's text in UTF-8.
func (s *Set) Bytes(i int) int { return int(s.bytes[i]) }

// Read fills out with the tokens of a document from the token start on. They
// must be there.
func (s *Set) Read(i, start int, out []int32) error {
	if i < 0 || i >= s.Len() || start < 0 || start+len(out) > s.Length(i) {
		return fmt.Errorf("tokens %d to %d of document %d: there are %d documents", start, start+len(out), i, s.Len())
	}
	sh := s.shards[sort.SearchInts(s.first, i+1)-1]
	buffer := s.buffer.Get().(*[]byte)
	defer s.buffer.Put(buffer)
	n := len(out) * sh.width
	if cap(*buffer) < n {
		*buffer = make([]byte, n)
	}
	b := (*buffer)[:n]
	if _, err := sh.file.ReadAt(b, sh.data+int64(sh.width)*(int64(s.start[i])+int64(start))); err != nil {
		return fmt.Errorf("document %d in shard %s: %w", i, sh.path, err)
	}
	for k := range out {
		var id uint32
		if sh.width == 2 {
			id = uint32(binary.LittleEndian.Uint16(b[2*k:]))
		} else {
			id = binary.LittleEndian.Uint32(b[4*k:])
		}
		if id >= uint32(s.Meta.Vocab) {
			return fmt.Errorf("document %d in shard %s: token %d is outside the vocabulary of %d", i, sh.path, id, s.Meta.Vocab)
		}
		out[k] = int32(id)
	}
	return nil
}

// Close releases the local files.
func (s *Set) Close() error {
	var errs []error
	for _, sh := range s.shards {
		errs = append(errs, sh.file.Close())
		sh.release()
	}
	s.shards = nil
	return errors.Join(errs...)
}
