// Package devstack runs the embedded servers: a Temporal with its web UI and a
// MinIO with its console, in the background, with their data in one folder.
//
// Up builds what is missing, starts what does not run and waits until all of it
// answers; doing it again changes nothing. The servers outlive the process that
// started them, and whatever kills them, the next Up goes on with the same data.
// Servers that the environment names (TEMPORAL_ADDRESS, S3_ENDPOINT) are used
// instead of embedded ones.
//
// Start reading at Up; serverbuild builds, daemon starts and finds processes.
package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"tempera/infra/artifact/minio"
	"tempera/infra/devstack/daemon"
	"tempera/infra/devstack/serverbuild"
	"tempera/infra/temporalx"
)

// Errors that callers branch on.
var (
	ErrPortTaken = errors.New("port taken")
	ErrDiskFull  = serverbuild.ErrDiskFull
	ErrNoServer  = errors.New("there is no server")
	ErrBusy      = errors.New("another `tempera dev` command is at work on this data folder")
)

// ip is where the embedded servers listen: this machine only, for they have no
// encryption.
const ip = "127.0.0.1"

// room is the free space below which Up does not start anything.
const room = 512 << 20

// Options of Up.
type Options struct {
	Home  string // see Home
	Ports Ports
	Build serverbuild.Options
	// Say is told every step in one line; nil drops them.
	Say func(line string)
}

func (o Options) say(format string, args ...any) {
	if o.Say != nil {
		o.Say(fmt.Sprintf(format, args...))
	}
}

// Up makes the stack run and returns where it is.
func Up(ctx context.Context, o Options) (Endpoints, error) {
	home, err := Home(o.Home)
	if err != nil {
		return Endpoints{}, err
	}
	o.Home = home
	if err := os.MkdirAll(home, 0o700); err != nil {
		return Endpoints{}, fmt.Errorf("data folder: %w: set TEMPERA_HOME to another", err)
	}
	unlock, err := lock(home)
	if err != nil {
		return Endpoints{}, err
	}
	defer unlock()
	if err := checkRoom(home); err != nil {
		return Endpoints{}, err
	}
	last, err := readPorts(home)
	if err != nil {
		return Endpoints{}, err
	}
	if o.Ports, err = o.Ports.resolve(last); err != nil {
		return Endpoints{}, err
	}
	if _, err := ensureCredentials(home); err != nil {
		return Endpoints{}, fmt.Errorf("keep MinIO's credentials: %w", err)
	}
	e, err := resolve(home, o.Ports)
	if err != nil {
		return e, err
	}
	if err := o.startAll(ctx, e, last); err != nil {
		return e, err
	}
	return e, Prepare(ctx, e)
}

// startAll starts the servers that are embedded and do not run. Ports are
// checked for all of them before the first is built.
func (o Options) startAll(ctx context.Context, e Endpoints, last Ports) error {
	var starting []Server
	for _, s := range servers(o.Home, o.Ports, e) {
		p, err := daemon.Find(s.Spec.PidFile)
		if err != nil {
			return err
		}
		if p == nil {
			if err := s.checkPorts(); err != nil {
				return err
			}
			starting = append(starting, s)
			continue
		}
		if err := unmoved(s, last, o.Ports); err != nil {
			return err
		}
		if err := s.waitHealthy(ctx, p, size(s.Spec.Log)); err != nil {
			return err
		}
		o.say("%s runs already (pid %d)", s.Spec.Name, p.Pid)
	}
	for i, s := range starting {
		binary, err := serverbuild.Ensure(ctx, s.Build, o.Build)
		if err != nil {
			return err
		}
		starting[i].Spec.Path = binary
	}
	// Kept before the first start: whatever happens then, the next command knows
	// where to look.
	if err := writeJSON(portsFile(o.Home), o.Ports, 0o644); err != nil {
		return fmt.Errorf("keep the ports: %w", err)
	}
	for _, s := range starting {
		began := time.Now()
		p, err := s.Start(ctx)
		if err != nil {
			return err
		}
		o.say("started %s in %s (pid %d)", s.Spec.Name, time.Since(began).Round(10*time.Millisecond), p.Pid)
	}
	return nil
}

// unmoved fails where a running server is asked for on other ports.
func unmoved(s Server, last, want Ports) error {
	if last == (Ports{}) || last == want {
		return nil
	}
	return fmt.Errorf("%s runs already on other ports: run `tempera dev down` first", s.Spec.Name)
}

// servers describes the embedded servers that e uses.
func servers(home string, ports Ports, e Endpoints) []Server {
	var list []Server
	if e.Temporal.Embedded {
		list = append(list, TemporalServer(TemporalConfig{
			Dir: filepath.Join(home, "temporal"), IP: ip, Port: ports.Temporal, UIPort: ports.UI,
		}))
	}
	if e.S3.Embedded {
		list = append(list, MinIOServer(MinIOConfig{
			Dir: filepath.Join(home, "minio"), IP: ip, Port: ports.MinIO, ConsolePort: ports.Console,
			User: e.S3.AccessKey, Password: e.S3.SecretKey,
		}))
	}
	return list
}

// Prepare makes what runs need on the servers: search attributes and the
// bucket. Doing it again changes nothing.
func Prepare(ctx context.Context, e Endpoints) error {
	c, err := temporalx.Dial(ctx, e.Temporal.Options())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := temporalx.RegisterSearchAttributes(ctx, c, e.Temporal.Namespace); err != nil {
		return err
	}
	store, err := minio.New(e.S3.Options())
	if err != nil {
		return err
	}
	return store.EnsureBucket(ctx)
}

// grace is how long a server may take to stop before it is killed.
const grace = 20 * time.Second

// Down stops the embedded servers; the data stays.
func Down(ctx context.Context, o Options) error {
	home, err := Home(o.Home)
	if err != nil {
		return err
	}
	if _, err := os.Stat(home); err != nil {
		return nil // nothing was ever started here
	}
	unlock, err := lock(home)
	if err != nil {
		return err
	}
	defer unlock()
	for _, s := range embedded(home) {
		p, err := daemon.Find(s.Spec.PidFile)
		if err != nil {
			return err
		}
		if p == nil {
			o.say("%s does not run", s.Spec.Name)
			continue
		}
		began := time.Now()
		if err := p.Stop(ctx, grace); err != nil {
			return err
		}
		o.say("stopped %s in %s", s.Spec.Name, time.Since(began).Round(10*time.Millisecond))
	}
	return nil
}

// embedded describes both embedded servers whatever the environment says.
func embedded(home string) []Server {
	return servers(home, Ports{}, Endpoints{Temporal: Temporal{Embedded: true}, S3: S3{Embedded: true}})
}

func checkRoom(dir string) error {
	free, err := freeSpace(dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if free < room {
		return fmt.Errorf("%w: %s has %d MiB left and the servers need at least %d: free some, or set TEMPERA_HOME to another disk", ErrDiskFull, dir, free>>20, room>>20)
	}
	return nil
}

func freeSpace(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// lock keeps two commands from working on one data folder; a crash frees it.
func lock(home string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(home, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w (%s)", ErrBusy, home)
		}
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // closing frees the lock; nothing was written
}
