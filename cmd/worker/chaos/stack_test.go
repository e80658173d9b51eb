//go:build chaos || integration

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"tempera/infra/artifact"
	"tempera/infra/devstack/stacktest"
	"tempera/infra/temporalx"
	"tempera/workflows"
)

// What can be killed.
const (
	partWorker   = "worker"
	partTemporal = "temporal"
	partMinIO    = "minio"
)

// stack is a Temporal, a MinIO and a worker of their own, each of which can be
// killed and started again.
type stack struct {
	t        *testing.T
	temporal *stacktest.TemporalServer
	minio    *stacktest.S3
	client   client.Client
	binary   string
	home     string
	worker   *exec.Cmd
	started  []time.Time // of the worker's processes
}

func newStack(t *testing.T, binary string) *stack {
	t.Helper()
	s := newServers(t, binary)
	s.startWorker()
	t.Cleanup(s.killWorker)
	return s
}

// newServers is a stack without a worker.
func newServers(t *testing.T, binary string) *stack {
	t.Helper()
	s := &stack{t: t, temporal: stacktest.Temporal(t), minio: stacktest.MinIO(t), binary: binary, home: t.TempDir()}
	s.client = s.temporal.Client()
	return s
}

// buildWorker builds the worker as it is deployed.
func buildWorker(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker")
	out, err := exec.Command("go", "build", "-o", path, "tempera/cmd/worker").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

func (s *stack) startWorker() {
	s.t.Helper()
	s.started = append(s.started, time.Now())
	s.worker = s.spawn("--slots", "2")
}

// spawn starts one more worker, with further flags. Its log is in the home
// folder; it dies with the test.
func (s *stack) spawn(flags ...string) *exec.Cmd {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.home, "worker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	require.NoError(s.t, err)
	worker := exec.Command(s.binary, append([]string{"--home", s.home, "--health", "", "--log-format", "json", "--log-level", "debug"}, flags...)...)
	worker.Stdout, worker.Stderr = log, log
	worker.Env = append(os.Environ(),
		"TEMPORAL_ADDRESS="+s.temporal.Address, "S3_ENDPOINT=http://"+s.minio.Endpoint, "S3_BUCKET="+s.minio.Bucket,
		"AWS_ACCESS_KEY_ID="+s.minio.AccessKey, "AWS_SECRET_ACCESS_KEY="+s.minio.SecretKey)
	worker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(s.t, s.startBound(worker))
	require.NoError(s.t, log.Close())
	return worker
}

// startBound starts a worker from a thread that lives as long as the test: the
// system kills a process with Pdeathsig when the thread that started it ends.
func (s *stack) startBound(worker *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- worker.Start()
		<-s.t.Context().Done()
	}()
	return <-started
}

func (s *stack) killWorker() {
	if s.worker == nil {
		return
	}
	_ = s.worker.Process.Kill()
	_ = s.worker.Wait()
	s.worker = nil
}

// kill kills a part with SIGKILL, starts it again after a while, and returns
// when that was. Servers answer when it returns.
func (s *stack) kill(part string, down time.Duration) (restart time.Time) {
	s.t.Helper()
	stop, start := s.killWorker, s.startWorker
	switch part {
	case partTemporal:
		stop, start = s.temporal.Kill, s.temporal.Restart
	case partMinIO:
		stop, start = s.minio.Kill, s.minio.Restart
	}
	stop()
	time.Sleep(down)
	restart = time.Now()
	start()
	return restart
}

// start begins a run.
func (s *stack) start(ctx context.Context, id, workflow string, params json.RawMessage) client.WorkflowRun {
	s.t.Helper()
	run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: temporalx.WorkflowQueue}, workflow, params)
	require.NoError(s.t, err)
	return run
}

// outcome waits for a run to succeed.
func (s *stack) outcome(ctx context.Context, run client.WorkflowRun) (out workflows.Outcome) {
	s.t.Helper()
	require.NoError(s.t, run.Get(ctx, &out))
	return out
}

// digests waits for a run and returns the digest of every output but reports,
// which tell how long the stages took.
func (s *stack) digests(ctx context.Context, run client.WorkflowRun) map[string]artifact.Digest {
	s.t.Helper()
	all := map[string]artifact.Digest{}
	for id, res := range s.outcome(ctx, run).Stages {
		for port, a := range res.Outputs {
			if a.Type == artifact.TypeReport {
				continue
			}
			all[fmt.Sprintf("%s.%s (%s)", id, port, a.Type)] = a.Digest
		}
	}
	require.NotEmpty(s.t, all)
	return all
}
