// Package stacktest gives integration tests real servers: a Temporal and a
// MinIO of their own on free ports, with data in the test's temporary folder.
//
// The servers are built once into the cache. They can be killed with SIGKILL
// and started again on the same data and ports; the test's end stops them, and
// so does the death of the test's process on Linux.
package stacktest

import (
	"context"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"tempera/infra/artifact/minio"
	"tempera/infra/devstack"
	"tempera/infra/devstack/daemon"
	"tempera/infra/devstack/serverbuild"
	"tempera/infra/temporalx"
)

const ip = "127.0.0.1"

// buildLimit bounds a build from cold caches on a slow machine.
const buildLimit = 30 * time.Minute

// server is one running server of a test.
type server struct {
	t       testing.TB
	desc    devstack.Server
	process *daemon.Process
}

// Kill ends the server with SIGKILL. Killing a dead one does nothing.
func (s *server) Kill() {
	s.t.Helper()
	if s.process == nil {
		return
	}
	if err := s.process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.process = nil
}

// Restart starts the server again on the same data and ports, after killing it
// where it still runs, and waits until it answers.
func (s *server) Restart() {
	s.t.Helper()
	s.Kill()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	p, err := s.desc.Start(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	s.process = p
}

// Dir returns the folder of the server's data and log.
func (s *server) Dir() string { return s.desc.Spec.Dir }

// Pid returns the id of the server's process, 0 where it is dead.
func (s *server) Pid() int {
	if s.process == nil {
		return 0
	}
	return s.process.Pid
}

func start(t testing.TB, desc devstack.Server) server {
	t.Helper()
	s := server{t: t, desc: desc}
	s.Restart()
	return s
}

// stopAtEnd kills the server when the test ends, and shows the end of its log
// where the test failed.
func (s *server) stopAtEnd() {
	s.t.Cleanup(func() {
		s.Kill()
		if !s.t.Failed() {
			return
		}
		if log, err := os.ReadFile(s.desc.Spec.Log); err == nil {
			s.t.Logf("end of %s:\n%s", s.desc.Spec.Log, log[max(0, len(log)-2000):])
		}
	})
}

func binary(t testing.TB, s serverbuild.Server) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), buildLimit)
	defer cancel()
	last := time.Now()
	path, err := serverbuild.Ensure(ctx, s, serverbuild.Options{Progress: func(p serverbuild.Progress) {
		if p.Done || time.Since(last) > 30*time.Second {
			last = time.Now()
			t.Log(p)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func freePorts(t testing.TB) (int, int) {
	t.Helper()
	ports, err := daemon.FreePorts(ip, 2)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0], ports[1]
}

// S3 is a MinIO of a test, with its bucket.
type S3 struct {
	server
	Endpoint  string // host:port, without encryption
	Console   string // URL
	AccessKey string
	SecretKey string
	Bucket    string
}

// MinIO starts a MinIO with an empty bucket.
func MinIO(t testing.TB) *S3 {
	t.Helper()
	port, console := freePorts(t)
	s := &S3{
		Endpoint: net.JoinHostPort(ip, strconv.Itoa(port)), Console: "http://" + net.JoinHostPort(ip, strconv.Itoa(console)),
		AccessKey: "tempera", SecretKey: rand.Text(), Bucket: devstack.DefaultBucket,
	}
	s.server = start(t, devstack.MinIOServer(devstack.MinIOConfig{
		Binary: binary(t, serverbuild.MinIO()), Dir: filepath.Join(t.TempDir(), "minio"), Parent: daemon.DiesWith,
		IP: ip, Port: port, ConsolePort: console, User: s.AccessKey, Password: s.SecretKey,
	}))
	s.stopAtEnd()
	store, err := minio.New(s.Config().Options())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.EnsureBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// Config returns the server as the CLI and the worker describe it.
func (s *S3) Config() devstack.S3 {
	return devstack.S3{
		Endpoint: "http://" + s.Endpoint, Region: "us-east-1", Bucket: s.Bucket,
		AccessKey: s.AccessKey, SecretKey: s.SecretKey, Console: s.Console, Embedded: true,
	}
}

// TemporalServer is a Temporal of a test, with Tempera's search attributes in
// the namespace "default".
type TemporalServer struct {
	server
	Address string // host:port of the frontend
	UI      string // URL
}

// Temporal starts a Temporal server.
func Temporal(t testing.TB) *TemporalServer {
	t.Helper()
	port, ui := freePorts(t)
	s := &TemporalServer{
		Address: net.JoinHostPort(ip, strconv.Itoa(port)),
		UI:      "http://" + net.JoinHostPort(ip, strconv.Itoa(ui)),
	}
	s.server = start(t, devstack.TemporalServer(devstack.TemporalConfig{
		Binary: binary(t, serverbuild.Temporal()), Dir: filepath.Join(t.TempDir(), "temporal"), Parent: daemon.DiesWith,
		IP: ip, Port: port, UIPort: ui,
	}))
	s.stopAtEnd()
	if err := temporalx.VerifySearchAttributes(t.Context(), s.Client(), temporalx.DefaultNamespace); err != nil {
		t.Fatal(err)
	}
	return s
}

// Config returns the server as the CLI and the worker describe it.
func (s *TemporalServer) Config() devstack.Temporal {
	return devstack.Temporal{Address: s.Address, Namespace: temporalx.DefaultNamespace, UI: s.UI, Embedded: true}
}

// Client connects to the server; the test's end closes the connection.
func (s *TemporalServer) Client() client.Client {
	s.t.Helper()
	c, err := temporalx.Dial(context.Background(), s.Config().Options())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}
