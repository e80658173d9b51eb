package objective

import (
	"errors"
	"fmt"
	"slices"

	"tempera/training/model"
)

// Plan says how a step is computed: of how many rows, in how many passes, and what is kept meanwhile. But for Batch, it changes results by
// rounding at most, and results are the same bits on every run of one plan. Zero values mean one pass that keeps everything.
type Plan struct {
	Batch int `json:"batch"` // rows of a step
	// Accumulate is the number of micro-batches that a step is split into: its memory is that of one. The loss and the gradients are those of the
	// whole batch, not means of the parts' (a part with few counted tokens weighs little; contrasts see all rows).
	Accumulate int `json:"accumulate,omitempty"`
	// Checkpoint computes each layer again in the reverse pass instead of keeping what is inside (Chen et al. 2016). Results are the same bits.
	Checkpoint bool `json:"checkpoint,omitempty"`
	// Lengths are token counts, rising, below the context: a micro-batch whose texts fit one runs at that length instead of the context's.
	Lengths []int `json:"lengths,omitempty"`
}

// Validate returns all faults at once.
func (p Plan) Validate() error {
	var faults []error
	if p.Batch < 1 {
		faults = append(faults, fmt.Errorf("the batch is %d: give 1 or more", p.Batch))
	}
	if p.Accumulate < 0 || p.Accumulate > 0 && p.Batch%p.Accumulate != 0 {
		faults = append(faults, fmt.Errorf("accumulate is %d: give a number that divides the batch, %d", p.Accumulate, p.Batch))
	}
	if !slices.IsSorted(p.Lengths) || len(slices.Compact(slices.Clone(p.Lengths))) != len(p.Lengths) || len(p.Lengths) > 0 && p.Lengths[0] < 1 {
		faults = append(faults, fmt.Errorf("lengths are %v: give positive numbers, each larger than the one before", p.Lengths))
	}
	return errors.Join(faults...)
}

// roomFor is the room for packed images of a batch of another size.
func roomFor(s model.PackedShape, batch, other int) model.PackedShape {
	per := func(n int) int { return (n + batch - 1) / batch * other }
	return model.PackedShape{Patches: per(s.Patches), Images: per(s.Images)}
}

// patchBytes is the size of a packed patch on the host: its values and five numbers.
func patchBytes(m *model.Model) int { return 4 * (3*m.Config.Vision.Patch*m.Config.Vision.Patch + 5) }

// parts is the number of micro-batches.
func (p Plan) parts() int { return max(1, p.Accumulate) }

// rows is the size of a micro-batch.
func (p Plan) rows() int { return p.Batch / p.parts() }

// lowRank tells whether a model is trained by low-rank changes. Then light operations are computed again: what memory is saved for is the activations, as
// there is next to nothing else, and the products for the gradients of weights are not there, which take a third of a step.
func lowRank(m *model.Model) bool { return m.Config.LoRA != nil }
