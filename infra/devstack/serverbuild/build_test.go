package serverbuild

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// tree makes a repository whose servers are small programs.
func tree(t *testing.T, program string) Options {
	t.Helper()
	root := t.TempDir()
	for _, s := range All() {
		dir := filepath.Join(root, s.Module)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		for name, text := range map[string]string{"go.mod": "module small\n\ngo 1.26\n", "go.sum": "", "main.go": program} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		}
	}
	return Options{Source: root, Cache: filepath.Join(t.TempDir(), "cache")}
}

const hello = "package main\n\nfunc main() { println(\"hello\") }\n"

func TestAServerIsBuiltOnceWhateverAsks(t *testing.T) {
	o := tree(t, hello)
	var built []Progress
	var mu sync.Mutex
	o.Progress = func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Done {
			built = append(built, p)
		}
	}
	paths := make([]string, 4)
	var wg sync.WaitGroup
	for i := range paths {
		wg.Go(func() {
			path, err := Ensure(context.Background(), Temporal(), o)
			if err == nil {
				paths[i] = path
			}
		})
	}
	wg.Wait()
	for _, path := range paths {
		require.NotEmpty(t, path)
		require.Equal(t, paths[0], path)
	}
	require.Len(t, built, 1)
	out, err := exec.Command(paths[0]).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(out))
	left, err := filepath.Glob(filepath.Join(o.Cache, "servers", "*.new"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAChangedSourceIsBuiltAgain(t *testing.T) {
	o := tree(t, hello)
	first, err := Ensure(t.Context(), Temporal(), o)
	require.NoError(t, err)
	main := filepath.Join(o.Source, Temporal().Module, "main.go")
	require.NoError(t, os.WriteFile(main, []byte(strings.Replace(hello, "hello", "bye", 1)), 0o644))
	cached, err := Cached(t.Context(), Temporal(), o)
	require.NoError(t, err)
	require.Empty(t, cached)
	second, err := Ensure(t.Context(), Temporal(), o)
	require.NoError(t, err)
	require.NotEqual(t, first, second)
}

func TestFaultsAreOneLineThatSaysWhatToDo(t *testing.T) {
	t.Run("a missing compiler is named where a build is needed", func(t *testing.T) {
		o := tree(t, hello)
		t.Setenv("PATH", t.TempDir())
		_, err := Ensure(t.Context(), Temporal(), o)
		require.ErrorIs(t, err, ErrNoCompiler)
		require.ErrorContains(t, err, "https://go.dev/dl")
	})
	t.Run("a missing compiler does not matter where the build is cached", func(t *testing.T) {
		o := tree(t, hello)
		first, err := Ensure(t.Context(), Temporal(), o)
		require.NoError(t, err)
		t.Setenv("PATH", t.TempDir())
		again, err := Ensure(t.Context(), Temporal(), o)
		require.NoError(t, err)
		require.Equal(t, first, again)
	})
	t.Run("a failed build shows the compiler's first line and where the rest is", func(t *testing.T) {
		o := tree(t, "package main\n\nfunc main() { missing() }\n")
		_, err := Ensure(t.Context(), Temporal(), o)
		require.ErrorContains(t, err, "undefined: missing")
		require.ErrorContains(t, err, "temporal.log")
		require.NotContains(t, err.Error(), "\n")
	})
	t.Run("a disk that fills up while compiling is told from a broken source", func(t *testing.T) {
		var w watch
		out := "go: downloading a v1\ninternal/a\n# internal/b\nerror one: odd\ncompile: writing output: write $WORK/b: no space left on device\n"
		require.NoError(t, w.scan(strings.NewReader(out), &strings.Builder{}))
		require.Equal(t, 1, w.progress(Temporal()).Packages)
		require.Equal(t, 1, w.progress(Temporal()).Modules)
		require.ErrorIs(t, w.fault(Temporal(), "log", os.ErrInvalid), ErrDiskFull)
	})
	t.Run("a wrong source folder is named", func(t *testing.T) {
		t.Setenv("TEMPERA_SOURCE", t.TempDir())
		_, err := FindSource()
		require.ErrorContains(t, err, "TEMPERA_SOURCE")
	})
}
