package activities

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

// TestWhatComputesWithModelsTakesADevice: a kind that is given a model, or makes one, runs on a GPU, unless it only moves or reads files.
func TestWhatComputesWithModelsTakesADevice(t *testing.T) {
	files := []string{"draw", "init_model", "import_model", "publish"}
	for _, k := range All() {
		d := k.Describe()
		ofModels := slices.ContainsFunc(slices.Concat(d.Inputs, d.Outputs), func(p stage.Port) bool { return p.Type == artifact.TypeModel })
		require.Equal(t, ofModels && !slices.Contains(files, d.Name), d.HasParameter("device"), d.Name)
		require.Equal(t, d.HasParameter("device"), d.HasParameter("precision"), d.Name)
	}
}

func TestWrongDevices(t *testing.T) {
	for name, c := range map[string]struct{ params, want string }{
		"what is no device is named with those there are": {`{"device": "gpu"}`, "use auto, cpu, cuda or cuda:N"},
		"a precision that the processor does not have":    {`{"device": "cpu", "precision": "bf16"}`, "precision bf16 needs a GPU"},
		"a precision that there is not":                   {`{"precision": "fp8"}`, "use bf16, tf32 or f32"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, k := range All() {
				if !k.Describe().HasParameter("device") {
					continue
				}
				_, err := k.Check(json.RawMessage(c.params))
				require.ErrorContains(t, err, c.want, k.Describe().Name)
			}
		})
	}
}
