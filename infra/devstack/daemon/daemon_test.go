package daemon

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sleeper(t *testing.T, script string) Spec {
	t.Helper()
	dir := t.TempDir()
	return Spec{
		Name: "sleeper", Path: "/bin/sh", Args: []string{"-c", script}, Dir: dir, Parent: DiesWith,
		Log: filepath.Join(dir, "log"), PidFile: filepath.Join(dir, "pid"),
	}
}

func TestAProcessIsFoundAgainAndStopped(t *testing.T) {
	s := sleeper(t, "echo up; exec sleep 60")
	p, err := Start(s)
	require.NoError(t, err)
	found, err := Find(s.PidFile)
	require.NoError(t, err)
	require.Equal(t, p.Pid, found.Pid)
	require.True(t, found.Alive())
	require.NoError(t, found.Stop(context.Background(), 5*time.Second))
	require.Eventually(t, func() bool { return !p.Alive() }, time.Second, time.Millisecond)
	found, err = Find(s.PidFile)
	require.NoError(t, err)
	require.Nil(t, found)
}

func TestAProcessThatWillNotStopIsKilled(t *testing.T) {
	s := sleeper(t, "trap '' TERM; echo ready; while :; do sleep 0.05; done")
	p, err := Start(s)
	require.NoError(t, err)
	require.Eventually(t, func() bool { log, _ := os.ReadFile(s.Log); return len(log) > 0 }, 5*time.Second, time.Millisecond)
	require.NoError(t, p.Stop(context.Background(), 100*time.Millisecond))
	require.False(t, p.Alive())
}

func TestAPidFileIsNotBelieved(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"when the id now belongs to a process that started at another time", string(recycled(t))},
		{"when it is torn", `{"pid": 12`},
		{"when it is empty", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pid")
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o644))
			p, err := Find(path)
			require.NoError(t, err)
			require.Nil(t, p)
		})
	}
}

func recycled(t *testing.T) []byte {
	data, err := json.Marshal(Process{Pid: os.Getpid(), Started: "an earlier life"})
	require.NoError(t, err)
	return data
}

func TestAProgramThatIsMissingIsAnError(t *testing.T) {
	s := sleeper(t, "")
	s.Path = "/nonexistent/program"
	_, err := Start(s)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestTheHolderOfAPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	require.Contains(t, Holder(l.Addr().(*net.TCPAddr).Port), "(pid "+strconv.Itoa(os.Getpid())+")")
}
