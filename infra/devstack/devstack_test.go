package devstack_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/infra/devstack"
	"tempera/infra/devstack/daemon"
	"tempera/infra/temporalx"
)

// lonely drops the settings of the environment that would point elsewhere.
func lonely(t *testing.T) string {
	for _, name := range []string{
		"TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE", "S3_ENDPOINT", "S3_BUCKET", "TEMPERA_HOME", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "TEMPORAL_NAMESPACE", "TEMPORAL_UI_URL", "S3_CONSOLE_URL",
		"TEMPERA_TEMPORAL_PORT", "TEMPERA_UI_PORT", "TEMPERA_MINIO_PORT", "TEMPERA_CONSOLE_PORT",
	} {
		t.Setenv(name, "")
	}
	return filepath.Join(t.TempDir(), "home")
}

func freePorts(t *testing.T) devstack.Ports {
	p, err := daemon.FreePorts("127.0.0.1", 4)
	require.NoError(t, err)
	return devstack.Ports{Temporal: p[0], UI: p[1], MinIO: p[2], Console: p[3]}
}

func TestTheStackLivesThroughUpKillUpAndDown(t *testing.T) {
	home, ctx := lonely(t), context.Background()
	var said []string
	o := devstack.Options{Home: home, Ports: freePorts(t), Say: func(line string) { said = append(said, line) }}
	t.Cleanup(func() { require.NoError(t, devstack.Down(ctx, o)) })

	e, err := devstack.Up(ctx, o)
	require.NoError(t, err)
	require.NoError(t, devstack.CheckBucket(ctx, e.S3))
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

func TestATakenPortIsNamedWithItsHolderAndTheFlag(t *testing.T) {
	home := lonely(t)
	ports := freePorts(t)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports.Console))
	require.NoError(t, err)
	defer l.Close()
	_, err = devstack.Up(t.Context(), devstack.Options{Home: home, Ports: ports})
	require.ErrorIs(t, err, devstack.ErrPortTaken)
	require.ErrorContains(t, err, strconv.Itoa(ports.Console))
	require.ErrorContains(t, err, strconv.Itoa(os.Getpid()))
	require.ErrorContains(t, err, "--console-port")
	require.NotContains(t, err.Error(), "\n")
}

func TestTheEnvironmentsServersAreUsedInstead(t *testing.T) {
	home := lonely(t)
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	t.Setenv("S3_ENDPOINT", "http://127.0.0.1:2/")
	t.Setenv("AWS_ACCESS_KEY_ID", "me")
	e, err := devstack.Resolve(home)
	require.NoError(t, err)
	require.Equal(t, devstack.Temporal{Address: "127.0.0.1:1", Namespace: "default"}, e.Temporal)
	require.Equal(t, devstack.S3{Endpoint: "http://127.0.0.1:2", Bucket: "tempera", AccessKey: "me"}, e.S3)
	_, err = temporalx.Dial(t.Context(), temporalx.Options{Timeout: 200 * time.Millisecond})
	require.ErrorIs(t, err, temporalx.ErrUnreachable)
	require.ErrorContains(t, err, "127.0.0.1:1")
	require.NotContains(t, err.Error(), "\n")
}
