package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	s3 "github.com/minio/minio-go/v7"

	"tempera/infra/artifact"
)

// Put implements artifact.Blobs. The digest is known only at the end of r, so
// what cannot be read twice is spooled first; then it is uploaded once under its
// final name, on condition that nothing is there. What r reads from must not
// change before Put returns.
func (s *Store) Put(ctx context.Context, r io.Reader) (ref artifact.Ref, err error) {
	hash := artifact.NewHash()
	b, err := s.newBody(r, hash)
	if err != nil {
		return artifact.Ref{}, fmt.Errorf("put blob: %w", err)
	}
	defer func() { err = errors.Join(err, b.close()) }()
	ref = hash.Ref()
	name := artifact.BlobName(ref.Digest)
	err = s.try(ctx, "put blob "+string(ref.Digest), func(int) error {
		o := s3.PutObjectOptions{ContentType: "application/octet-stream"}
		info, err := s.client.StatObject(ctx, s.opts.Bucket, name, s3.StatObjectOptions{})
		switch {
		case err == nil && info.Size == ref.Size && time.Since(info.LastModified) < s.opts.RefreshAfter:
			return nil
		case err != nil && code(err) != "NoSuchKey":
			return err
		case err != nil:
			o.SetMatchETagExcept("*")
		}
		err = s.upload(ctx, name, b, o)
		if precondition(err) { // another writer of the same bytes was faster
			return nil
		}
		return err
	})
	if err != nil {
		return artifact.Ref{}, err
	}
	return ref, nil
}

// upload sends a body, in parts where it is large. Every part carries its
// SHA-256, which the server checks.
func (s *Store) upload(ctx context.Context, name string, b *body, o s3.PutObjectOptions) error {
	o.Checksum = s3.ChecksumSHA256
	o.PartSize = uint64(s.opts.PartSize)
	_, err := s.client.Client.PutObject(ctx, s.opts.Bucket, name, b.reader(), b.size, o)
	return err
}

// Open implements artifact.Blobs.
func (s *Store) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, error) {
	if _, err := artifact.ParseDigest(string(d)); err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	r, err := s.open(ctx, "open blob "+string(d), artifact.BlobName(d))
	if err != nil {
		return nil, err
	}
	return artifact.Verify(r, d), nil
}

// Stat implements artifact.Blobs.
func (s *Store) Stat(ctx context.Context, d artifact.Digest) (artifact.Ref, error) {
	if _, err := artifact.ParseDigest(string(d)); err != nil {
		return artifact.Ref{}, fmt.Errorf("stat blob: %w", err)
	}
	ref := artifact.Ref{Digest: d}
	err := s.try(ctx, "stat blob "+string(d), func(int) error {
		info, err := s.client.StatObject(ctx, s.opts.Bucket, artifact.BlobName(d), s3.StatObjectOptions{})
		ref.Size = info.Size
		return err
	})
	if err != nil {
		return artifact.Ref{}, err
	}
	return ref, nil
}
