package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"tempera/infra/devstack/daemon"
	"tempera/infra/devstack/serverbuild"
	"tempera/infra/temporalx"
)

// Server is one embedded server: how it is built, started and asked whether it
// is well.
type Server struct {
	Build serverbuild.Server
	Spec  daemon.Spec
	Ports []Port
	// Healthy reports what keeps the server from answering; nil means it answers.
	Healthy func(ctx context.Context) error
}

// Port is a TCP port that a server listens on, and how it is changed.
type Port struct {
	Use    string // what listens there
	Flag   string // of `tempera dev up`
	Number int
}

// TemporalConfig is what the embedded Temporal needs.
type TemporalConfig struct {
	Binary string
	Dir    string // data, log and pid file
	IP     string
	Port   int
	UIPort int
	Parent daemon.Parent
}

// TemporalServer describes the embedded Temporal with its web UI.
func TemporalServer(c TemporalConfig) Server {
	args := []string{
		"-ip", c.IP, "-port", strconv.Itoa(c.Port), "-ui-port", strconv.Itoa(c.UIPort),
		"-db", filepath.Join(c.Dir, "temporal.db"),
	}
	attributes := temporalx.SearchAttributes()
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		args = append(args, "-search-attribute", name+"="+attributes[name].String())
	}
	address := net.JoinHostPort(c.IP, strconv.Itoa(c.Port))
	return Server{
		Build: serverbuild.Temporal(),
		Spec:  spec("temporal", c.Binary, c.Dir, c.Parent, args),
		Ports: []Port{{"Temporal", "--temporal-port", c.Port}, {"Temporal's web UI", "--ui-port", c.UIPort}},
		Healthy: func(ctx context.Context) error {
			client, err := temporalx.Dial(ctx, temporalx.Options{Address: address, Embedded: true, Timeout: 2 * time.Second})
			if err != nil {
				return err
			}
			defer client.Close()
			return answers(ctx, fmt.Sprintf("http://%s/", net.JoinHostPort(c.IP, strconv.Itoa(c.UIPort))))
		},
	}
}

// MinIOConfig is what the embedded MinIO needs.
type MinIOConfig struct {
	Binary      string
	Dir         string // data, log and pid file
	IP          string
	Port        int
	ConsolePort int
	User        string
	Password    string
	Parent      daemon.Parent
}

// MinIOServer describes the embedded MinIO with its console.
func MinIOServer(c MinIOConfig) Server {
	address := net.JoinHostPort(c.IP, strconv.Itoa(c.Port))
	s := Server{
		Build: serverbuild.MinIO(),
		Spec: spec("minio", c.Binary, c.Dir, c.Parent, []string{
			"server", filepath.Join(c.Dir, "data"), "--quiet",
			"--address", address, "--console-address", net.JoinHostPort(c.IP, strconv.Itoa(c.ConsolePort)),
			"--certs-dir", filepath.Join(c.Dir, "certs"),
		}),
		Ports: []Port{{"MinIO", "--minio-port", c.Port}, {"MinIO's console", "--console-port", c.ConsolePort}},
		Healthy: func(ctx context.Context) error {
			return answers(ctx, "http://"+address+"/minio/health/cluster")
		},
	}
	s.Spec.Env = []string{
		"MINIO_ROOT_USER=" + c.User, "MINIO_ROOT_PASSWORD=" + c.Password,
		"MINIO_UPDATE=off", "MINIO_BROWSER=on",
	}
	return s
}

// WorkerSpec describes a worker in the background beside the servers; the
// caller fills in the program and its arguments.
func WorkerSpec(home string) daemon.Spec {
	return spec("worker", "", filepath.Join(home, "worker"), daemon.Outlives, nil)
}

func spec(name, binary, dir string, parent daemon.Parent, args []string) daemon.Spec {
	return daemon.Spec{
		Name: name, Path: binary, Args: args, Dir: dir, Parent: parent,
		Log: filepath.Join(dir, name+".log"), PidFile: filepath.Join(dir, name+".pid"),
	}
}

// answers asks a URL and wants a status below 400.
func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// startLimit bounds how long a server may take to answer. Recovery of a large
// database after a kill takes seconds; a busy machine several times that.
const startLimit = 2 * time.Minute

// Start starts the server and waits until it answers. Where it ends instead,
// the error carries the last line of its log.
func (s Server) Start(ctx context.Context) (*daemon.Process, error) {
	if err := s.checkPorts(); err != nil {
		return nil, err
	}
	offset := size(s.Spec.Log)
	p, err := daemon.Start(s.Spec)
	if err != nil {
		return nil, err
	}
	if err := s.waitHealthy(ctx, p, offset); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return p, nil
}

func (s Server) waitHealthy(ctx context.Context, p *daemon.Process, offset int64) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := s.Healthy(ctx)
		if err == nil {
			return nil
		}
		if !p.Alive() {
			return s.ended(offset)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w (log: %s)", s.Spec.Name, err, s.Spec.Log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ended explains why a server has stopped by itself.
func (s Server) ended(offset int64) error {
	said := lastLine(s.Spec.Log, offset)
	for _, full := range []string{"no space left on device", "disk is full", "drive is full"} {
		if strings.Contains(strings.ToLower(said), full) {
			return fmt.Errorf("%w: %s stopped because there is no room under %s: free some and start again", ErrDiskFull, s.Spec.Name, s.Spec.Dir)
		}
	}
	return fmt.Errorf("%s stopped while starting: %s (log: %s)", s.Spec.Name, said, s.Spec.Log)
}

// settle is how long a port may stay taken by nobody: the kernel closes the
// sockets of a killed process a moment after it.
const settle = 2 * time.Second

// checkPorts names the first port that is taken, its holder, and the flag that
// chooses another.
func (s Server) checkPorts() error {
	for _, p := range s.Ports {
		for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			l, err := net.Listen("tcp", address(p.Number))
			if err == nil {
				if err := l.Close(); err != nil {
					return fmt.Errorf("port %d: %w", p.Number, err)
				}
				break
			}
			holder := daemon.Holder(p.Number)
			if holder == "" {
				if time.Since(began) < settle {
					continue
				}
				holder = "another process"
			}
			return fmt.Errorf("%w: port %d, wanted for %s, is taken by %s: stop it, or choose another port with %s", ErrPortTaken, p.Number, p.Use, holder, p.Flag)
		}
	}
	return nil
}

// size returns the size of a file, 0 where there is none.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// lastLine returns the last line of a log after offset that holds anything.
func lastLine(path string, offset int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if from := max(offset, size(path)-64<<10); from > 0 {
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			return err.Error()
		}
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if last == "" {
		return "it printed nothing"
	}
	return last
}
