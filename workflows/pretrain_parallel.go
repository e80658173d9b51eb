package workflows

import (
	"fmt"
	"maps"

	"tempera/workflows/dag"
)

// PretrainParallel is a training by replicas in rounds (DiLoCo, Douillard et al.
// 2023): of every round's start, each replica trains a copy for some steps on its
// own part of the data; the start of the next round is the outer step of their mean.
type PretrainParallel struct {
	Replicas   int      `json:"replicas" doc:"Trainings side by side, each of batch rows a step: workers of any host take them." min:"1" max:"256"`
	LocalSteps int      `json:"local_steps" doc:"Steps of a round, of which steps is a multiple." min:"1"`
	Rate       float64  `json:"outer_lr,omitempty" doc:"Learning rate of the outer step; 0.7 where left out." min:"0"`
	Momentum   *float64 `json:"outer_momentum,omitempty" doc:"Its Nesterov momentum; 0.9 where left out, 0: none." min:"0" below:"1"`
	Controls   []string `json:"controls,omitempty" doc:"Trainings by one worker on as many tokens, beside it. steps: as many steps as all replicas together; batch: their batches in one step." enum:"steps,batch"`
}

// roundStages bounds the stages of a run, see docs/design/0002.
const roundStages = 4000

// faults are those of the parameters that replicas do not take.
func (d *PretrainParallel) faults(p PretrainParams, fail func(wrong bool, format string, args ...any)) {
	if d == nil {
		return
	}
	fail(p.Steps%max(1, d.LocalSteps) != 0, "data_parallel.local_steps is %d, and steps, %d, is no multiple of it: change one of them", d.LocalSteps, p.Steps)
	rounds := p.Steps / max(1, d.LocalSteps)
	fail(rounds*(d.Replicas+1) > roundStages, "data_parallel has %d rounds of %d replicas, %d stages, and a run has %d at most: raise local_steps", rounds, d.Replicas, rounds*(d.Replicas+1), roundStages)
	fail(p.Minutes > 0, "data_parallel: the replicas of a round take equal steps: give steps, not minutes")
	fail(len(p.Stages) > 0, "data_parallel and stages go not together: leave one out")
	fail(p.Sweep != nil, "data_parallel and sweep go not together: leave one out")
	fail(p.Spikes, "data_parallel and spikes go not together: leave one out")
	fail(p.Patience > 0 || p.Keep == "best", "data_parallel measures rounds, not replicas: leave patience and keep out")
	fail(p.EvaluateEvery > 0, "data_parallel measures after every round: leave evaluate_every out")
}

// inRounds adds the rounds of a training, of which the last average has the id. q
// are the parameters of the training as a single worker would do it.
func (b *pretraining) inRounds(id string, q params) {
	d, p := b.p.DataParallel, b.p
	from, held := b.start(q), dag.Inputs{b.held}
	outer := b.sight(params{"objective": p.Objective, "batch": p.Batch, "seed": p.Seed})
	if d.Rate > 0 {
		outer["outer_lr"] = d.Rate
	}
	if d.Momentum != nil {
		outer["outer_momentum"] = *d.Momentum
	}
	before := ""
	rounds := p.Steps / d.LocalSteps
	for round := range rounds {
		in := inputs{"model": {from}, "held_out": held}
		for i := range d.Replicas {
			learns := inputs{"model": {from}, "data": b.data}
			if round > 0 {
				learns["state"] = dag.Inputs{replicaID(round-1, i) + ".state"}
			}
			b.add(replicaID(round, i), "train_replica", learns, b.replica(q, round, i))
			in["replicas"] = append(in["replicas"], replicaID(round, i)+".model")
			in["states"] = append(in["states"], replicaID(round, i)+".state")
		}
		if before != "" {
			in["state"] = dag.Inputs{before + ".state"}
		}
		before = fmt.Sprintf("round_%d", round+1)
		if round == rounds-1 {
			before = id
		}
		b.add(before, "average", in, outer)
		from = before + ".model"
	}
}

func replicaID(round, replica int) string {
	return fmt.Sprintf("round_%d_replica_%d", round+1, replica+1)
}

// start adds the model that the first round starts from: the one that the kind
// pretrain would begin with.
func (b *pretraining) start(q params) string {
	size, config := params{"context": 0}, params{"text": params{}} // where init_model has defaults of its own
	maps.Copy(size, q["model"].(params))
	if given, ok := size["config"].(params); ok {
		maps.Copy(config, given)
	}
	size["config"] = config
	s := b.sight(params{"kind": b.p.Objective, "model": size, "seed": b.p.Seed})
	if b.p.Objective == "siglip" {
		s["batch"] = b.p.Batch
	}
	b.add("start", "init_model", b.madeOf(inputs{"tokenizer": {b.tokenizer}}), s)
	return "start.model"
}

// replica are the parameters of a replica in a round: those of a single training
// but what is of the new model and of its measurement.
func (b *pretraining) replica(q params, round, replica int) params {
	r := params{
		"replicas": b.p.DataParallel.Replicas, "local_steps": b.p.DataParallel.LocalSteps, "round": round, "replica": replica,
	}
	for k, v := range q {
		switch k {
		case "model", "minutes", "evaluate_every", "patience", "keep":
		default:
			r[k] = v
		}
	}
	return r
}

// controls are the trainings by one worker.
func (d *PretrainParallel) controls(m sized) []sized {
	var all []sized
	for _, c := range d.Controls {
		one := m
		one.suffix = "_" + c
		if c == "steps" {
			one.steps *= d.Replicas
			one.label = fmt.Sprintf("one worker, %d steps", one.steps)
		} else {
			one.batch *= d.Replicas
			one.label = fmt.Sprintf("one worker, batches of %d", one.batch)
		}
		all = append(all, one)
	}
	return all
}
