//go:build integration

package minio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	s3 "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/minio"
	"tempera/infra/artifact/storetest"
	"tempera/infra/devstack/stacktest"
)

func options(s *stacktest.S3, bucket string) minio.Options {
	return minio.Options{
		Endpoint: "http://" + s.Endpoint, AccessKey: s.AccessKey, SecretKey: s.SecretKey, Bucket: bucket,
		Retry: minio.Retry{First: 20 * time.Millisecond, Max: 500 * time.Millisecond},
	}
}

func open(t *testing.T, o minio.Options) *minio.Store {
	t.Helper()
	s, err := minio.New(o)
	require.NoError(t, err)
	require.NoError(t, s.EnsureBucket(t.Context()))
	return s
}

func TestStore(t *testing.T) {
	server := stacktest.MinIO(t)
	var n atomic.Int64
	storetest.Run(t, storetest.Suite{
		Open: func(t *testing.T) artifact.Store {
			return open(t, options(server, fmt.Sprintf("suite-%d", n.Add(1))))
		},
		Corrupt: func(t *testing.T, s artifact.Store, d artifact.Digest, data []byte) {
			require.NoError(t, s.Write(t.Context(), artifact.BlobName(d), bytes.NewReader(data), -1))
		},
		HeapLimit: 24 << 20,
	})
}

func TestErrorsSayWhatToDo(t *testing.T) {
	server := stacktest.MinIO(t)
	good := options(server, "errors")
	open(t, good)
	require.NoError(t, check(t, good))
	readOnly := temporary(t, good, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::*"]}]}`)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for _, c := range []struct {
		name   string
		change func(o *minio.Options)
		class  error
		says   []string
	}{
		{"a wrong secret names both variables", func(o *minio.Options) { o.SecretKey = "wrongwrong" }, artifact.ErrCredentials, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", server.Endpoint}},
		{"an unknown key names both variables", func(o *minio.Options) { o.AccessKey = "nobody" }, artifact.ErrCredentials, []string{"AWS_ACCESS_KEY_ID"}},
		{"a missing bucket is named", func(o *minio.Options) { o.Bucket = "absent" }, artifact.ErrNoBucket, []string{"bucket absent", "S3_BUCKET"}},
		{"a bucket that may only be read names the policy", func(o *minio.Options) { *o = readOnly }, artifact.ErrPermission, []string{"s3:PutObject"}},
		{"a closed port names the endpoint", func(o *minio.Options) { o.Endpoint = "http://" + closed.Addr().String() }, artifact.ErrTransient, []string{closed.Addr().String(), "S3_ENDPOINT", "connection refused"}},
		{"https to a server without encryption says so", func(o *minio.Options) { o.Endpoint = "https://" + server.Endpoint }, nil, []string{"write http:// in S3_ENDPOINT"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := good
			c.change(&o)
			start := time.Now()
			err := check(t, o)
			require.Error(t, err)
			require.Less(t, time.Since(start), 5*time.Second)
			require.NotContains(t, err.Error(), "\n")
			if c.class != nil {
				require.ErrorIs(t, err, c.class)
			}
			for _, part := range c.says {
				require.ErrorContains(t, err, part)
			}
			t.Log(err)
		})
	}
	t.Run("a put without permission fails at once and for good", func(t *testing.T) {
		s, err := minio.New(readOnly)
		require.NoError(t, err)
		start := time.Now()
		_, err = artifact.PutBytes(t.Context(), s, []byte("x"))
		require.ErrorIs(t, err, artifact.ErrPermission)
		require.True(t, artifact.Permanent(err))
		require.Less(t, time.Since(start), 2*time.Second)
	})
}

func check(t *testing.T, o minio.Options) error {
	t.Helper()
	_, err := minio.Open(t.Context(), o)
	return err
}

// temporary returns options with a session's credentials under a policy.
func temporary(t *testing.T, o minio.Options, policy string) minio.Options {
	t.Helper()
	c, err := credentials.NewSTSAssumeRole(o.Endpoint, credentials.STSAssumeRoleOptions{
		AccessKey: o.AccessKey, SecretKey: o.SecretKey, Policy: policy, DurationSeconds: 900,
	})
	require.NoError(t, err)
	v, err := c.GetWithContext(nil)
	require.NoError(t, err)
	o.AccessKey, o.SecretKey, o.SessionToken = v.AccessKeyID, v.SecretAccessKey, v.SessionToken
	return o
}

func TestADamagedObjectIsToldFromAStoreThatIsAway(t *testing.T) {
	server := stacktest.MinIO(t)
	s := open(t, options(server, "damaged"))
	for name, size := range map[string]int{"inline": 1 << 10, "in a part": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			ref, err := artifact.PutBytes(t.Context(), s, bytes.Repeat([]byte{'x'}, size))
			require.NoError(t, err)
			damaged := 0
			require.NoError(t, filepath.WalkDir(server.Dir(), func(path string, d fs.DirEntry, err error) error {
				if err != nil || !strings.Contains(path, ref.Digest.Hex()) || d.IsDir() || size > 1<<17 && d.Name() == "xl.meta" {
					return err
				}
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				data[len(data)-64] ^= 0xff
				damaged++
				return os.WriteFile(path, data, 0o644)
			}))
			require.Equal(t, 1, damaged)
			began := time.Now()
			_, err = s.Open(t.Context(), ref.Digest)
			require.ErrorIs(t, err, artifact.ErrDigest)
			require.ErrorContains(t, err, ref.Digest.Hex())
			require.ErrorContains(t, err, "damaged")
			require.Less(t, time.Since(began), 10*time.Second)
		})
	}
}

func TestRetriesAreBounded(t *testing.T) {
	server := stacktest.MinIO(t)
	o := options(server, "bounded")
	o.Retry.Total = time.Second
	s := open(t, o)
	server.Kill()
	start := time.Now()
	_, err := artifact.PutBytes(t.Context(), s, []byte("x"))
	require.ErrorIs(t, err, artifact.ErrTransient)
	require.False(t, artifact.Permanent(err))
	require.InDelta(t, 1, time.Since(start).Seconds(), 0.9)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = artifact.PutBytes(ctx, s, []byte("x"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// Writers put large and small blobs and create names while the server is
// killed three times; every call succeeds, and every object is whole.
func TestServerKilledDuringPuts(t *testing.T) {
	server := stacktest.MinIO(t)
	o := options(server, "killed")
	o.Retry.Total = 2 * time.Minute
	o.PartSize = 5 << 20
	s := open(t, o)
	const writers = 6
	var wg sync.WaitGroup
	var done atomic.Bool
	var calls, resumed atomic.Int64
	faults := make(chan error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := 0; !done.Load(); i++ {
				if err := writeAndReadBack(t.Context(), s, w*1_000_000+i); err != nil {
					faults <- err
					return
				}
				calls.Add(1)
			}
		})
	}
	for range 3 {
		time.Sleep(700 * time.Millisecond)
		before := calls.Load()
		server.Kill()
		time.Sleep(300 * time.Millisecond)
		server.Restart()
		for deadline := time.Now().Add(time.Minute); calls.Load() < before+writers && time.Now().Before(deadline) && len(faults) == 0; {
			time.Sleep(20 * time.Millisecond)
		}
		resumed.Add(calls.Load() - before)
	}
	done.Store(true)
	wg.Wait()
	close(faults)
	for err := range faults {
		require.NoError(t, err)
	}
	require.GreaterOrEqual(t, resumed.Load(), int64(3*writers))
	blobs := 0
	for n, err := range s.List(t.Context(), "cas/") {
		require.NoError(t, err)
		d, ok := artifact.BlobDigest(n.Name)
		require.True(t, ok, n.Name)
		_, err = artifact.ReadAll(t.Context(), s, d, 1<<30)
		require.NoError(t, err)
		blobs++
	}
	t.Logf("%d rounds, %d blobs, all whole", calls.Load(), blobs)
}

func writeAndReadBack(ctx context.Context, s artifact.Store, i int) error {
	size := 1000
	if i%4 == 0 {
		size = 12 << 20 // three parts
	}
	data := storetest.Bytes(uint64(i), size)
	ref, err := s.Put(ctx, io.MultiReader(bytes.NewReader(data))) // cannot seek
	if err != nil {
		return err
	}
	name := fmt.Sprintf("stages/%d.json", i)
	if err := s.Create(ctx, name, []byte(ref.Digest)); err != nil {
		return err // ErrExists too: nobody else creates this name
	}
	if err := s.Create(ctx, name, nil); !errors.Is(err, artifact.ErrExists) {
		return fmt.Errorf("second create: %w", err)
	}
	got, err := artifact.ReadAll(ctx, s, ref.Digest, 1<<30)
	if err == nil && !bytes.Equal(got, data) {
		err = errors.New("other bytes")
	}
	return err
}

func TestReadGoesOnAfterTheServerIsKilled(t *testing.T) {
	server := stacktest.MinIO(t)
	s := open(t, options(server, "reading"))
	data := storetest.Bytes(1, 48<<20)
	ref, err := artifact.PutBytes(t.Context(), s, data)
	require.NoError(t, err)
	r, err := s.Open(t.Context(), ref.Digest)
	require.NoError(t, err)
	head := make([]byte, 1<<20)
	_, err = io.ReadFull(r, head)
	require.NoError(t, err)
	server.Kill()
	server.Restart()
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, append(head, rest...)))
	require.NoError(t, r.Close())
}

func TestConsoleSeesContentTypes(t *testing.T) {
	server := stacktest.MinIO(t)
	s := open(t, options(server, "types"))
	c, err := s3.New(server.Endpoint, &s3.Options{Creds: credentials.NewStaticV4(server.AccessKey, server.SecretKey, "")})
	require.NoError(t, err)
	ref, err := artifact.PutBytes(t.Context(), s, []byte("<p>"))
	require.NoError(t, err)
	require.NoError(t, s.Link(t.Context(), "runs/p/r/report.html", ref.Digest))
	require.NoError(t, s.Write(t.Context(), "runs/p/r/metrics.jsonl", strings.NewReader("{}"), 2))
	for name, want := range map[string]string{
		artifact.BlobName(ref.Digest): "application/octet-stream",
		"runs/p/r/report.html":        "text/html; charset=utf-8",
		"runs/p/r/metrics.jsonl":      "text/plain; charset=utf-8",
	} {
		info, err := c.StatObject(t.Context(), "types", name, s3.StatObjectOptions{Checksum: true})
		require.NoError(t, err)
		require.Equal(t, want, info.ContentType, name)
		require.NotEmpty(t, info.ChecksumSHA256, name)
	}
}

// lostAnswer lets the server do its part and then drops the answer of the
// first n conditional writes.
type lostAnswer struct {
	http.RoundTripper
	n atomic.Int64
}

func (l *lostAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil && r.Method == http.MethodPut && r.Header.Get("If-None-Match")+r.Header.Get("If-Match") != "" && l.n.Add(-1) >= 0 {
		return nil, errors.Join(io.ErrUnexpectedEOF, resp.Body.Close())
	}
	return resp, err
}

func TestAWriterWhoseAnswerWasLostKnowsItsOwnObject(t *testing.T) {
	server := stacktest.MinIO(t)
	l := &lostAnswer{RoundTripper: http.DefaultTransport}
	o := options(server, "lost")
	o.Transport = l
	s := open(t, o)
	l.n.Store(2)
	require.NoError(t, s.Create(t.Context(), "a.json", []byte("1")))
	require.Negative(t, l.n.Load(), "answers were lost")
	at, err := artifact.ReadJSON(t.Context(), s, "a.json", new(int))
	require.NoError(t, err)
	l.n.Store(1)
	require.NoError(t, s.Swap(t.Context(), "a.json", []byte("2"), at.ETag))
	l.n.Store(1)
	require.ErrorIs(t, s.Create(t.Context(), "a.json", []byte("2")), artifact.ErrExists)
	l.n.Store(1)
	_, err = artifact.PutBytes(t.Context(), s, []byte("blob"))
	require.NoError(t, err)
}
