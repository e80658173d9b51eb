//go:build integration

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"tempera/infra/devstack"
	"tempera/infra/devstack/daemon"
	"tempera/infra/devstack/serverbuild"
	"tempera/training/tokenizer"
)

// writeGPT2 makes a folder as transformers saves a tiny GPT-2.
func writeGPT2(dir string) error {
	if err := os.CopyFS(dir, os.DirFS("../../training/hf/testdata/gpt2")); err != nil {
		return err
	}
	tok, err := tokenizer.Train(slices.Values([]string{"a red circle", "a blue square"}), tokenizer.TrainOptions{VocabSize: 270, MinFrequency: 1})
	if err != nil {
		return err
	}
	raw, err := tok.JSON()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "tokenizer.json"), raw, 0o600)
}

// TestStackScripts runs the command lines of testdata/stack against a stack of
// their own each: real servers, a real worker.
func TestStackScripts(t *testing.T) {
	source, err := serverbuild.FindSource()
	require.NoError(t, err)
	cache, err := serverbuild.DefaultCache()
	require.NoError(t, err)
	for _, s := range serverbuild.All() { // built here, where the caches of Go are known
		_, err := serverbuild.Ensure(t.Context(), s, serverbuild.Options{})
		require.NoError(t, err)
	}
	testscript.Run(t, testscript.Params{
		Dir:      filepath.Join("testdata", "stack"),
		Deadline: time.Now().Add(10 * time.Minute), // of all scripts, on a busy machine: a command that hangs fails with its output
		Setup: func(e *testscript.Env) error {
			ports, err := daemon.FreePorts("127.0.0.1", 4)
			if err != nil {
				return err
			}
			for i, name := range []string{"TEMPERA_TEMPORAL_PORT", "TEMPERA_UI_PORT", "TEMPERA_MINIO_PORT", "TEMPERA_CONSOLE_PORT"} {
				e.Setenv(name, fmt.Sprint(ports[i]))
			}
			e.Setenv("TEMPERA_SOURCE", source)
			e.Setenv("TEMPERA_CACHE", cache)
			e.Setenv("HOME", e.WorkDir)
			home := filepath.Join(e.WorkDir, ".tempera")
			e.Defer(func() { _ = devstack.Down(context.Background(), devstack.Options{Home: home}) })
			return writeGPT2(filepath.Join(e.WorkDir, "gpt2"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}
