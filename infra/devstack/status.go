package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tempera/infra/artifact/minio"
	"tempera/infra/devstack/daemon"
	"tempera/infra/temporalx"
)

// ServerStatus tells how one server is.
type ServerStatus struct {
	Name     string    `json:"name"`
	Embedded bool      `json:"embedded"`
	Running  bool      `json:"running"`
	Healthy  bool      `json:"healthy"`
	Problem  string    `json:"problem,omitempty"`
	Pid      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Address  string    `json:"address"`
	UI       string    `json:"ui,omitempty"`
	Log      string    `json:"log,omitempty"`
	Data     string    `json:"data,omitempty"`
	Bytes    int64     `json:"bytes,omitempty"` // of the data
}

// State is what Status found.
type State struct {
	Home        string         `json:"home"`
	Servers     []ServerStatus `json:"servers"`
	Bucket      string         `json:"bucket"`
	Credentials *Credentials   `json:"credentials,omitempty"` // of the embedded MinIO
}

// Healthy reports whether every server answers.
func (s State) Healthy() bool {
	for _, server := range s.Servers {
		if !server.Healthy {
			return false
		}
	}
	return true
}

// Status looks at the servers and changes nothing.
func Status(ctx context.Context, home string) (State, error) {
	home, err := Home(home)
	if err != nil {
		return State{}, err
	}
	e, err := Resolve(home)
	if err != nil {
		return State{}, err
	}
	last, err := readPorts(home)
	if err != nil {
		return State{}, err
	}
	ports, err := Ports{}.resolve(last)
	if err != nil {
		return State{}, err
	}
	st := State{Home: home, Bucket: e.S3.Bucket}
	byName := map[string]Server{}
	for _, s := range servers(home, ports, e) {
		byName[s.Spec.Name] = s
	}
	for _, s := range []ServerStatus{
		{Name: "temporal", Embedded: e.Temporal.Embedded, Address: e.Temporal.Address, UI: e.Temporal.UI},
		{Name: "minio", Embedded: e.S3.Embedded, Address: e.S3.Endpoint, UI: e.S3.Console},
	} {
		var problem error
		if server, ok := byName[s.Name]; ok {
			problem = s.look(ctx, server)
		} else {
			s.Running = true
			problem = external(ctx, s.Name, e)
		}
		s.Healthy = problem == nil
		if problem != nil {
			s.Problem = problem.Error()
		}
		st.Servers = append(st.Servers, s)
	}
	if creds, err := readCredentials(home); err == nil && e.S3.Embedded && creds.Password != "" {
		st.Credentials = &creds
	}
	return st, nil
}

func (s *ServerStatus) look(ctx context.Context, server Server) error {
	s.Log, s.Data = server.Spec.Log, server.Spec.Dir
	s.Bytes = folderSize(server.Spec.Dir)
	p, err := daemon.Find(server.Spec.PidFile)
	if err != nil {
		return err
	}
	if p == nil {
		return errors.New("not running: `tempera dev up` starts it")
	}
	s.Running, s.Pid, s.Since = true, p.Pid, p.Since
	return server.Healthy(ctx)
}

func external(ctx context.Context, name string, e Endpoints) error {
	if name == "temporal" {
		c, err := temporalx.Dial(ctx, e.Temporal.Options())
		if err != nil {
			return err
		}
		defer c.Close()
		return temporalx.VerifySearchAttributes(ctx, c, e.Temporal.Namespace)
	}
	_, err := minio.Open(ctx, e.S3.Options())
	return err
}

// folderSize sums the files below dir; what vanishes meanwhile counts nothing.
func folderSize(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}

// LogOptions choose what Logs writes.
type LogOptions struct {
	Home   string
	Server string // temporal, minio or worker
	Tail   int64  // bytes from the end; 0 means all
	Follow Follow
}

// Follow says whether Logs goes on at the end of the log.
type Follow int

const (
	// ToEnd stops at the end.
	ToEnd Follow = iota
	// Onwards waits for more until ctx is done.
	Onwards
)

// Logs writes the log of one embedded server.
func Logs(ctx context.Context, w io.Writer, o LogOptions) error {
	home, err := Home(o.Home)
	if err != nil {
		return err
	}
	path := ""
	for _, s := range append(embedded(home), Server{Spec: WorkerSpec(home)}) {
		if s.Spec.Name == o.Server {
			path = s.Spec.Log
		}
	}
	if path == "" {
		return fmt.Errorf("%w %q: want temporal, minio or worker", ErrNoServer, o.Server)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no log under %s yet: `tempera dev up` starts it", o.Server, home)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if at := size(path) - o.Tail; o.Tail > 0 && at > 0 {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return err
		}
	}
	for {
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
		if o.Follow == ToEnd {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}
