package minio

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	s3 "github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
)

func TestFaultsAreClassedOnce(t *testing.T) {
	s, err := New(Options{Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "b"})
	require.NoError(t, err)
	for _, c := range []struct {
		name      string
		err       error
		transient bool
		class     error // of explain, where it stays
	}{
		{"a refused connection passes", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true, nil},
		{"a broken connection passes", &url.Error{Op: "Put", Err: io.ErrUnexpectedEOF}, true, nil},
		{"an unnamed 500 passes", s3.ErrorResponse{StatusCode: 500, Code: "InternalError"}, true, nil},
		{"SlowDown passes", s3.ErrorResponse{StatusCode: 503, Code: "SlowDown"}, true, nil},
		{"too many requests pass", s3.ErrorResponse{StatusCode: 429}, true, nil},
		{"bytes that changed on their way are sent again", s3.ErrorResponse{StatusCode: 400, Code: "BadDigest"}, true, nil},
		{"a full disk stays", s3.ErrorResponse{StatusCode: 507, Code: "XMinioStorageFull"}, false, artifact.ErrFull},
		{"a full disk under another name stays", s3.ErrorResponse{StatusCode: 507, Code: "Other"}, false, artifact.ErrFull},
		{"a forbidden call stays", s3.ErrorResponse{StatusCode: 403, Code: "SomethingNew"}, false, artifact.ErrPermission},
		{"an expired token stays", s3.ErrorResponse{StatusCode: 400, Code: "ExpiredToken"}, false, artifact.ErrCredentials},
		{"a clock that is off stays", s3.ErrorResponse{StatusCode: 403, Code: "RequestTimeTooSkewed"}, false, artifact.ErrCredentials},
		{"a missing bucket stays", s3.ErrorResponse{StatusCode: 404, Code: "NoSuchBucket"}, false, artifact.ErrNoBucket},
		{"an unknown certificate stays", &url.Error{Op: "Get", Err: x509.UnknownAuthorityError{}}, false, nil},
		{"a source that breaks stays", &url.Error{Op: "Put", Err: &sourceError{os.ErrClosed}}, false, os.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.transient, transient(fmt.Errorf("wrapped: %w", c.err)))
			if c.class != nil {
				require.ErrorIs(t, s.explain("put", c.err), c.class)
			}
		})
	}
}

func TestOptionsNameEveryFault(t *testing.T) {
	_, err := New(Options{Endpoint: "127.0.0.1:9000", AccessKey: "a", PartSize: 1})
	for _, part := range []string{"want http://host:port", "AWS_SECRET_ACCESS_KEY", "at least 5 MiB"} {
		require.ErrorContains(t, err, part)
	}
	t.Setenv("S3_ENDPOINT", "")
	require.ErrorContains(t, FromEnv().Validate(), "set S3_ENDPOINT")
	require.ErrorContains(t, Options{Endpoint: "http://h:1/bucket"}.Validate(), "S3_BUCKET")
}

func TestPausesDoubleUpToTheirLimit(t *testing.T) {
	r := Retry{First: 100 * time.Millisecond, Max: time.Second}.withDefaults()
	for n, longest := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		longest *= time.Millisecond
		for range 50 {
			require.LessOrEqual(t, r.pause(n), longest)
			require.GreaterOrEqual(t, r.pause(n), longest/2)
		}
	}
	require.LessOrEqual(t, r.pause(1000), time.Second)
}

func TestSpool(t *testing.T) {
	dir := t.TempDir()
	s, err := New(Options{Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "b", SpoolDir: dir, SpoolLimit: 2 << 20})
	require.NoError(t, err)
	t.Run("what cannot seek is read twice, and leaves no file", func(t *testing.T) {
		for _, size := range []int{0, 1, inMemory - 1, inMemory, inMemory + 1} {
			hash := artifact.NewHash()
			b, err := s.newBody(io.MultiReader(strings.NewReader(strings.Repeat("x", size))), hash)
			require.NoError(t, err)
			for range 2 {
				data, err := io.ReadAll(b.reader())
				require.NoError(t, err)
				require.Equal(t, hash.Ref(), artifact.Ref{Digest: artifact.DigestOf(data), Size: int64(size)})
			}
			require.NoError(t, b.close())
		}
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		require.NoError(t, err)
		require.Empty(t, left)
	})
	t.Run("an object beyond the limit is refused", func(t *testing.T) {
		_, err := s.newBody(io.MultiReader(strings.NewReader(strings.Repeat("x", 2<<20+1))), io.Discard)
		require.ErrorIs(t, err, artifact.ErrFull)
	})
	t.Run("a full disk names the variable to set", func(t *testing.T) {
		err := diskFull(&os.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC})
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorContains(t, err, "TMPDIR")
	})
	t.Run("a pipe is spooled though it is a file", func(t *testing.T) {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		_, err = w.WriteString("piped")
		require.NoError(t, errors.Join(err, w.Close()))
		b, err := s.newBody(r, io.Discard)
		require.NoError(t, err)
		data, err := io.ReadAll(b.reader())
		require.NoError(t, err)
		require.Equal(t, "piped", string(data))
	})
}

func TestAnAttemptWhoseConnectionWasClosedIsRepeatedAtOnce(t *testing.T) {
	s, err := New(Options{Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "b", Retry: Retry{Attempts: 1}})
	require.NoError(t, err)
	closed := &url.Error{Op: "Get", Err: &net.OpError{Op: "set", Net: "tcp", Err: net.ErrClosed}}
	attempts := 0
	err = s.try(t.Context(), "list", func(int) error {
		if attempts++; attempts < 3 {
			return closed
		}
		return &url.Error{Op: "Get", Err: errors.New(noHTTP)}
	})
	require.ErrorContains(t, err, "what answers there is no object store")
	require.Equal(t, 3, attempts)

	attempts = 0
	err = s.try(t.Context(), "list", func(int) error { attempts++; return closed })
	require.ErrorIs(t, err, artifact.ErrTransient)
	require.Equal(t, 1+mostClosed, attempts)
}
