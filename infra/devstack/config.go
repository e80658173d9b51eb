package devstack

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tempera/infra/artifact/minio"
	"tempera/infra/temporalx"
)

// ErrPort says that a number, or what should be one, is no TCP port.
var ErrPort = errors.New("no such port")

// Ports are the TCP ports of the embedded servers; 0 means the port of the last
// start, else the environment's, else the default.
type Ports struct {
	Temporal int `json:"temporal"` // 7233; TEMPERA_TEMPORAL_PORT
	UI       int `json:"ui"`       // 8233; TEMPERA_UI_PORT
	MinIO    int `json:"minio"`    // 9000; TEMPERA_MINIO_PORT
	Console  int `json:"console"`  // 9001; TEMPERA_CONSOLE_PORT
}

// resolve fills in the ports that are 0.
func (p Ports) resolve(last Ports) (Ports, error) {
	for _, f := range []struct {
		port     *int
		env      string
		last     int
		standard int
	}{
		{&p.Temporal, "TEMPERA_TEMPORAL_PORT", last.Temporal, 7233},
		{&p.UI, "TEMPERA_UI_PORT", last.UI, 8233},
		{&p.MinIO, "TEMPERA_MINIO_PORT", last.MinIO, 9000},
		{&p.Console, "TEMPERA_CONSOLE_PORT", last.Console, 9001},
	} {
		if *f.port == 0 {
			if s := os.Getenv(f.env); s != "" {
				n, err := strconv.Atoi(s)
				if err != nil {
					return p, fmt.Errorf("%s=%q: %w: want 1 to 65535", f.env, s, ErrPort)
				}
				*f.port = n
			}
		}
		if *f.port == 0 {
			*f.port = f.last
		}
		if *f.port == 0 {
			*f.port = f.standard
		}
		if *f.port < 1 || *f.port > 65535 {
			return p, fmt.Errorf("%w %d: want 1 to 65535", ErrPort, *f.port)
		}
	}
	return p, nil
}

// Credentials are MinIO's root user, made once for a data folder.
type Credentials struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// S3 is where artifacts are kept.
type S3 struct {
	Endpoint     string `json:"endpoint"` // URL
	Region       string `json:"region,omitempty"`
	Bucket       string `json:"bucket"`
	AccessKey    string `json:"access_key"`
	SecretKey    string `json:"-"`
	SessionToken string `json:"-"`
	Console      string `json:"console,omitempty"` // URL of the console; "" where it is not known
	Embedded     bool   `json:"embedded"`
}

// ConsoleURL is where a folder of the bucket is seen in the console; "" where
// that is not known.
func (s S3) ConsoleURL(folder string) string {
	if s.Console == "" {
		return ""
	}
	return s.Console + "/browser/" + s.Bucket + "/" + url.PathEscape(strings.TrimSuffix(folder, "/")+"/")
}

// Options returns what minio.Open needs.
func (s S3) Options() minio.Options {
	return minio.Options{
		Endpoint: s.Endpoint, Bucket: s.Bucket, Region: s.Region,
		AccessKey: s.AccessKey, SecretKey: s.SecretKey, SessionToken: s.SessionToken,
	}
}

// Temporal is where workflows run.
type Temporal struct {
	Address   string `json:"address"`
	Namespace string `json:"namespace"`
	UI        string `json:"ui,omitempty"` // URL; "" where it is not known
	Embedded  bool   `json:"embedded"`
}

// Options returns what temporalx.Dial needs.
func (t Temporal) Options() temporalx.Options {
	return temporalx.Options{Address: t.Address, Namespace: t.Namespace, Embedded: t.Embedded}
}

// Endpoints are both.
type Endpoints struct {
	Temporal Temporal `json:"temporal"`
	S3       S3       `json:"s3"`
}

// DefaultBucket is used where S3_BUCKET names no other.
const DefaultBucket = "tempera"

// Home returns the data folder: dir, else $TEMPERA_HOME, else .tempera in the
// working directory.
func Home(dir string) (string, error) {
	if dir == "" {
		dir = os.Getenv("TEMPERA_HOME")
	}
	if dir == "" {
		dir = ".tempera"
	}
	return filepath.Abs(dir)
}

// Downloads returns the folder of data sets that are fetched once for all data
// folders: $TEMPERA_DATA, else tempera/data in the user's cache folder.
func Downloads() (string, error) {
	if dir := os.Getenv("TEMPERA_DATA"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("folder of downloads: %w: set TEMPERA_DATA", err)
	}
	return filepath.Join(dir, "tempera", "data"), nil
}

// Resolve returns the servers to use: those of the environment (TEMPORAL_ADDRESS,
// S3_ENDPOINT) where it names them, else the embedded ones of the data folder,
// whether they run or not.
func Resolve(home string) (Endpoints, error) {
	home, err := Home(home)
	if err != nil {
		return Endpoints{}, err
	}
	last, err := readPorts(home)
	if err != nil {
		return Endpoints{}, err
	}
	ports, err := Ports{}.resolve(last)
	if err != nil {
		return Endpoints{}, err
	}
	return resolve(home, ports)
}

func resolve(home string, ports Ports) (Endpoints, error) {
	var e Endpoints
	if temporalx.External() {
		address, namespace, err := temporalx.Options{}.Target()
		if err != nil {
			return e, err
		}
		e.Temporal = Temporal{Address: address, Namespace: namespace, UI: strings.TrimSuffix(os.Getenv("TEMPORAL_UI_URL"), "/")}
	} else {
		e.Temporal = Temporal{
			Address: address(ports.Temporal), Namespace: temporalx.DefaultNamespace,
			UI: "http://" + address(ports.UI), Embedded: true,
		}
	}
	env := minio.FromEnv()
	bucket := env.Bucket
	if bucket == "" {
		bucket = DefaultBucket
	}
	if env.Endpoint != "" {
		e.S3 = S3{
			Endpoint: strings.TrimSuffix(env.Endpoint, "/"), Bucket: bucket, Region: env.Region,
			AccessKey: env.AccessKey, SecretKey: env.SecretKey, SessionToken: env.SessionToken,
			Console: strings.TrimSuffix(os.Getenv("S3_CONSOLE_URL"), "/"),
		}
		return e, env.Validate()
	}
	creds, err := readCredentials(home)
	if err != nil {
		return e, err
	}
	e.S3 = S3{
		Endpoint: "http://" + address(ports.MinIO), Bucket: bucket, Region: "us-east-1",
		AccessKey: creds.User, SecretKey: creds.Password,
		Console: "http://" + address(ports.Console), Embedded: true,
	}
	return e, nil
}

func address(port int) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }

func portsFile(home string) string       { return filepath.Join(home, "ports.json") }
func credentialsFile(home string) string { return filepath.Join(home, "credentials.json") }

func readPorts(home string) (Ports, error) {
	var p Ports
	return p, readJSON(portsFile(home), &p)
}

// readCredentials returns the credentials of a data folder, empty ones where it
// has none yet.
func readCredentials(home string) (Credentials, error) {
	var c Credentials
	return c, readJSON(credentialsFile(home), &c)
}

// ensureCredentials makes the credentials of a data folder where it has none.
func ensureCredentials(home string) (Credentials, error) {
	c, err := readCredentials(home)
	if err != nil || c.Password != "" {
		return c, err
	}
	c = Credentials{User: "tempera", Password: rand.Text()}
	return c, writeJSON(credentialsFile(home), c, 0o600)
}

// readJSON leaves v alone where there is no file.
func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s is damaged: %w", path, err)
	}
	return nil
}

// writeJSON replaces a file whole or not at all.
func writeJSON(path string, v any, mode fs.FileMode) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, append(data, '\n'), mode); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}
