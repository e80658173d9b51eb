package bench

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func TestEveryShapeIsMeasured(t *testing.T) {
	for _, shape := range []string{"gpt", "llama", "clip", "blip"} {
		t.Run(shape, func(t *testing.T) {
			o := Defaults()
			o.Model = shape
			f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
			o.Bind(f)
			require.NoError(t, f.Parse([]string{
				"--layers=1", "--dim=32", "--heads=2", "--ff=64", "--vocab=20", "--batch=4", "--seq=8", "--image=16", "--embed=16", "--steps=8", "--warmup=1", "--threads=1",
			}))
			r, err := Train(context.Background(), o)
			require.NoError(t, err)
			require.Less(t, r.LastLoss, r.FirstLoss)
			require.Positive(t, r.StepMS)
			require.Positive(t, r.Params)
			raw, err := json.Marshal(r)
			require.NoError(t, err)
			for _, key := range []string{"peer", "model", "loss", "params", "batch", "seq", "threads", "step_ms", "items_per_s", "first_loss", "last_loss"} {
				require.Contains(t, string(raw), `"`+key+`":`)
			}
		})
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	o := Defaults()
	o.Model, o.Steps, o.Batch, o.Threads, o.Devices = "rnn", 0, 0, -1, 0
	_, err := Train(context.Background(), o)
	for _, part := range []string{"rnn", "steps is 0", "batch is 0", "threads is -1", "devices is 0"} {
		require.ErrorContains(t, err, part)
	}
}

func TestGPUsShareStepsOfTextOnly(t *testing.T) {
	o := Defaults()
	o.Devices = 2
	require.ErrorContains(t, o.Validate(), "devices is 2: GPUs (--device cuda) share steps")
	o.GPU.Device = "cuda"
	require.NoError(t, o.Validate())
	o.Model = "clip"
	require.ErrorContains(t, o.Validate(), "the contrasts of clip and blip need one device")
}
