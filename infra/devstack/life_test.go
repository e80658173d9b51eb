//go:build integration

package devstack_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact/minio"
	"tempera/infra/devstack"
)

func TestTheStackLivesThroughUpKillUpAndDown(t *testing.T) {
	home, ctx := lonely(t), context.Background()
	var said []string
	o := devstack.Options{Home: home, Ports: freePorts(t), Say: func(line string) { said = append(said, line) }}
	t.Cleanup(func() { require.NoError(t, devstack.Down(ctx, o)) })

	e, err := devstack.Up(ctx, o)
	require.NoError(t, err)
	_, err = minio.Open(ctx, e.S3.Options())
	require.NoError(t, err)
	st, err := devstack.Status(ctx, home)
	require.NoError(t, err)
	require.True(t, st.Healthy(), "%+v", st)
	require.Equal(t, e.S3.SecretKey, st.Credentials.Password)
	info, err := os.Stat(filepath.Join(home, "credentials.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	again, err := devstack.Up(ctx, devstack.Options{Home: home, Say: o.Say}) // the ports are remembered
	require.NoError(t, err)
	require.Equal(t, e, again)
	require.Contains(t, strings.Join(said, "\n"), "temporal runs already")

	_, err = devstack.Up(ctx, devstack.Options{Home: home, Ports: devstack.Ports{Temporal: freePorts(t).Temporal}})
	require.ErrorContains(t, err, "runs already on other ports")

	for _, s := range st.Servers {
		require.NoError(t, syscall.Kill(s.Pid, syscall.SIGKILL))
	}
	require.Eventually(t, func() bool {
		st, err := devstack.Status(ctx, home)
		return err == nil && !st.Servers[0].Running && !st.Servers[1].Running
	}, 5*time.Second, 50*time.Millisecond)
	again, err = devstack.Up(ctx, devstack.Options{Home: home, Say: o.Say})
	require.NoError(t, err)
	require.Equal(t, e, again)

	var log strings.Builder
	require.NoError(t, devstack.Logs(ctx, &log, devstack.LogOptions{Home: home, Server: "temporal"}))
	require.Equal(t, 2, strings.Count(log.String(), "READY temporal"))

	require.NoError(t, devstack.Down(ctx, o))
	st, err = devstack.Status(ctx, home)
	require.NoError(t, err)
	require.False(t, st.Servers[0].Running || st.Servers[1].Running)
	require.Contains(t, st.Servers[0].Problem, "tempera dev up")
}
