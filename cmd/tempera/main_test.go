package main

import (
	"os"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tempera/cmd/tempera/command"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tempera": func() { os.Exit(command.Main(os.Args[1:])) },
	})
}

// TestScripts runs the command lines of testdata/*.txtar against no servers:
// usage, wrong input, exit codes.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			// Ports on which nothing listens, so that no stack of this machine is met.
			e.Setenv("TEMPERA_TEMPORAL_PORT", "1")
			e.Setenv("TEMPERA_UI_PORT", "2")
			e.Setenv("TEMPERA_MINIO_PORT", "3")
			e.Setenv("TEMPERA_CONSOLE_PORT", "4")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs tempera and wants the exit code: exits 2 start nothing.yaml.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: exits <code> <arguments of tempera>")
	}
	got := "0"
	if err := ts.Exec("tempera", args[1:]...); err != nil {
		got = "?"
		if e, ok := err.(interface{ ExitCode() int }); ok {
			got = strconv.Itoa(e.ExitCode())
		}
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}
