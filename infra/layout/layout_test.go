package layout_test

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"tempera/infra/layout"
)

func TestTheModuleObeysTheRules(t *testing.T) {
	imports, err := layout.Imports(os.DirFS("../.."), "tempera")
	require.NoError(t, err)
	require.Greater(t, len(imports), 20, "the checker sees the module")
	require.Empty(t, layout.Check(imports, layout.Rules()))
}

func TestTheCheckerFindsWhatIsForbidden(t *testing.T) {
	for _, c := range []struct {
		name, file, imports string
		faults              int
	}{
		{"a workflow may use the plan", "workflows/run.go", "tempera/workflows/dag", 0},
		{"a workflow must not import activities", "workflows/run.go", "tempera/activities", 1},
		{"a workflow must not import training, however deep", "workflows/dag/plan.go", "tempera/training/kernel", 1},
		{"a workflow's test must not import training either", "workflows/run_test.go", "tempera/training", 1},
		{"the plan must not import the server's client", "workflows/dag/plan.go", "tempera/infra/temporalx", 1},
		{"infra imports nothing above it", "infra/devstack/up.go", "tempera/workflows/stage", 1},
		{"the store's contract imports no other infra", "infra/artifact/mem/mem.go", "tempera/infra/devstack", 1},
		{"a store's test may start real servers", "infra/artifact/minio/minio_test.go", "tempera/infra/devstack/stacktest", 0},
		{"a kernel must not know graphs", "training/kernel/gemm.go", "tempera/training/graph", 1},
		{"an op may know graphs", "training/op/linear.go", "tempera/training/graph", 0},
		{"training must not know activities", "training/loop.go", "tempera/activities", 1},
		{"serving must not know objectives", "serving/generate/decode.go", "tempera/training/objective", 1},
		{"a test of a lower layer may use a higher one of its folder", "training/graph/graph_test.go", "tempera/training/op", 0},
		{"a folder without a rule is a fault", "helpers/x.go", "tempera/infra/artifact", 1},
		{"a folder is not taken for another with a longer name", "trainings/x.go", "tempera/training", 1},
		{"other modules are not its business", "workflows/run.go", "tempera-else/activities", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := fstest.MapFS{
				c.file:               {Data: []byte("package p\n\nimport _ \"" + c.imports + "\"\n")},
				"infra/own/go.mod":   {Data: []byte("module own\n")},
				"infra/own/main.go":  {Data: []byte("package main\n\nimport _ \"tempera/activities\"\n")},
				"testdata/broken.go": {Data: []byte("not go")},
			}
			imports, err := layout.Imports(tree, "tempera")
			require.NoError(t, err)
			require.Len(t, layout.Check(imports, layout.Rules()), c.faults)
		})
	}
}
