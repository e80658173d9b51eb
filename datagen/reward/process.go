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
	time time.Duration // most for one answer
	mib  int           // of address space
}

const (
	maxLine   = 4 << 10  // bytes of a line of a program's output
	maxTalk   = 64 << 10 // bytes that it may write before it answers
	maxErrors = 2 << 10  // bytes of its errors that are kept
)

// process is a program at work. It belongs to one goroutine.
type process struct {
	limits limits
	cmd    *exec.Cmd
	folder string // in which it runs, and which goes with it
	out    io.Closer

	questions chan []byte   // to the goroutine that writes
	deaf      chan struct{} // closed when the program takes no more
	lines     chan outLine  // from the goroutine that reads
	done      chan struct{} // closed when nobody reads lines

	errors tail
	ended  error
}

// outLine is a line of a program's output, or how the output ended.
type outLine struct{ text, what string }

// limited starts a program with a limit on its memory: every shell has ulimit.
const limited = `ulimit -v "$1" || exit 126; shift; exec "$@"`

// start runs a command in a folder of its own, with a script as its last argument, or a script alone. PYTHONUNBUFFERED spares Python's programs the
// flushing.
func start(command []string, script string, l limits) (p *process, err error) {
	folder, err := os.MkdirTemp("", "reward-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}()
	if command, err = prepare(folder, command, script); err != nil {
		return nil, fmt.Errorf("%w to start: %w", ErrProgram, err)
	}
	args := append([]string{"-c", limited, "sh", strconv.Itoa(l.mib << 10)}, command...)
	p = &process{limits: l, folder: folder, questions: make(chan []byte), deaf: make(chan struct{}), lines: make(chan outLine), done: make(chan struct{})}
	p.cmd = exec.Command("/bin/sh", args...)
	p.cmd.WaitDelay = time.Second
	p.cmd.Dir = folder
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "TMPDIR=" + folder, "LC_ALL=C.UTF-8", "PYTHONUNBUFFERED=1"}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stderr = &p.errors
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w to start %s: %w", ErrProgram, command[0], err)
	}
	p.out = out
	go p.write(in)
	go p.read(out)
	return p, nil
}

// prepare writes the script into the folder of the run and returns what is run there.
func prepare(folder string, command []string, script string) ([]string, error) {
	if script != "" {
		file := filepath.Join(folder, "judge")
		if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
			return nil, err
		}
		command = append(slices.Clone(command), file)
	}
	_, err := exec.LookPath(command[0])
	return command, err
}

// write gives the program its questions.
func (p *process) write(in io.WriteCloser) {
	defer close(p.deaf)
	defer in.Close()
	for {
		select {
		case line := <-p.questions:
			if _, err := in.Write(line); err != nil {
				return
			}
		case <-p.done:
			return
		}
	}
}

// read hands on what the program writes.
func (p *process) read(out io.Reader) {
	scan := bufio.NewScanner(out)
	scan.Buffer(make([]byte, 512), maxLine)
	send := func(l outLine) bool {
		select {
		case p.lines <- l:
			return true
		case <-p.done:
			return false
		}
	}
	for scan.Scan() {
		if !send(outLine{text: scan.Text()}) {
			return
		}
	}
	what := crashed
	if errors.Is(scan.Err(), bufio.ErrTooLong) {
		what = flooded
	}
	send(outLine{what: what})
}

// ask gives the program a question and lets answers hear each line that it writes until one is the answer. What says how it broke instead: then it must be
// ended. The error is that of ctx.
func (p *process) ask(ctx context.Context, question []byte, answers func(line string) bool) (what string, err error) {
	timer := time.NewTimer(p.limits.time)
	defer timer.Stop()
	select {
	case p.questions <- question:
	case <-p.deaf: // what it wrote before that is still to be read
	case <-timer.C:
		return hung, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
	for talk := 0; talk <= maxTalk; {
		select {
		case l := <-p.lines:
			if l.what != "" || answers(l.text) {
				return l.what, nil
			}
			talk += len(l.text) + 1
		case <-timer.C:
			return hung, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return flooded, nil
}

// end kills what runs, and whatever it has started.
func (p *process) end() error {
	close(p.done)
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // the group may be gone
	p.out.Close()
	p.ended = p.cmd.Wait()
	return os.RemoveAll(p.folder)
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
