package serverbuild

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Progress is the state of a build.
type Progress struct {
	Server   Server
	Elapsed  time.Duration
	Packages int // compiled so far
	Modules  int // downloaded so far
	Done     bool
}

// String is one line for people.
func (p Progress) String() string {
	elapsed := p.Elapsed.Round(time.Second)
	if p.Done {
		return fmt.Sprintf("built %s in %s", p.Server.Title, elapsed)
	}
	return fmt.Sprintf("building %s (once; %d modules fetched, %d packages compiled): %s", p.Server.Title, p.Modules, p.Packages, elapsed)
}

// room is the free space that a build needs at least where the binary goes; the
// compiler's own cache takes about 3 GiB more where that lies.
const room = 1 << 30

type build struct {
	server    Server
	options   Options
	folder    string // of the binaries
	module    string
	prefix    string // of the binary's path, up to the toolchain
	target    string
	goCommand string // "" where Go is not installed
}

// prepare finds out what the current binary would be called.
func prepare(ctx context.Context, s Server, o Options) (*build, error) {
	source := o.Source
	if source == "" {
		var err error
		if source, err = FindSource(); err != nil {
			return nil, err
		}
	}
	cache := o.Cache
	if cache == "" {
		var err error
		if cache, err = DefaultCache(); err != nil {
			return nil, err
		}
	}
	b := &build{server: s, options: o, folder: filepath.Join(cache, "servers"), module: filepath.Join(source, s.Module)}
	digest, err := b.digest()
	if err != nil {
		return nil, fmt.Errorf("sources of %s: %w", s.Name, err)
	}
	b.prefix = filepath.Join(b.folder, s.Name+"-"+digest+"-")
	if b.goCommand, err = exec.LookPath("go"); err != nil {
		b.goCommand = ""
		return b, nil
	}
	cmd := exec.CommandContext(ctx, b.goCommand, "env", "GOVERSION", "GOOS", "GOARCH")
	cmd.Dir, cmd.Env = b.module, environment()
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w%s", err, stderrOf(err))
	}
	b.target = b.prefix + strings.Join(strings.Fields(string(out)), "-")
	return b, nil
}

// digest covers the module's files and how they are built.
func (b *build) digest() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", b.server.Package, b.server.Linker)
	files, err := filepath.Glob(filepath.Join(b.module, "*.go"))
	if err != nil {
		return "", err
	}
	files = append(files, filepath.Join(b.module, "go.mod"), filepath.Join(b.module, "go.sum"))
	slices.Sort(files)
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", filepath.Base(path), len(data))
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// build compiles into a file of another name, which is renamed when whole.
func (b *build) build(ctx context.Context) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(b.folder, &fs); err == nil && fs.Bavail*uint64(fs.Bsize) < room {
		return fmt.Errorf("%w: %s has %d MiB left and building %s needs %d: free some, or set TEMPERA_CACHE to another disk",
			ErrDiskFull, b.folder, fs.Bavail*uint64(fs.Bsize)>>20, b.server.Name, room>>20)
	}
	logPath := filepath.Join(b.folder, b.server.Name+".log")
	log, err := os.Create(logPath)
	if err != nil {
		return fmt.Errorf("build %s: %w", b.server.Name, err)
	}
	fresh := b.target + ".new"
	cmd := exec.CommandContext(ctx, b.goCommand, "build", "-v", "-buildvcs=false", "-o", fresh, "-ldflags", b.server.Linker, b.server.Package)
	cmd.Dir, cmd.Env = b.module, environment()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	pr, pw := io.Pipe()
	cmd.Stdout, cmd.Stderr = pw, pw
	w := watch{began: time.Now()}
	scanned := make(chan error, 1)
	go func() { scanned <- w.scan(pr, log) }()
	stopTicks := b.tick(&w)
	runErr := cmd.Run()
	stopTicks()
	scanErr := errors.Join(pw.Close(), <-scanned, log.Close())
	if ctx.Err() != nil {
		return fmt.Errorf("build of %s was interrupted; started again it goes on where it was", b.server.Name)
	}
	if runErr != nil {
		return w.fault(b.server, logPath, errors.Join(runErr, scanErr))
	}
	if err := os.Rename(fresh, b.target); err != nil {
		return fmt.Errorf("build %s: %w", b.server.Name, err)
	}
	if b.options.Progress != nil {
		p := w.progress(b.server)
		p.Done = true
		b.options.Progress(p)
	}
	return nil
}

// tick reports the progress every second until the returned function is called.
func (b *build) tick(w *watch) func() {
	if b.options.Progress == nil {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			b.options.Progress(w.progress(b.server))
			select {
			case <-stop:
				return
			case <-t.C:
			}
		}
	}()
	return func() { close(stop); <-stopped }
}

// watch reads what the go command prints.
type watch struct {
	began    time.Time
	packages atomic.Int64
	modules  atomic.Int64
	trouble  atomic.Pointer[string] // the first line that looks like an error
}

func (w *watch) scan(r io.Reader, log io.Writer) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	var logErr error
	for lines.Scan() {
		line := lines.Text()
		if _, err := fmt.Fprintln(log, line); err != nil {
			logErr = err // a full disk must not stop the reading
		}
		switch {
		case strings.HasPrefix(line, "go: downloading "):
			w.modules.Add(1)
		case strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "":
		case strings.ContainsAny(line, " :"):
			if w.trouble.Load() == nil || strings.Contains(line, "no space left") {
				w.trouble.Store(&line)
			}
		default:
			w.packages.Add(1)
		}
	}
	if err := lines.Err(); err != nil {
		_, _ = io.Copy(io.Discard, r) // the writer must not block
		return err
	}
	return logErr
}

func (w *watch) progress(s Server) Progress {
	return Progress{Server: s, Elapsed: time.Since(w.began), Packages: int(w.packages.Load()), Modules: int(w.modules.Load())}
}

// fault makes one line of a build that failed.
func (w *watch) fault(s Server, log string, err error) error {
	line := err.Error()
	if t := w.trouble.Load(); t != nil {
		line = *t
	}
	if strings.Contains(line, "no space left on device") || errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w while building %s: it needs about 4 GiB in the Go caches (go env GOCACHE GOMODCACHE): free some and start again", ErrDiskFull, s.Name)
	}
	return fmt.Errorf("build of %s failed: %s (the whole output: %s)", s.Name, line, log)
}

// lock takes an exclusive lock that other processes respect and a crash frees.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing frees the lock; nothing was written
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return ": " + strings.ReplaceAll(strings.TrimSpace(string(exit.Stderr)), "\n", "; ")
	}
	return ""
}
