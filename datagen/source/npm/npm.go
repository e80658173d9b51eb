// Package npm puts npm packages that hold data, not programs, into a folder of
// the worker, once. Nothing of a package is ever run.
package npm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Package is a package in one version. Another version is other data.
type Package struct{ Name, Version string }

// Set is packages that are installed together.
type Set struct {
	Name     string // of the folder, before the versions
	What     string // for people: "emoji drawings"
	Size     string // for people: "about 40 MB"
	Remedy   string // what to use instead, a clause without a full stop
	Packages []Package
	// Trim removes what is not needed of the freshly installed dir; nil keeps all.
	Trim func(dir string) error
}

// ErrMissing says that there is no npm to install with.
var ErrMissing = errors.New("npm is not on the PATH")

// Folder holds the set below the data folder dir; its appearance says that it
// is complete.
func (s Set) Folder(dir string) string {
	name := s.Name
	for _, p := range s.Packages {
		name += "-" + p.Version
	}
	return filepath.Join(dir, name)
}

// Path is the folder of one of the packages.
func (s Set) Path(dir, name string) string {
	return filepath.Join(s.Folder(dir), "node_modules", name)
}

// Installed reports whether the set is in the data folder dir.
func (s Set) Installed(dir string) bool {
	for _, p := range s.Packages {
		text, err := os.ReadFile(filepath.Join(s.Path(dir, p.Name), "package.json"))
		var have struct{ Version string }
		if err != nil || json.Unmarshal(text, &have) != nil || have.Version != p.Version {
			return false
		}
	}
	return true
}

var installing sync.Mutex

// Install puts the set into the data folder dir, once; where it is there already
// it does nothing. Several processes may install at a time. Progress, which may
// be nil, gets lines for people.
func (s Set) Install(ctx context.Context, dir string, progress func(string)) error {
	installing.Lock()
	defer installing.Unlock()
	if s.Installed(dir) {
		return nil
	}
	if progress == nil {
		progress = func(string) {}
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("install %s: %w: install Node.js with npm, or %s", s.What, ErrMissing, s.Remedy)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("install %s: %w", s.What, err)
	}
	tmp, err := os.MkdirTemp(dir, "."+s.Name+"-*")
	if err != nil {
		return fmt.Errorf("install %s: %w", s.What, err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	progress(fmt.Sprintf("fetching %s with npm (%s, once)", s.What, s.Size))
	if err := s.fetch(ctx, npm, tmp); err != nil {
		return err
	}
	if err := s.finish(tmp); err != nil {
		return fmt.Errorf("install %s: %w", s.What, err)
	}
	if err := os.Rename(tmp, s.Folder(dir)); err != nil && !s.Installed(dir) {
		return fmt.Errorf("install %s: %w: remove %s and try again", s.What, err, s.Folder(dir))
	}
	progress(fmt.Sprintf("%s are in %s", s.What, s.Folder(dir)))
	return nil
}

func (s Set) fetch(ctx context.Context, npm, dir string) error {
	args := []string{"install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", "--prefix", dir}
	for _, p := range s.Packages {
		args = append(args, p.Name+"@"+p.Version)
	}
	cmd := exec.CommandContext(ctx, npm, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("install %s: %w", s.What, ctx.Err())
		}
		return fmt.Errorf("install %s: npm: %w: %s: is the network up? Or %s", s.What, err, firstComplaint(out.String()), s.Remedy)
	}
	return nil
}

// finish trims the temporary folder and gives it the permissions of one that stays.
func (s Set) finish(dir string) error {
	if s.Trim != nil {
		if err := s.Trim(dir); err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o755)
}

// firstComplaint picks the line that tells what is wrong out of npm's output.
func firstComplaint(out string) string {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		for _, prefix := range []string{"npm error ", "npm ERR! "} {
			if text, ok := strings.CutPrefix(line, prefix); ok && text != "" {
				return text
			}
		}
	}
	return "it gave no reason"
}
