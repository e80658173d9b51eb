package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tempera/infra/devstack"
	"tempera/infra/devstack/daemon"
)

// workerGrace is longer than a worker gives its stages to checkpoint.
const workerGrace = 90 * time.Second

// workerSpec describes this program as a worker in the background.
func (a *app) workerSpec() (daemon.Spec, error) {
	home, err := devstack.Home(a.home)
	if err != nil {
		return daemon.Spec{}, err
	}
	s := devstack.WorkerSpec(home)
	if s.Path, err = os.Executable(); err != nil {
		return s, fmt.Errorf("find this program: %w", err)
	}
	s.Args = []string{"worker", "--home", home, "--health", "127.0.0.1:0", "--health-file", healthFile(s)}
	return s, nil
}

func healthFile(s daemon.Spec) string { return filepath.Join(s.Dir, "health") }

// startWorker makes a worker run in the background and waits until it is ready.
// One that was started from an older build is replaced.
func (a *app) startWorker(ctx context.Context) error {
	s, err := a.workerSpec()
	if err != nil {
		return err
	}
	p, err := daemon.Find(s.PidFile)
	if err != nil {
		return err
	}
	if p != nil && !newer(s.Path, p.Since) {
		a.say("worker runs already (pid %d)", p.Pid)
		return nil
	}
	if p != nil {
		a.say("replacing the worker of an older build (pid %d)", p.Pid)
		if err := p.Stop(ctx, workerGrace); err != nil {
			return err
		}
	}
	if err := os.Remove(healthFile(s)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("start the worker: %w", err)
	}
	began := time.Now()
	if p, err = daemon.Start(s); err != nil {
		return err
	}
	if err := waitReady(ctx, s, p); err != nil {
		return err
	}
	a.say("started worker in %s (pid %d)", duration(time.Since(began)), p.Pid)
	return nil
}

// newer reports whether a file was written after t.
func newer(path string, t time.Time) bool {
	info, err := os.Stat(path)
	return err == nil && info.ModTime().After(t)
}

// waitReady asks the worker's /readyz until it agrees.
func waitReady(ctx context.Context, s daemon.Spec, p *daemon.Process) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		if ready(ctx, healthFile(s)) {
			return nil
		}
		if !p.Alive() {
			return fmt.Errorf("the worker stopped while starting: see `tempera dev logs worker` (%s)", s.Log)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the worker is not ready: %w: see `tempera dev logs worker` (%s)", ctx.Err(), s.Log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func ready(ctx context.Context, file string) bool {
	address, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+strings.TrimSpace(string(address))+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// stopWorker stops the worker in the background where one runs.
func (a *app) stopWorker(ctx context.Context) error {
	s, err := a.workerSpec()
	if err != nil {
		return err
	}
	p, err := daemon.Find(s.PidFile)
	if err != nil || p == nil {
		return err
	}
	a.say("stopping the worker; running stages write a checkpoint")
	if err := p.Stop(ctx, workerGrace); err != nil {
		return err
	}
	a.say("stopped worker")
	return nil
}
