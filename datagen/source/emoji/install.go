package emoji

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

// The npm packages that hold the drawings, names and keywords. Another version
// is another data set.
var packages = []struct{ name, version string }{
	{"emoji-datasource-google", "16.0.0"},
	{"emoji-datasource-twitter", "16.0.0"},
	{"emojilib", "4.0.3"},
}

// ErrNoNPM says that there is no npm to install the drawings with.
var ErrNoNPM = errors.New("npm is not on the PATH")

// remedy ends every message about drawings that cannot be had.
const remedy = `use the generated pictures instead (source: scenes), which need nothing`

// folder holds one set of versions; its appearance says that it is complete.
func folder(dir string) string {
	name := "emoji"
	for _, p := range packages {
		name += "-" + p.version
	}
	return filepath.Join(dir, name)
}

// Installed reports whether the drawings are in the data folder dir.
func Installed(dir string) bool {
	for _, p := range packages {
		text, err := os.ReadFile(filepath.Join(folder(dir), "node_modules", p.name, "package.json"))
		var have struct{ Version string }
		if err != nil || json.Unmarshal(text, &have) != nil || have.Version != p.version {
			return false
		}
	}
	return true
}

var installing sync.Mutex

// Install puts the drawings into the data folder dir, once; where they are
// there already it does nothing. Several processes may install at a time.
// Progress, which may be nil, gets lines for people.
func Install(ctx context.Context, dir string, progress func(string)) error {
	installing.Lock()
	defer installing.Unlock()
	if Installed(dir) {
		return nil
	}
	if progress == nil {
		progress = func(string) {}
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("install emoji drawings: %w: install Node.js with npm, or %s", ErrNoNPM, remedy)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("install emoji drawings: %w", err)
	}
	tmp, err := os.MkdirTemp(dir, ".emoji-*")
	if err != nil {
		return fmt.Errorf("install emoji drawings: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	progress("fetching emoji drawings with npm (about 40 MB, once)")
	if err := npmInstall(ctx, npm, tmp); err != nil {
		return err
	}
	if err := trim(tmp); err != nil {
		return fmt.Errorf("install emoji drawings: %w", err)
	}
	if err := os.Rename(tmp, folder(dir)); err != nil && !Installed(dir) {
		return fmt.Errorf("install emoji drawings: %w: remove %s and try again", err, folder(dir))
	}
	progress("emoji drawings are in " + folder(dir))
	return nil
}

func npmInstall(ctx context.Context, npm, dir string) error {
	args := []string{"install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", "--prefix", dir}
	for _, p := range packages {
		args = append(args, p.name+"@"+p.version)
	}
	cmd := exec.CommandContext(ctx, npm, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("install emoji drawings: %w", ctx.Err())
		}
		return fmt.Errorf("install emoji drawings: npm: %w: %s: is the network up? Or %s", err, firstComplaint(out.String()), remedy)
	}
	return nil
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

// trim removes the sprite sheets, nine tenths of the packages, and gives the
// temporary folder the permissions of one that stays.
func trim(dir string) error {
	sheets, err := filepath.Glob(filepath.Join(dir, "node_modules", "*", "img", "*", "sheets*"))
	if err != nil {
		return err
	}
	for _, s := range sheets {
		if err := os.RemoveAll(s); err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o755)
}
