package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tempera/datagen/reward"
	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/optim"
	"tempera/workflows/stage"
)

type rlParams struct {
	deviceParams
	Algorithm  rlAlgorithmName `json:"algorithm" doc:"A preset of loss: grpo, dr_grpo (no division by deviation and length), dapo (asymmetric clip, all tokens alike, dynamic sampling, overlong penalty), rloo, reinforce++ and ppo (with a critic)."`
	Iterations int64           `json:"iterations" doc:"Batches of samples, each of which is learned from." min:"1"`
	Iteration  int64           `json:"iteration" doc:"With the input from: which of the iterations this stage is, from 0 on. It begins with the state of the one before." min:"0"`
	Prompts    int             `json:"prompts" doc:"Problems of an iteration." min:"1"`
	Group      int             `json:"group" doc:"Samples of a problem." min:"1" max:"1024"`
	Rewards    []reward.Term   `json:"rewards" doc:"What a sample is rewarded for: a weighted sum."`
	Judge      float64         `json:"judge" doc:"Weight of the reward model's score, where that input is given."`
	Unfinished *float64        `json:"unfinished,omitempty" doc:"Score of samples that were cut off, instead of the reward model's; absent: they are judged like others."`
	Loss       rlLoss          `json:"loss" doc:"Parts of the algorithm that differ from the preset."`

	Temperature float64 `json:"temperature" doc:"Of the sampling." above:"0"`
	MaxTokens   int     `json:"max_tokens" doc:"Most tokens of a sample; 0: what is left of the context after the longest prompt." min:"0"`

	LearningRate float64     `json:"learning_rate" doc:"Peak learning rate." above:"0"`
	WarmUp       int64       `json:"warm_up" doc:"Iterations of linear warm-up." min:"0"`
	Floor        float64     `json:"floor" doc:"Share of the peak that the learning rate falls to; 1: it stays." min:"0" max:"1"`
	Optimizer    string      `json:"optimizer" doc:"adamw, or muon for the matrices of blocks." enum:"adamw,muon"`
	Decay        float64     `json:"decay" doc:"Decoupled weight decay of matrices." min:"0"`
	ClipNorm     float64     `json:"clip_norm" doc:"Largest norm of the gradient." above:"0"`
	CriticRate   float64     `json:"critic_rate" doc:"Learning rate of the critic over that of the policy." above:"0"`
	Freeze       []string    `json:"freeze,omitempty" doc:"Of a vision-language model: parts that are not trained." enum:"vision,projector,text"`
	LoRA         *model.LoRA `json:"lora,omitempty" doc:"Trains low-rank changes instead of the weights: {rank, alpha, targets}."`
	Seed         uint64      `json:"seed" doc:"Of the order of the problems and of every draw."`

	GraphTokens int     `json:"graph_tokens" doc:"Tokens that pass the model at a time in training: memory grows with them." min:"64"`
	Recompute   bool    `json:"recompute" doc:"Computes what is within a layer again instead of keeping it: less memory, a third more time."`
	Rows        int     `json:"rows" doc:"Samples that are written together." min:"1" max:"4096"`
	MaxDrift    float64 `json:"max_drift" doc:"Largest mean difference between the log-probabilities of sampling and of training; more is an error." above:"0"`
	MaxMoved    float64 `json:"max_moved" doc:"Nats of a token's divergence from the policy that sampled; more begins the iteration again with half the learning rate, and the second time is an error." above:"0"`
	MaxKL       float64 `json:"max_kl" doc:"Nats of a sample's divergence from the reference, treated likewise; 0: any." min:"0"`
	EqualLimit  int     `json:"equal_limit" doc:"Iterations in a row without a group whose rewards differ that end the training with an error." min:"1"`

	EvaluateEvery int64   `json:"evaluate_every" doc:"Iterations between evaluations on held_out, greedy; 0: a tenth of them." min:"0"`
	EvaluateRows  int     `json:"evaluate_rows" doc:"Problems of such an evaluation, at most." min:"1"`
	Keep          string  `json:"keep" doc:"Which parameters become the model: the last, or those that solve most of held_out." enum:"last,best"`
	Checkpoint    float64 `json:"checkpoint_seconds" doc:"Seconds between checkpoints, which are taken between iterations." above:"0"`
}

func defaultRL() rlParams {
	return rlParams{
		Algorithm: "grpo", Iterations: 40, Prompts: 32, Group: 8, Judge: 1,
		Rewards:     []reward.Term{{Reward: "accuracy", Weight: 1}, {Reward: "format", Weight: 0.1}},
		Temperature: 1, LearningRate: 4e-4, WarmUp: 5, Floor: 1, Optimizer: "adamw", ClipNorm: 1, CriticRate: 1,
		GraphTokens: 4096, Rows: 256, MaxDrift: 0.01, MaxMoved: 1, EqualLimit: 10, EvaluateRows: 256, Keep: "last", Checkpoint: 10,
	}
}

// Validate reports what no single field shows.
func (p rlParams) Validate() error {
	o, err := p.options(1)
	if err != nil {
		return err
	}
	faults := []error{o.Validate()}
	if len(p.Rewards) > 0 {
		_, err := reward.Open(p.Rewards)
		faults = append(faults, err)
	}
	if p.Iteration >= p.Iterations {
		faults = append(faults, fmt.Errorf("iteration is %d of %d: they count from 0", p.Iteration, p.Iterations))
	}
	if p.EvaluateEvery > p.Iterations {
		faults = append(faults, fmt.Errorf("evaluate_every is %d, more than the %d iterations: lower it, or give 0 for a tenth", p.EvaluateEvery, p.Iterations))
	}
	return errors.Join(faults...)
}

// options are those of the objective, for samples of a length.
func (p rlParams) options(length int) (objective.PolicyOptions, error) {
	o := objective.PolicyOptions{
		Seed: p.Seed, Prompts: p.Prompts, Group: p.Group, Temperature: p.Temperature, Length: length,
		GraphTokens: p.GraphTokens, Checkpoint: p.Recompute, MaxDrift: p.MaxDrift, MaxMoved: p.MaxMoved, MaxKL: p.MaxKL, EqualLimit: p.EqualLimit,
	}
	return o, p.Loss.apply(p.Algorithm, &o)
}

// rl trains a language model on its own samples.
func rl() Kind {
	return define(stage.Descriptor{
		Name: "rl", Version: 1, Queue: stage.CPU,
		Headline: []string{"pass_at_1", "reward", "kl", "entropy"},
		Summary:  "Reinforce what is rewarded in a model's own samples",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "The policy to start from: an lm or vlm model."},
			{Name: "problems", Type: artifact.TypeExamples, Many: true, Optional: true, Doc: "What it is asked; of a vlm with a picture each."},
			{Name: "from", Type: artifact.TypeExamples, Many: true, Optional: true, Doc: "Instead of problems: samples with what was drawn (rollout, record: true), which one iteration learns from."},
			{Name: "state", Type: artifact.TypeState, Optional: true, Doc: "from: what the iteration before ended with."},
			{Name: "reference", Type: artifact.TypeModel, Optional: true, Doc: "The model that a divergence is measured from; absent: the policy as this stage starts with it."},
			{Name: "reward_model", Type: artifact.TypeModel, Optional: true, Doc: "A model with a scalar head, whose score is one of the rewards."},
			{Name: "critic", Type: artifact.TypeModel, Optional: true, Doc: "ppo: where the critic starts, a model with or without a scalar head; absent: from the policy."},
			{Name: "held_out", Type: artifact.TypeExamples, Optional: true, Doc: "Problems that it is measured on on the way."},
		},
		Outputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "The trained policy."},
			{Name: "samples", Type: artifact.TypeExamples, Optional: true, Doc: "What it writes after the last step, an iteration's worth, with rewards; of problems."},
			{Name: "state", Type: artifact.TypeState, Optional: true, Doc: "from: what the next iteration begins with."},
		},
	}, defaultRL(), runRL)
}

func runRL(ctx context.Context, t *Task, p rlParams) (err error) {
	dev, err := newCompute(t)
	if err != nil {
		return err
	}
	defer dev.close()
	r, err := openRL(ctx, t, dev, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	loop := r.loop()
	if r.given != nil {
		if err := r.chain(ctx, loop); err != nil {
			return err
		}
	}
	result, err := loop.Run(ctx)
	if err != nil {
		return trainingError(err)
	}
	w, err := r.policy.Weights()
	if err == nil && p.LoRA != nil {
		w, err = w.Merge()
	}
	if err != nil {
		return err
	}
	out, err := saveModel(ctx, t, w, r.tokenizer)
	if err != nil {
		return err
	}
	t.Output("model", out)
	r.report(result)
	if r.given != nil {
		return r.saveState(ctx, out)
	}
	return r.saveSamples(ctx)
}

// loop trains for a number of iterations.
func (r *rlRun) loop() *training.Loop {
	t, p, steps := r.task, r.params, r.options.Steps()
	adam := optim.DefaultOptions()
	adam.Method, adam.Decay, adam.Clip = optim.Method(p.Optimizer), p.Decay, p.ClipNorm
	loop := &training.Loop{
		Config: training.Config{
			Steps: p.Iterations * steps, BatchSize: p.Prompts * p.Group, Seed: p.Seed, AdamW: adam, Digest: t.Key, LogSteps: steps,
			Schedule:        optim.Schedule{Peak: p.LearningRate, Warmup: min(p.WarmUp*steps, p.Iterations*steps/2), Floor: p.Floor},
			CheckpointEvery: time.Duration(p.Checkpoint * float64(time.Second)),
		},
		Backend: r.policy.Backend(), Objective: r.objective, Batches: func(int64, *training.Batch) error { return nil },
		Checkpoints: t.Checkpoints, Metrics: t.Metrics, Stopping: t.Stopping,
		Progress: func(done, total int64, note string) {
			t.Progress(Progress{Done: done, Total: total, Unit: "steps", Note: fmt.Sprintf("iteration %d of %d, %s", (done+steps-1)/steps, total/steps, note)})
		},
		Planned: func(m training.Memory) { t.Log.Info("memory of the training, predicted", "peak", m.String()) },
	}
	if r.heldOut != nil {
		every := p.EvaluateEvery
		if every == 0 {
			every = max(1, p.Iterations/10)
		}
		loop.Evaluation = &training.Evaluation{Every: every * steps, Run: r.evaluate, Score: passKey, KeepBest: p.Keep == "best"}
	}
	return loop
}
