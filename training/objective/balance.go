package objective

import (
	"errors"
	"fmt"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
)

// balancer evens out the load of experts without a term of the loss (DeepSeek-V3,
// 2024; Moonlight, Moonshot 2025): after each step b_i += u (sign(e_i) - mean sign(e))
// in every layer with experts, e_i being how far expert i is under its even share of
// the step's tokens. Padding counts as it is routed. A nil balancer, of a model
// without experts, does nothing.
type balancer struct {
	model  *model.Model
	layers []*balanced
}

// balanced is a layer with experts.
type balanced struct {
	balance *graph.Param
	output  string
	counts  []int64 // pairs of a token and an expert in the step
}

func newBalancer(m *model.Model) *balancer {
	t := m.Config.Text
	if t.Experts == nil {
		return nil
	}
	b := &balancer{model: m}
	for l := range t.Layers {
		if t.Sparse(l) {
			b.layers = append(b.layers, &balanced{
				balance: m.Param(fmt.Sprintf("text.blocks.%d.mlp.router.balance", l)),
				output:  fmt.Sprintf("load.%d", l), counts: make([]int64, t.Experts.Count),
			})
		}
	}
	return b
}

// declare makes the loads outputs of a training graph.
func (b *balancer) declare(g *graph.Graph, d model.Decoded) {
	if b == nil {
		return
	}
	for i, l := range b.layers {
		g.Output(l.output, d.Loads[i])
	}
}

// count adds the loads of a run.
func (b *balancer) count(g *graph.Graph) error {
	if b == nil {
		return nil
	}
	for _, l := range b.layers {
		ends, err := g.ReadInts(l.output)
		if err != nil {
			return err
		}
		for i := range l.counts {
			l.counts[i] += int64(ends[i+1] - ends[i])
		}
	}
	return nil
}

// measure adds the metric expert_load: the tokens of the busiest expert over those of
// an even share, in the worst layer; 1 is best.
func (b *balancer) measure(m training.Metrics) {
	if b == nil {
		return
	}
	worst := 0.0
	for _, l := range b.layers {
		var most, all int64
		for _, n := range l.counts {
			most, all = max(most, n), all+n
		}
		worst = max(worst, float64(most)*float64(len(l.counts))/float64(max(all, 1)))
	}
	m["expert_load"] = worst
}

// update ends a step.
func (b *balancer) update() error {
	if b == nil {
		return nil
	}
	var errs []error
	for _, l := range b.layers {
		if !b.model.Config.Text.Experts.FixedBalance {
			errs = append(errs, l.update(b.model.Backend(), b.model.Config.Text.Experts.BalanceRate))
		}
		clear(l.counts)
	}
	return errors.Join(errs...)
}

func (l *balanced) update(b device.Backend, rate float64) error {
	v, err := device.ReadFloats(b, l.balance.Value)
	if err != nil {
		return fmt.Errorf("balance experts: %w", err)
	}
	var all, signs int64
	for _, n := range l.counts {
		all += n
	}
	count := int64(len(l.counts))
	under := func(i int) int64 { // the sign of all/count - counts[i]
		switch d := all - l.counts[i]*count; {
		case d > 0:
			return 1
		case d < 0:
			return -1
		default:
			return 0
		}
	}
	for i := range v {
		signs += under(i)
	}
	for i := range v {
		v[i] += float32(rate * (float64(under(i)) - float64(signs)/float64(count)))
	}
	if err := b.UploadFloats(l.balance.Value, v); err != nil {
		return fmt.Errorf("balance experts: %w", err)
	}
	return nil
}
