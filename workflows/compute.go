package workflows

import "tempera/workflows/dag"

// Compute says where the stages of a run compute that do so with models, unless parameters of their own (more) say otherwise.
type Compute struct {
	Device    string `json:"device,omitempty" doc:"Where stages that compute with models run: cuda (GPUs, by the queue gpu), cuda:N, cpu, or auto (where left out): as their worker has it. The parameter of that name among those of a stage (more) comes first."`
	Precision string `json:"precision,omitempty" doc:"Of GPUs: bf16 (where left out), tf32 or f32."`
}

func (c Compute) defaults() dag.Defaults {
	return dag.Defaults{Device: c.Device, Precision: c.Precision}
}
