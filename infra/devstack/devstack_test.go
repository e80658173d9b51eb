package devstack_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
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
		"TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE", "S3_ENDPOINT", "S3_BUCKET", "TEMPERA_HOME", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "TEMPORAL_NAMESPACE", "TEMPORAL_UI_URL", "S3_CONSOLE_URL",
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
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	e, err := devstack.Resolve(home)
	require.NoError(t, err)
	require.Equal(t, devstack.Temporal{Address: "127.0.0.1:1", Namespace: "default"}, e.Temporal)
	require.Equal(t, devstack.S3{Endpoint: "http://127.0.0.1:2", Bucket: "tempera", AccessKey: "me", SecretKey: "secret"}, e.S3)
	_, err = temporalx.Dial(t.Context(), temporalx.Options{Timeout: 200 * time.Millisecond})
	require.ErrorIs(t, err, temporalx.ErrUnreachable)
	require.ErrorContains(t, err, "127.0.0.1:1")
	require.NotContains(t, err.Error(), "\n")
}
