package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// DigestOf returns the digest of bytes in memory.
func DigestOf(data []byte) Digest {
	sum := sha256.Sum256(data)
	return Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// Hash computes a digest while bytes are written to it.
type Hash struct {
	h    hash.Hash
	size int64
}

// NewHash returns an empty hash.
func NewHash() *Hash { return &Hash{h: sha256.New()} }

// Write implements io.Writer; it never fails.
func (h *Hash) Write(p []byte) (int, error) {
	h.size += int64(len(p))
	return h.h.Write(p)
}

// Ref returns the digest and size of what was written so far.
func (h *Hash) Ref() Ref {
	return Ref{Digest: Digest("sha256:" + hex.EncodeToString(h.h.Sum(nil))), Size: h.size}
}

// Verify returns a reader of r's bytes that fails with ErrDigest instead of
// io.EOF where they do not have the digest d.
func Verify(r io.ReadCloser, d Digest) io.ReadCloser {
	return &verifier{r: r, want: d, hash: NewHash()}
}

type verifier struct {
	r    io.ReadCloser
	want Digest
	hash *Hash
	err  error
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	_, _ = v.hash.Write(p[:n]) // never fails
	if err == io.EOF {         //nolint:errorlint // readers return io.EOF itself
		if got := v.hash.Ref(); got.Digest != v.want {
			err = fmt.Errorf("blob %s holds %d bytes of %s: %w", v.want, got.Size, got.Digest, ErrDigest)
		}
	}
	v.err = err
	return n, err
}

func (v *verifier) Close() error { return v.r.Close() }
