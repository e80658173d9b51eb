package activities

import (
	"context"
	"encoding/json"
	"fmt"

	"go.temporal.io/sdk/activity"

	"tempera/infra/temporalx"
	"tempera/training/device/accelerator"
	"tempera/workflows/stage"
)

// deviceParams are the parameters of a kind that computes with models: embedding them lets it run on a GPU, which the runtime leases by them.
type deviceParams struct {
	Device    string `json:"device,omitempty" doc:"Where it computes: cpu, cuda or cuda:N with the number of a GPU, which workers of the queue gpu offer, or auto (where left out): a GPU on that queue, else the CPU."`
	Precision string `json:"precision,omitempty" doc:"Of a GPU: bf16 (where left out) stores activations in bfloat16, tf32 and f32 in float32; parameters are float32 in each."`
}

// deviceFault is what no single field shows; define reports it.
func (p deviceParams) deviceFault() error {
	c, err := accelerator.ParseChoice(p.Device)
	if err != nil {
		return err
	}
	return accelerator.CheckPrecision(c, p.Precision)
}

// lease takes the GPU that the stage wants, or all that it wants, if it wants any. Who waits for one heartbeats.
func (a *attempt) lease(ctx context.Context) (*accelerator.Together, error) {
	var p struct {
		deviceParams
		Devices int `json:"devices"`
	}
	if err := json.Unmarshal(a.request.Params, &p); err != nil {
		return nil, fmt.Errorf("read the parameters device and precision: %w", err)
	}
	c, err := accelerator.ParseChoice(p.Device)
	if err != nil {
		return nil, Invalid(err)
	}
	pool := a.runtime.GPUs
	onQueue := activity.GetInfo(ctx).TaskQueue == temporalx.ActivityQueue(string(stage.GPU))
	if c == accelerator.CPU || c == accelerator.Auto && (!onQueue || len(pool.GPUs()) == 0 || !a.kind.Describe().HasParameter("device")) {
		if p.Devices > 1 {
			return nil, Invalid(fmt.Errorf("devices is %d, and the stage runs without a GPU: give it device: cuda, or %s", p.Devices, replicasInstead))
		}
		return nil, nil
	}
	if !onQueue {
		return nil, Invalid(fmt.Errorf("device %v: the stage runs on the queue cpu: give it resources {queue: gpu}", c))
	}
	l, err := pool.TakeAll(ctx, c, p.Precision, max(1, p.Devices))
	if err != nil {
		return nil, err
	}
	a.log.Info("device", "backend", l.Root().Name(), "gpu", l.GPUs())
	if l.Group != nil {
		a.log.Info("gradients are added up", "by", l.Group.Name())
	}
	return l, nil
}
