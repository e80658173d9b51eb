// Package serverbuild builds the embedded servers from their own modules, once:
// the binaries are kept in a cache folder under the digest of the module's files
// and the toolchain, and are never rebuilt while both are current.
package serverbuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Server is a server that can be built: a module beside the product's own, and
// the package in it.
type Server struct {
	Name    string
	Title   string // for people
	Module  string // folder, relative to the repository's root
	Package string
	Linker  string // -ldflags; changes nothing that the compiler caches
}

// Temporal is the server, SQLite and the web UI in one program.
func Temporal() Server {
	return Server{Name: "temporal", Title: "Temporal 1.32.1 with its web UI", Module: "infra/temporal", Package: ".", Linker: "-s -w"}
}

// MinIO is the object store with its console.
func MinIO() Server {
	return Server{Name: "minio", Title: "MinIO with its console", Module: "infra/minio", Package: "github.com/minio/minio", Linker: "-s -w"}
}

// All returns every server.
func All() []Server { return []Server{Temporal(), MinIO()} }

// ErrNoCompiler is wrapped where a build is needed and Go is not there.
var ErrNoCompiler = errors.New("Go is not installed")

// ErrDiskFull is wrapped where the disk has no room for a build.
var ErrDiskFull = errors.New("disk full")

// Options say where things are and who is told.
type Options struct {
	Source string // the repository's root; "" looks for it, see FindSource
	Cache  string // "" means DefaultCache
	// Progress is called about once a second while a build runs, and once when it
	// is done; nil is told nothing.
	Progress func(Progress)
}

// DefaultCache returns $TEMPERA_CACHE, or tempera in the user's cache folder.
func DefaultCache() (string, error) {
	if dir := os.Getenv("TEMPERA_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache folder: %w: set TEMPERA_CACHE", err)
	}
	return filepath.Join(dir, "tempera"), nil
}

// FindSource returns the root of the repository: $TEMPERA_SOURCE, or the nearest
// folder above the working directory or above the executable that holds the
// servers' modules.
func FindSource() (string, error) {
	if dir := os.Getenv("TEMPERA_SOURCE"); dir != "" {
		if !isSource(dir) {
			return "", fmt.Errorf("TEMPERA_SOURCE=%s is not Tempera's repository", dir)
		}
		return filepath.Abs(dir)
	}
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if exe, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(exe))
	}
	for _, dir := range starts {
		for {
			if isSource(dir) {
				return dir, nil
			}
			up := filepath.Dir(dir)
			if up == dir {
				break
			}
			dir = up
		}
	}
	return "", errors.New("the servers' sources were not found: run inside Tempera's repository, or set TEMPERA_SOURCE to it")
}

func isSource(dir string) bool {
	for _, s := range All() {
		if _, err := os.Stat(filepath.Join(dir, s.Module, "go.mod")); err != nil {
			return false
		}
	}
	return true
}

// Ensure returns the path of the server's binary and builds it where it is not
// in the cache. Several processes may ask at once: one builds, the others wait.
func Ensure(ctx context.Context, s Server, o Options) (string, error) {
	b, err := prepare(ctx, s, o)
	if err != nil {
		return "", err
	}
	if found := b.cached(); found != "" {
		return found, nil
	}
	if b.goCommand == "" {
		return "", fmt.Errorf("%w: %s is built once with it; install Go 1.26 or newer from https://go.dev/dl and put it on the PATH", ErrNoCompiler, s.Title)
	}
	if err := os.MkdirAll(b.folder, 0o755); err != nil {
		return "", fmt.Errorf("cache folder: %w: set TEMPERA_CACHE to another", err)
	}
	unlock, err := lock(ctx, filepath.Join(b.folder, s.Name+".lock"))
	if err != nil {
		return "", fmt.Errorf("build %s: %w", s.Name, err)
	}
	defer unlock()
	if found := b.cached(); found != "" {
		return found, nil // another process has just built it
	}
	if err := b.build(ctx); err != nil {
		return "", err
	}
	b.prune()
	return b.target, nil
}

// Cached returns the binary's path without building, or "" where it must be
// built first.
func Cached(ctx context.Context, s Server, o Options) (string, error) {
	b, err := prepare(ctx, s, o)
	if err != nil {
		return "", err
	}
	return b.cached(), nil
}

// cached returns the binary that is current. Without a toolchain any build of
// the same sources will do.
func (b *build) cached() string {
	if b.goCommand != "" {
		if info, err := os.Stat(b.target); err == nil && info.Mode().IsRegular() {
			return b.target
		}
		return ""
	}
	found, err := filepath.Glob(b.prefix + "*-" + runtime.GOOS + "-" + runtime.GOARCH)
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[0]
}

// keep is how many builds of one server stay in the cache: enough for a few
// checkouts beside each other.
const keep = 3

// prune removes the oldest builds. A running server is not disturbed by it.
func (b *build) prune() {
	found, err := filepath.Glob(filepath.Join(b.folder, b.server.Name+"-*-"+runtime.GOOS+"-"+runtime.GOARCH))
	if err != nil {
		return
	}
	age := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return info.ModTime().UnixNano()
	}
	slices.SortFunc(found, func(a, b string) int { return int(min(1, max(-1, age(b)-age(a)))) })
	for _, path := range found[min(keep, len(found)):] {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}

// environment drops what would make the go command read another module.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "GOFLAGS=") || strings.HasPrefix(kv, "GOWORK=")
	})
	flags := slices.DeleteFunc(strings.Fields(os.Getenv("GOFLAGS")), func(f string) bool {
		return strings.HasPrefix(f, "-mod") && !strings.HasPrefix(f, "-modcacherw")
	})
	return append(env, "GOWORK=off", "GOFLAGS="+strings.Join(flags, " "))
}
