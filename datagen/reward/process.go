package reward

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// limits bound a process.
type limits struct {
	time time.Duration // most between two lines
	mib  int           // of address space
}

const (
	maxLine   = 4 << 10 // bytes of a line of a program's output
	maxErrors = 2 << 10 // bytes of its errors that are kept
)

// process is one run of a program over lines.
type process struct {
	command []string
	script  string
	limits  limits
	lines   [][]byte

	errors tail
	ended  error
}

// limited starts a program with a limit on its memory: every shell has ulimit.
const limited = `ulimit -v "$1" || exit 126; shift; exec "$@"`

// each calls yield with what the program writes to each line, in order, until it has written to all or has broken; what says how. The error means that it
// could not be started, or that ctx has ended. The process group is gone when it returns.
func (p *process) each(ctx context.Context, yield func(line string) bool) (what string, err error) {
	folder, err := os.MkdirTemp("", "reward-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	command, err := p.prepare(folder)
	if err != nil {
		return "", fmt.Errorf("%w to start: %w", ErrProgram, err)
	}
	args := append([]string{"-c", limited, "sh", strconv.Itoa(p.limits.mib << 10)}, command...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.WaitDelay = time.Second
	cmd.Dir, cmd.Env = folder, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "TMPDIR=" + folder, "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = &p.errors
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start program %s: %w", command[0], err)
	}
	go p.write(in)
	what, err = p.read(ctx, out, yield)
	// The whole group, so that what the program started goes with it. It may be gone.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	out.Close()
	p.ended = cmd.Wait()
	return what, err
}

// prepare writes the script into the folder of the run and returns what is run there.
func (p *process) prepare(folder string) ([]string, error) {
	command := p.command
	if p.script != "" {
		file := filepath.Join(folder, "judge")
		if err := os.WriteFile(file, []byte(p.script), 0o700); err != nil {
			return nil, err
		}
		command = append(slices.Clone(command), file)
	}
	_, err := exec.LookPath(command[0])
	return command, err
}

// write gives the program its lines. What it does not read is not missed.
func (p *process) write(in io.WriteCloser) {
	defer in.Close()
	for _, line := range p.lines {
		if _, err := in.Write(line); err != nil {
			return
		}
	}
}

// answer is a line of a program's output, or how the output ended.
type answer struct {
	line string
	what string
}

// read takes a line of output for each line of input.
func (p *process) read(ctx context.Context, out io.Reader, yield func(string) bool) (what string, err error) {
	answers, stop := make(chan answer), make(chan struct{})
	defer close(stop)
	go func() {
		scan := bufio.NewScanner(out)
		scan.Buffer(make([]byte, 512), maxLine)
		send := func(a answer) bool {
			select {
			case answers <- a:
				return true
			case <-stop:
				return false
			}
		}
		for scan.Scan() {
			if !send(answer{line: scan.Text()}) {
				return
			}
		}
		if errors.Is(scan.Err(), bufio.ErrTooLong) {
			send(answer{what: flooded})
			return
		}
		send(answer{what: crashed})
	}()
	timer := time.NewTimer(p.limits.time)
	defer timer.Stop()
	for range p.lines {
		timer.Reset(p.limits.time)
		select {
		case a := <-answers:
			if a.what != "" {
				return a.what, nil
			}
			if !yield(a.line) {
				return "", nil
			}
		case <-timer.C:
			return hung, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return "", nil
}

// why says how the process ended, for people.
func (p *process) why() string {
	said := "it said nothing"
	if text := strings.TrimSpace(p.errors.String()); text != "" {
		lines := strings.Split(text, "\n")
		said = cut(lines[len(lines)-1])
	}
	return fmt.Sprintf("%s (%v)", said, p.ended)
}

// tail keeps the end of what is written to it.
type tail struct{ b bytes.Buffer }

func (t *tail) Write(data []byte) (int, error) {
	t.b.Write(data)
	if over := t.b.Len() - maxErrors; over > 0 {
		t.b.Next(over)
	}
	return len(data), nil
}

func (t *tail) String() string { return t.b.String() }
