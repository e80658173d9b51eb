//go:build integration

package stacktest_test

import (
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tempera/infra/devstack/stacktest"
	"tempera/infra/temporalx"
)

func TestMinIO(t *testing.T) {
	t.Run("an object outlives SIGKILL of the server", func(t *testing.T) {
		s := stacktest.MinIO(t)
		c, err := minio.New(s.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, "")})
		require.NoError(t, err)
		_, err = c.PutObject(t.Context(), s.Bucket, "a/b", strings.NewReader("kept"), 4, minio.PutObjectOptions{})
		require.NoError(t, err)
		pid := s.Pid()
		s.Kill()
		s.Restart()
		require.NotEqual(t, pid, s.Pid())
		info, err := c.StatObject(t.Context(), s.Bucket, "a/b", minio.StatObjectOptions{})
		require.NoError(t, err)
		require.EqualValues(t, 4, info.Size)
	})
}

// waiting is never executed: no worker polls.
func waiting(workflow.Context) error { return nil }

func TestTemporal(t *testing.T) {
	t.Run("a workflow and its search attributes outlive SIGKILL of the server", func(t *testing.T) {
		s := stacktest.Temporal(t)
		c := s.Client()
		run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: "kept", TaskQueue: temporalx.WorkflowQueue,
			TypedSearchAttributes: temporal.NewSearchAttributes(
				temporalx.PipelineAttribute.ValueSet("p"), temporalx.FailedAttribute.ValueSet(2),
			),
		}, waiting)
		require.NoError(t, err)
		s.Kill()
		s.Restart()
		d, err := s.Client().DescribeWorkflowExecution(t.Context(), "kept", run.GetRunID())
		require.NoError(t, err)
		fields := d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()
		require.Equal(t, `"p"`, string(fields["Pipeline"].GetData()))
		require.Equal(t, "2", string(fields["FailedStages"].GetData()))
		pollers, err := temporalx.Pollers(t.Context(), c, temporalx.WorkflowQueue)
		require.NoError(t, err)
		require.Zero(t, pollers)
	})
}
