package host

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"tempera/infra/telemetry"
	"tempera/training/device/accelerator"
)

// GPUs say which GPUs a worker offers on the queue gpu: all of the machine, or those of the given numbers.
type GPUs struct {
	None     bool // the CPU serves the queue
	Ordinals []int
}

// openGPUs finds the GPUs of the queue gpu. A worker that was to offer some and has none does not start.
func (o Options) openGPUs(m *telemetry.Metrics) (*accelerator.Pool, error) {
	if o.GPUs.None || !slices.Contains(o.Queues, GPUQueue) {
		return nil, nil
	}
	pool, err := accelerator.NewPool(o.GPUs.Ordinals)
	if err == nil {
		err = pool.Try()
	}
	if err != nil {
		return nil, fmt.Errorf("the queue gpu: %w (--gpus none serves it with the CPU)", err)
	}
	for _, g := range pool.GPUs() {
		o.Log.Info("GPU", "device", g.String())
		if _, err := g.State(); err != nil {
			o.Log.Warn("the GPU's temperature and use are not known", "error", err)
		}
	}
	return pool, m.Registerer().Register(gpuStates{pool})
}

// slotsOf is how many activities of a queue run at a time.
func (o Options) slotsOf(queue string, gpus *accelerator.Pool) int {
	if n := len(gpus.GPUs()); queue == GPUQueue && n > 0 {
		return n
	}
	return o.Slots
}

// gpuStates are the gauges of a worker's GPUs.
type gpuStates struct{ pool *accelerator.Pool }

func gauge(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("tempera_gpu_"+name, help, []string{"gpu", "name"}, nil)
}

var gpuGauges = []struct {
	desc  *prometheus.Desc
	value func(accelerator.State) float64
}{
	{gauge("busy_ratio", "Share of the last second in which a kernel ran."), func(s accelerator.State) float64 { return s.Busy }},
	{gauge("temperature_celsius", "Temperature."), func(s accelerator.State) float64 { return s.Temperature }},
	{gauge("power_watts", "Power."), func(s accelerator.State) float64 { return s.Power }},
	{gauge("memory_used_bytes", "Memory in use, by any process."), func(s accelerator.State) float64 { return float64(s.Used) }},
	{gauge("ecc_uncorrected_errors", "Errors of the memory that could not be corrected, since the driver was loaded."), func(s accelerator.State) float64 { return float64(s.ECC) }},
}

// Describe is part of prometheus.Collector.
func (gpuStates) Describe(out chan<- *prometheus.Desc) {
	for _, g := range gpuGauges {
		out <- g.desc
	}
}

// Collect is part of prometheus.Collector. A GPU that cannot be asked has no gauges.
func (s gpuStates) Collect(out chan<- prometheus.Metric) {
	for _, gpu := range s.pool.GPUs() {
		state, err := gpu.State()
		if err != nil {
			continue
		}
		for _, g := range gpuGauges {
			out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.value(state), strconv.Itoa(gpu.Ordinal), gpu.Name)
		}
	}
}
