// Package daemon starts a program in the background, finds it again later from
// another process, and stops it.
//
// What is remembered is a pid file: the process id with the time the process
// started, so that a recycled id is never taken for the program.
package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Spec is a program to run in the background.
type Spec struct {
	Name    string   // for messages
	Path    string   // of the binary
	Args    []string // without the program's name
	Env     []string // added to this process's environment
	Dir     string   // working directory; created where missing
	Log     string   // file that standard output and error are appended to
	PidFile string
	// Parent ties the program's life to ours or not.
	Parent Parent
}

// Parent says what happens to a program when the process that started it dies.
type Parent int

const (
	// Outlives is a session of its own: the program goes on.
	Outlives Parent = iota
	// DiesWith kills the program on Linux; elsewhere it goes on.
	DiesWith
)

// Process is a program in the background.
type Process struct {
	Pid     int       `json:"pid"`
	Started string    `json:"started"` // as the operating system tells it; names the process together with Pid
	Since   time.Time `json:"since"`
	Path    string    `json:"path"`

	pidFile string
	done    chan struct{} // closed at exit; nil where this process is not the parent
}

// Start runs the program and writes its pid file.
func Start(s Spec) (*Process, error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	defer log.Close() // the program has its own descriptor
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Dir, log, log
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.SysProcAttr = attributes(s.Parent)

	p := &Process{Path: s.Path, Since: time.Now().Round(time.Second), pidFile: s.PidFile, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ties "dies with its parent" to the thread that forked, so
		// that thread must live as long as the program.
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		_ = cmd.Wait() // the state is of no interest, only that it ended
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	p.Pid = cmd.Process.Pid
	if p.Started, err = startTime(p.Pid); err != nil {
		return nil, fmt.Errorf("start %s: it ended at once, see %s", s.Name, s.Log)
	}
	if err := p.write(); err != nil {
		_ = p.Kill()
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	return p, nil
}

func (p *Process) write() error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	fresh := p.pidFile + ".new"
	if err := os.WriteFile(fresh, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, p.pidFile)
}

// Find returns the program that a pid file names, or nil where it does not run.
func Find(pidFile string) (*Process, error) {
	data, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	p := &Process{pidFile: pidFile}
	if err := json.Unmarshal(data, p); err != nil || p.Pid <= 1 {
		return nil, nil // torn by a full disk: whatever it named is not known any more
	}
	if !p.Alive() {
		return nil, nil
	}
	return p, nil
}

// Alive reports whether the program still runs.
func (p *Process) Alive() bool {
	if p.done != nil {
		select {
		case <-p.done:
			return false
		default:
			return true
		}
	}
	started, err := startTime(p.Pid)
	return err == nil && started == p.Started
}

// Kill ends the program with SIGKILL and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	return p.wait(context.Background(), 30*time.Second)
}

// Stop asks the program to end, and kills it after grace.
func (p *Process) Stop(ctx context.Context, grace time.Duration) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.wait(ctx, grace); err != nil {
		if err := p.Kill(); err != nil {
			return err
		}
	}
	if err := os.Remove(p.pidFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove pid file: %w", err)
	}
	return nil
}

func (p *Process) signal(s syscall.Signal) error {
	if !p.Alive() {
		return nil
	}
	if err := syscall.Kill(p.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s to %s (pid %d): %w", s, filepath.Base(p.Path), p.Pid, err)
	}
	return nil
}

func (p *Process) wait(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for p.Alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s (pid %d) does not end: %w", filepath.Base(p.Path), p.Pid, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
