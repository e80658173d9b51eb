package objective

import (
	"errors"
	"fmt"
)

// BLIPOptions configure BLIP. A part whose weight is 0 is not built at all.
type BLIPOptions struct {
	Plan
	ITC float64 `json:"itc"` // weight of the image-text contrast
	ITM float64 `json:"itm"` // weight of image-text matching
	LM  float64 `json:"lm"`  // weight of captioning

	// Queue is the number of earlier momentum features that ITC also contrasts
	// with: a multiple of the batch. 0 turns the momentum encoders off: features
	// are contrasted within the batch, as in CLIP, with hard targets.
	Queue    int     `json:"queue"`
	Momentum float64 `json:"momentum"` // of the momentum encoders
	// MomentumRamp lets the momentum encoders follow closely at first, see
	// optim.EMA.UpdateRamped. The paper, whose runs are long, does not need it.
	MomentumRamp bool    `json:"momentum_ramp"`
	Alpha        float64 `json:"alpha"`       // final weight of the momentum targets
	AlphaSteps   int64   `json:"alpha_steps"` // steps over which it rises from 0; the paper: two epochs

	Smoothing float64 `json:"smoothing"` // of captioning's targets
	// Prompt is the number of tokens after BOS that the loss of captioning leaves
	// out: those of "a picture of ".
	Prompt       int    `json:"prompt"`
	FreezeVision bool   `json:"freeze_vision"` // train the text side only
	Seed         uint64 `json:"seed"`          // of the negatives and of the queue's first features
}

// DefaultBLIP are the constants of the paper (Li et al. 2022) for a batch, with a
// queue of eight batches.
func DefaultBLIP(batch int) BLIPOptions {
	return BLIPOptions{
		Plan: Plan{Batch: batch}, ITC: 1, ITM: 1, LM: 1,
		Queue: 8 * batch, Momentum: 0.995, MomentumRamp: true, Alpha: 0.4, Smoothing: 0.1,
	}
}

// Captioning are the options that train the decoder alone.
func Captioning(batch int) BLIPOptions {
	return BLIPOptions{Plan: Plan{Batch: batch}, LM: 1, Smoothing: 0.1}
}

// Validate returns all faults at once.
func (o BLIPOptions) Validate() error {
	var faults []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if err := o.Plan.Validate(); err != nil {
		faults = append(faults, err)
	}
	add(o.parts() > 1 && o.ITC+o.ITM > 0, "accumulate is %d: only captioning can be split, since contrast and matching compare all pairs of a batch: set itc and itm to 0, or accumulate to 1 and compute layers again (recompute)", o.Accumulate)
	add(o.Batch == 1 && o.ITC+o.ITM > 0, "a batch of 1 has no negatives: give 2 or more, or train captioning alone")
	for _, w := range []struct {
		name  string
		value float64
	}{{"itc", o.ITC}, {"itm", o.ITM}, {"lm", o.LM}} {
		add(!(w.value >= 0), "the weight of %s is %v: give 0 or more", w.name, w.value)
	}
	add(o.ITC+o.ITM+o.LM == 0, "every part has weight 0: give itc, itm or lm a weight")
	add(o.Queue < 0 || o.Batch > 0 && o.Queue%o.Batch != 0, "the queue of %d is not a multiple of the batch, %d: change one of them", o.Queue, o.Batch)
	add(!(o.Momentum >= 0 && o.Momentum <= 1), "momentum is %v: give a number from 0 to 1, such as 0.995", o.Momentum)
	add(!(o.Alpha >= 0 && o.Alpha <= 1), "alpha is %v: give a number from 0 to 1, such as 0.4", o.Alpha)
	add(o.AlphaSteps < 0, "alpha_steps is %d: give 0 or more", o.AlphaSteps)
	add(!(o.Smoothing >= 0 && o.Smoothing < 1), "smoothing is %v: give a number from 0 to below 1", o.Smoothing)
	add(o.Prompt < 0, "the prompt has %d tokens: give 0 or more", o.Prompt)
	return errors.Join(faults...)
}

// alpha is the weight of the momentum targets at a step.
func (o BLIPOptions) alpha(step int64) float64 {
	if step >= o.AlphaSteps {
		return o.Alpha
	}
	return o.Alpha * float64(step) / float64(o.AlphaSteps)
}

// momentum tells whether there are momentum encoders.
func (o BLIPOptions) momentum() bool { return o.ITC > 0 && o.Queue > 0 }
