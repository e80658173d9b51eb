// Package bench measures training steps in the shapes of other programs, so that
// figures can be laid side by side: the flags and the JSON keys are those of the
// PyTorch scripts that the project's figures are compared with.
package bench

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"tempera/training/device/accelerator"
)

// Options are the shape and length of a measurement.
type Options struct {
	Cores
	GPU     accelerator.Flags
	Model   string // gpt, llama, clip or blip
	Loss    string // clip: softmax or sigmoid
	Layers  int
	Dim     int
	Heads   int
	KVHeads int // llama: heads of keys and values; 0: Heads
	FF      int
	Vocab   int
	Batch   int
	Seq     int
	Image   int
	Patch   int
	Embed   int
	Steps   int
	Warmup  int

	Accumulate int  // micro-batches of a step
	Devices    int  // GPUs that share each step
	Checkpoint bool // compute layers again in the reverse pass

	Profile string // file that receives a CPU profile of the measured steps; "": none
}

// Defaults are those of the peers.
func Defaults() Options {
	return Options{
		Model: "gpt", Loss: "softmax", Layers: 4, Dim: 256, Heads: 4, FF: 1024, Vocab: 512, Batch: 8, Seq: 128,
		Image: 64, Patch: 8, Embed: 256, Cores: Cores{Threads: 2}, Steps: 20, Warmup: 5, Devices: 1,
	}
}

// Bind adds a flag per option, with the present values as defaults.
func (o *Options) Bind(f *pflag.FlagSet) {
	f.StringVar(&o.Model, "model", o.Model, "shape: gpt, llama, clip or blip")
	f.StringVar(&o.Loss, "loss", o.Loss, "of clip: softmax or sigmoid")
	for _, i := range []struct {
		to         *int
		name, help string
	}{
		{&o.Layers, "layers", "layers of each tower"},
		{&o.Dim, "dim", "width"},
		{&o.Heads, "heads", "attention heads"},
		{&o.KVHeads, "kv-heads", "llama: heads of keys and values (0: --heads)"},
		{&o.FF, "ff", "width within the MLP"},
		{&o.Vocab, "vocab", "size of the vocabulary"},
		{&o.Batch, "batch", "sequences or pairs of a step"},
		{&o.Seq, "seq", "tokens of a sequence"},
		{&o.Image, "image", "side of an image in pixels"},
		{&o.Patch, "patch", "side of a patch in pixels"},
		{&o.Embed, "embed", "width of the common space"},
		{&o.Steps, "steps", "steps that are measured"},
		{&o.Warmup, "warmup", "steps before those"},
		{&o.Accumulate, "accumulate", "micro-batches of a step; 0 is 1"},
		{&o.Devices, "devices", "GPUs that share each step of gpt or llama, each some of its micro-batches"},
	} {
		f.IntVar(i.to, i.name, *i.to, i.help)
	}
	f.BoolVar(&o.Checkpoint, "checkpoint", o.Checkpoint, "compute each layer again in the reverse pass instead of keeping what is inside")
	o.bind(f)
	o.GPU.Bind(f)
	f.StringVar(&o.Profile, "profile", o.Profile, "write a CPU profile of the measured steps to this file")
}

// Validate returns all faults that the model's own check does not find.
func (o Options) Validate() error {
	var faults []error
	switch o.Model {
	case "gpt", "llama", "clip", "blip":
	default:
		faults = append(faults, fmt.Errorf("there is no shape %q: use gpt, llama, clip or blip", o.Model))
	}
	if o.Loss != "softmax" && o.Loss != "sigmoid" {
		faults = append(faults, fmt.Errorf("loss is %q: use softmax or sigmoid", o.Loss))
	}
	if o.Steps < 1 || o.Warmup < 0 {
		faults = append(faults, fmt.Errorf("steps is %d and warmup %d: measure 1 step or more after 0 or more", o.Steps, o.Warmup))
	}
	if o.Batch < 1 {
		faults = append(faults, fmt.Errorf("batch is %d: give 1 or more", o.Batch))
	}
	if o.Devices < 1 {
		faults = append(faults, fmt.Errorf("devices is %d: give 1 or more", o.Devices))
	}
	if o.Devices > 1 && (!o.text() || !o.GPU.Wanted()) {
		faults = append(faults, fmt.Errorf("devices is %d: GPUs (--device cuda) share steps of gpt and llama; the contrasts of clip and blip need one device", o.Devices))
	}
	return errors.Join(append(append(faults, o.faults()...), o.GPU.Faults()...)...)
}
