package minio

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"

	s3 "github.com/minio/minio-go/v7"

	"tempera/infra/artifact"
)

// writerKey is the metadata by which a writer recognises its own object after
// an answer was lost.
const writerKey = "Tempera-Writer"

// Create implements artifact.Names.
func (s *Store) Create(ctx context.Context, name string, data []byte) error {
	return s.conditional(ctx, condition{op: "create " + name, name: name, data: data, lost: artifact.ErrExists})
}

// Swap implements artifact.Names.
func (s *Store) Swap(ctx context.Context, name string, data []byte, etag string) error {
	return s.conditional(ctx, condition{op: "swap " + name, name: name, data: data, etag: etag, lost: artifact.ErrConflict})
}

type condition struct {
	op   string
	name string
	data []byte
	etag string // "": must not exist
	lost error  // what it means that the condition does not hold
}

// conditional writes a name if its condition holds. An attempt whose answer was
// lost may have written it: then the condition fails because of ourselves, which
// the writer's mark tells.
func (s *Store) conditional(ctx context.Context, c condition) error {
	if err := artifact.CheckName(c.name); err != nil {
		return fmt.Errorf("%s: %w", c.op, err)
	}
	writer := rand.Text()
	b := &body{at: bytes.NewReader(c.data), size: int64(len(c.data))}
	return s.try(ctx, c.op, func(failed int) error {
		o := s3.PutObjectOptions{
			ContentType: artifact.ContentType(c.name), UserMetadata: map[string]string{writerKey: writer}, DisableMultipart: true,
		}
		if c.etag == "" {
			o.SetMatchETagExcept("*")
		} else {
			o.SetMatchETag(c.etag)
		}
		err := s.upload(ctx, c.name, b, o)
		if !precondition(err) && (c.etag == "" || code(err) != "NoSuchKey") {
			return err
		}
		if failed > 0 {
			info, err := s.client.StatObject(ctx, s.opts.Bucket, c.name, s3.StatObjectOptions{})
			if err != nil && code(err) != "NoSuchKey" {
				return err
			}
			if err == nil && info.UserMetadata[writerKey] == writer {
				return nil
			}
		}
		return c.lost
	})
}

// Write implements artifact.Names.
func (s *Store) Write(ctx context.Context, name string, r io.Reader, size int64) (err error) {
	if err := artifact.CheckName(name); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	b, err := s.newBody(r, io.Discard)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if size >= 0 && size != b.size {
		return fmt.Errorf("write %s: got %d bytes, want %d", name, b.size, size)
	}
	return s.try(ctx, "write "+name, func(int) error {
		return s.upload(ctx, name, b, s3.PutObjectOptions{ContentType: artifact.ContentType(name)})
	})
}

// Read implements artifact.Names.
func (s *Store) Read(ctx context.Context, name string) (io.ReadCloser, artifact.Named, error) {
	if err := artifact.CheckName(name); err != nil {
		return nil, artifact.Named{}, fmt.Errorf("read: %w", err)
	}
	o, err := s.open(ctx, "read "+name, name)
	if err != nil {
		return nil, artifact.Named{}, err
	}
	return o, artifact.Named{Name: name, Size: o.info.Size, ETag: o.info.ETag, Modified: o.info.LastModified}, nil
}

// List implements artifact.Names.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[artifact.Named, error] {
	return func(yield func(artifact.Named, error) bool) {
		var after string
		stopped := false
		page := func(int) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			for info := range s.client.ListObjectsIter(ctx, s.opts.Bucket, s3.ListObjectsOptions{Prefix: prefix, StartAfter: after, Recursive: true}) {
				if info.Err != nil {
					return info.Err
				}
				after = info.Key
				if !yield(artifact.Named{Name: info.Key, Size: info.Size, ETag: info.ETag, Modified: info.LastModified}, nil) {
					stopped = true
					return nil
				}
			}
			return ctx.Err()
		}
		if err := s.try(ctx, "list "+prefix, page); err != nil && !stopped {
			yield(artifact.Named{}, err)
		}
	}
}

// Remove implements artifact.Remover.
func (s *Store) Remove(ctx context.Context, name string) error {
	return s.try(ctx, "remove "+name, func(int) error {
		err := s.client.RemoveObject(ctx, s.opts.Bucket, name, s3.RemoveObjectOptions{})
		if code(err) == "NoSuchKey" {
			return nil
		}
		return err
	})
}

// Link implements artifact.Linker: the server copies, in parts above 5 GiB.
func (s *Store) Link(ctx context.Context, name string, d artifact.Digest) error {
	if err := artifact.CheckName(name); err != nil {
		return fmt.Errorf("link: %w", err)
	}
	dst := s3.CopyDestOptions{
		Bucket: s.opts.Bucket, Object: name, ReplaceMetadata: true,
		UserMetadata: map[string]string{"Content-Type": artifact.ContentType(name), "Tempera-Digest": string(d)},
	}
	src := s3.CopySrcOptions{Bucket: s.opts.Bucket, Object: artifact.BlobName(d)}
	return s.try(ctx, "link "+name+" to "+string(d), func(int) error {
		info, err := s.client.StatObject(ctx, src.Bucket, src.Object, s3.StatObjectOptions{})
		if err != nil {
			return err
		}
		if info.Size <= maxCopy {
			_, err = s.client.Client.CopyObject(ctx, dst, src)
		} else {
			_, err = s.client.ComposeObject(ctx, dst, src)
		}
		return err
	})
}

// maxCopy is what one request can copy, in bytes.
const maxCopy = 5 << 30
