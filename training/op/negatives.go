package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// HardNegatives draws for each row of the similarities sim (B, B) another column, int32 (B), with probability proportional to
// softmax(row) + 1e-4 without the diagonal (Li et al. 2022, BLIP). uniform (B) holds numbers in [0, 1), one draw each, so that the batch decides
// the result. groups, int32 (B) or nil, also excludes the columns of the row's own group: captions that are equal are no negatives.
//
// No gradient flows through it.
func HardNegatives(g *graph.Graph, sim, uniform, groups *graph.Node) *graph.Node {
	if groups == nil {
		return g.Apply(&hardNegatives{groups: -1}, sim, uniform)
	}
	return g.Apply(&hardNegatives{groups: 2}, sim, uniform, groups)
}

type hardNegatives struct{ groups, b int }

func (h *hardNegatives) Name() string { return "hardnegatives" }

func (h *hardNegatives) Infer(in []device.Desc) (device.Desc, error) {
	if err := errors.Join(types(in, "ffi"[:len(in)]), rank(in[0], "sim", 2)); err != nil {
		return device.Desc{}, err
	}
	h.b = in[0].Shape[0]
	if in[0].Shape[1] != h.b || h.b < 2 {
		return device.Desc{}, fmt.Errorf("sim must be square, of 2 rows at least")
	}
	for i, d := range in[1:] {
		if err := vector(d, []string{"uniform", "groups"}[i], h.b); err != nil {
			return device.Desc{}, err
		}
	}
	return device.Ints(h.b), nil
}

func (h *hardNegatives) Forward(c *graph.Call) {
	c.Backend.SampleNegatives(device.SampleNegativesArgs{B: h.b, Sim: c.In[0], Uniform: c.In[1], Groups: operand(c.In, h.groups), Index: c.Out})
}
