package minio

import (
	"context"
	"errors"
	"fmt"
	"io"

	s3 "github.com/minio/minio-go/v7"
)

// object reads one state of an object. Where the connection breaks, it goes on
// from there with a new request for the same ETag.
type object struct {
	s      *Store
	ctx    context.Context //nolint:containedctx // io.Reader has none
	op     string
	name   string
	info   s3.ObjectInfo
	body   io.ReadCloser
	offset int64
}

func (s *Store) open(ctx context.Context, op, name string) (*object, error) {
	o := &object{s: s, ctx: ctx, op: op, name: name}
	if err := s.try(ctx, op, func(int) error { return o.request() }); err != nil {
		return nil, err
	}
	return o, nil
}

// request asks for the bytes from the offset on.
func (o *object) request() error {
	var opts s3.GetObjectOptions
	if o.offset > 0 {
		if err := errors.Join(opts.SetRange(o.offset, 0), opts.SetMatchETag(o.info.ETag)); err != nil {
			return err
		}
	}
	body, info, _, err := o.s.client.GetObject(o.ctx, o.s.opts.Bucket, o.name, opts)
	if err != nil {
		return err
	}
	if o.offset == 0 {
		o.info = info
	}
	o.body = body
	return nil
}

// Read implements io.Reader.
func (o *object) Read(p []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, fmt.Errorf("%s: %w", o.op, err)
	}
	if o.body == nil {
		return 0, fmt.Errorf("%s: read of a closed object", o.op)
	}
	n, err := o.body.Read(p)
	o.offset += int64(n)
	switch {
	case err == nil:
		return n, nil
	case o.offset >= o.info.Size && errors.Is(err, io.EOF):
		return n, io.EOF
	case n > 0: // what is there first; the next read meets the fault again
		return n, nil
	}
	return o.resume(p, err)
}

// resume goes on after a broken connection. The fault that broke it counts as
// the first failed attempt.
func (o *object) resume(p []byte, cause error) (n int, err error) {
	err = o.s.try(o.ctx, o.op, func(failed int) error {
		if failed == 0 {
			if errors.Is(cause, io.EOF) {
				cause = io.ErrUnexpectedEOF
			}
			return cause
		}
		_ = o.body.Close() // broken already
		if err := o.request(); err != nil {
			return err
		}
		n, err = o.body.Read(p)
		if n > 0 || errors.Is(err, io.EOF) && o.offset == o.info.Size {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	o.offset += int64(n)
	return n, nil
}

// Close implements io.Closer.
func (o *object) Close() error {
	if o.body == nil {
		return nil
	}
	err := o.body.Close()
	o.body = nil
	return err
}
