//go:build integration

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"tempera/infra/devstack"
	"tempera/infra/devstack/daemon"
	"tempera/infra/devstack/serverbuild"
)

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
		Deadline: time.Now().Add(2 * time.Minute), // a command that hangs fails with its output
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
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}
