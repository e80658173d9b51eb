package activities

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training/device"
	"tempera/training/kernel"
)

// spread gives a task so many devices that share its steps: CPUs, which the group does not tell from GPUs.
func spread(t *testing.T, task *Task, devices int) {
	if devices == 0 {
		return
	}
	var all []device.Backend
	for range devices {
		e, err := kernel.New(kernel.Options{Threads: 1})
		require.NoError(t, err)
		t.Cleanup(e.Close)
		all = append(all, device.NewCPUOn(e, device.OpaqueHeap()))
	}
	task.GPU, task.Group = all[0], device.NewHostGroup(all...)
}

// sharedTrainings are trainings of each kind that devices share.
func (l *workshop) sharedTrainings() map[string]execution {
	of := map[string]execution{}
	for name, a := range l.lessons() {
		switch name {
		case "sft with images", "distill with images", "dpo with images", "sft", "distill", "sft by lora", "a reward model":
			a.params = strings.Replace(a.params, `, "accumulate": 2`, "", 1)
			of[name] = a
		}
	}
	c := l.corpus()
	of["lm"] = execution{
		kind: pretrain(), inputs: ports{"data": {c.a, c.b}, "tokenizer": {c.tokenizer}, "held_out": {c.held}},
		params: `{"objective": "lm", "steps": 12, "batch": 4, "stages": [{"steps": 6, "context": 16, "batch": 8}, {"steps": 6}], "checkpoint_seconds": 0.001,
			"model": {"width": 16, "text_layers": 1, "heads": 2, "context": 32}}`,
	}
	pairs := l.output(execution{kind: ingest(), params: `{"count": 40, "seed": 1}`}, "dataset")
	tokenizer := l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 300}`, inputs: ports{"data": {pairs}}}, "tokenizer")
	for _, o := range []string{`"captioning"`, `"vlm"`, `"blip", "itc": 0, "itm": 0`} {
		of[o] = execution{
			kind: pretrain(), inputs: ports{"data": []artifact.Artifact{pairs}, "tokenizer": {tokenizer}, "held_out": {pairs}},
			params: fmt.Sprintf(`{"objective": %s, "steps": 12, "batch": 8, "lengths": [8, 12], "checkpoint_seconds": 0.001,
				"model": {"width": 16, "layers": 1, "text_layers": 1, "heads": 2, "patch": 16}}`, o),
		}
	}
	return of
}

// with adds parameters.
func (a execution) with(params string) execution {
	a.params = "{" + params + ", " + strings.TrimPrefix(a.params, "{")
	return a
}

// TestDevicesShareTheStepsOfATraining: what they find is what one finds, up to rounding, and stopped and resumed the same bits.
func TestDevicesShareTheStepsOfATraining(t *testing.T) {
	shop := &workshop{t, mem.New()}
	for name, a := range shop.sharedTrainings() {
		t.Run(name, func(t *testing.T) {
			l := &workshop{t, shop.store}
			one, err := l.run(a.with(`"accumulate": 2`))
			require.NoError(t, err)
			two := a.with(`"devices": 2`)
			two.devices = 2
			whole, err := l.run(two)
			require.NoError(t, err)
			require.Len(t, whole.Metrics, len(one.Metrics))
			for name, v := range one.Metrics {
				require.InDelta(t, v, whole.Metrics[name], 2e-3*max(1, math.Abs(v)), name)
			}
			two.points, two.stopAt = &points{}, 5
			_, err = l.run(two)
			require.ErrorIs(t, err, ErrStopped)
			two.stopAt = -1
			got, err := l.run(two)
			require.NoError(t, err)
			require.Equal(t, whole, got)
		})
	}
}

func TestWhatDevicesCannotShareIsToldBeforeARun(t *testing.T) {
	catalog := NewCatalog(All()...)
	for _, c := range []struct{ name, kind, params, want string }{
		{"CPUs", "sft", `{"device":"cpu","devices":2}`, "devices is 2 and device cpu: devices are GPUs; train replicas by data_parallel of Pretrain (DiLoCo), which need no GPU"},
		{"one GPU", "sft", `{"device":"cuda:1","devices":2}`, "device cuda:1 names one: use device: cuda"},
		{"contrasts", "pretrain", `{"objective":"clip","devices":2}`, "objective clip looks at a whole batch, which devices cannot share"},
		{"contrasts of pairs", "pretrain", `{"objective":"siglip","devices":2}`, "objective siglip looks at a whole batch"},
		{"matching", "finetune", `{"devices":2}`, "what contrasts and matches looks at a whole batch"},
		{"images of their own size", "pretrain", `{"objective":"vlm","devices":2,"native":64}`, "native, which packs the images of a batch, looks at a whole batch"},
		{"a loss of whole batches", "dpo", `{"loss":"kto","devices":2}`, "the loss kto looks at a whole batch"},
		{"a batch that they do not divide", "sft", `{"batch":10,"accumulate":3,"devices":2}`, "batch is 10, no multiple of 4, the parts that 2 devices run of a step (accumulate is 3)"},
		{"a batch of a stage", "pretrain", `{"objective":"lm","devices":3,"stages":[{"steps":2,"batch":8},{"batch":9}]}`, "batch is 8, no multiple of 3"},
		{"reinforcement", "rl", `{"devices":2}`, `there is no parameter "devices"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := catalog.Resolve(c.kind, json.RawMessage(c.params))
			require.ErrorContains(t, err, c.want)
		})
	}
	for _, params := range []string{`{"objective":"lm","devices":2}`, `{"objective":"captioning","devices":2}`, `{"itc":0,"itm":0,"devices":2}`} {
		_, err := catalog.Resolve("pretrain", json.RawMessage(params))
		require.NoError(t, err, params)
	}
}

func TestPartsAreAMultipleOfTheDevices(t *testing.T) {
	for _, c := range []struct{ devices, accumulate, want int }{{0, 1, 1}, {0, 3, 3}, {1, 3, 3}, {2, 1, 2}, {2, 3, 4}, {4, 4, 4}, {4, 5, 8}} {
		require.Equal(t, c.want, loopParams{Devices: c.devices, Accumulate: c.accumulate}.parts(), "%+v", c)
	}
}
