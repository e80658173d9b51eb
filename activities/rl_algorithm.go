package activities

import (
	"fmt"

	"tempera/training/objective"
	"tempera/training/policy"
)

// rlLoss are the parts of an algorithm. What is left out is the algorithm's.
type rlLoss struct {
	Advantage   *string  `json:"advantage,omitempty" doc:"How advantages come from rewards: group compares the samples of a prompt, returns sums what follows a token, values asks a critic." enum:"group,returns,values"`
	Baseline    *string  `json:"baseline,omitempty" doc:"Of advantages by group: group_std divides by the standard deviation, group_mean does not, leave_one_out compares with the others." enum:"group_std,group_mean,leave_one_out"`
	Gamma       *float64 `json:"gamma,omitempty" doc:"Discount of rewards that follow, of returns and values." min:"0" max:"1"`
	Lambda      *float64 `json:"lambda,omitempty" doc:"Of generalised advantage estimation." min:"0" max:"1"`
	Whiten      *bool    `json:"whiten,omitempty" doc:"Gives the advantages of an iteration mean 0 and deviation 1."`
	Aggregate   *string  `json:"aggregate,omitempty" doc:"How losses of tokens become one: the mean of each sample and of the samples; of all tokens; or their sum over a constant length." enum:"sequence,token,constant"`
	ClipLow     *float64 `json:"clip_low,omitempty" doc:"How far the ratio of new to old probability may fall below 1." min:"0" below:"1"`
	ClipHigh    *float64 `json:"clip_high,omitempty" doc:"How far it may rise above 1." min:"0"`
	Beta        *float64 `json:"beta,omitempty" doc:"Weight of the KL divergence from the reference; 0 needs no reference." min:"0"`
	KL          *string  `json:"kl,omitempty" doc:"Its estimator in the loss." enum:"k1,k2,k3"`
	KLIn        *string  `json:"kl_in,omitempty" doc:"Where it counts: in the loss, or (as k1) in the rewards." enum:"loss,reward"`
	KLTarget    *float64 `json:"kl_target,omitempty" doc:"Nats of a sample that the weight of the divergence is steered towards; 0: it stays." min:"0"`
	KLHorizon   *float64 `json:"kl_horizon,omitempty" doc:"Samples over which the weight changes by a tenth where the divergence is off by as much." above:"0"`
	Entropy     *float64 `json:"entropy,omitempty" doc:"Weight of the entropy bonus." min:"0"`
	SkipEqual   *bool    `json:"skip_equal,omitempty" doc:"Learns from groups only whose rewards differ."`
	Rounds      *int     `json:"rounds,omitempty" doc:"Rounds of sampling, at most, until so many groups differ (dynamic sampling); 1: one." min:"1" max:"64"`
	Overlong    *int     `json:"overlong,omitempty" doc:"Last tokens of a sample in which a penalty grows to 1; 0: none." min:"0"`
	ValueClip   *float64 `json:"value_clip,omitempty" doc:"How far a step may move a value from what it was." above:"0"`
	ValueLoss   *float64 `json:"value_loss,omitempty" doc:"Weight of the critic's loss." min:"0"`
	Importance  *float64 `json:"importance,omitempty" doc:"Computes the old probabilities anew and weighs tokens by old over sampled, at most by this; 0: takes those of sampling." min:"0"`
	Epochs      *int     `json:"epochs,omitempty" doc:"Times that an iteration learns from its samples." min:"1"`
	Minibatches *int     `json:"minibatches,omitempty" doc:"Optimiser steps of an epoch." min:"1"`
}

// rlAlgorithmName is the name of an algorithm as a parameter.
type rlAlgorithmName string

// Words is part of stage.Enumerated.
func (rlAlgorithmName) Words() []string {
	var names []string
	for _, a := range rlAlgorithms() {
		names = append(names, string(a.name))
	}
	return names
}

// rlAlgorithm is a preset.
type rlAlgorithm struct {
	name rlAlgorithmName
	set  func(o *objective.PolicyOptions)
}

// rlAlgorithms lists the presets. Adding one is one line here.
func rlAlgorithms() []rlAlgorithm {
	return []rlAlgorithm{
		{"grpo", func(*objective.PolicyOptions) {}},
		{"dr_grpo", func(o *objective.PolicyOptions) { o.Baseline, o.Aggregation = policy.GroupMean, policy.PerLength }},
		{"dapo", func(o *objective.PolicyOptions) {
			o.Aggregation, o.Clip.High, o.Rounds = policy.PerToken, 0.28, 4
			o.Overlong = policy.Overlong{Limit: o.Length, Cache: o.Length / 5}
		}},
		{"rloo", func(o *objective.PolicyOptions) {
			o.Baseline, o.Aggregation, o.Whiten, o.Beta, o.KLInReward = policy.LeaveOneOut, policy.PerToken, true, 0.05, true
		}},
		{"reinforce++", func(o *objective.PolicyOptions) {
			o.Advantage, o.Baseline, o.GAE = objective.ByReturns, "", policy.GAE{Gamma: 1, Lambda: 1}
			o.Aggregation, o.Whiten, o.Beta, o.KLInReward = policy.PerToken, true, 0.01, true
		}},
		{"ppo", func(o *objective.PolicyOptions) {
			o.Advantage, o.Baseline, o.GAE = objective.ByValues, "", policy.GAE{Gamma: 1, Lambda: 0.95}
			o.Aggregation, o.Whiten, o.Beta, o.KLInReward, o.Epochs = policy.PerToken, true, 0.05, true, 4
		}},
	}
}

// apply sets an algorithm's options, then those that are given. Length must be set.
func (l rlLoss) apply(name rlAlgorithmName, o *objective.PolicyOptions) error {
	o.Advantage, o.Baseline, o.GAE = objective.ByGroup, policy.GroupStd, policy.GAE{Gamma: 1, Lambda: 1}
	o.Aggregation, o.Clip, o.KL = policy.PerSequence, policy.Clip{Low: 0.2, High: 0.2}, policy.K3
	o.Epochs, o.Minibatches, o.Rounds, o.ValueClip, o.ValueLoss = 1, 2, 1, 0.2, 0.1
	found := false
	for _, a := range rlAlgorithms() {
		if a.name == name {
			a.set(o)
			found = true
		}
	}
	if !found {
		return fmt.Errorf("there is no algorithm %q", name)
	}
	give(&o.Beta, l.Beta)
	give(&o.Advantage, convert[objective.Estimation](l.Advantage))
	// Groups of equal rewards have no gradient where nothing else is in the loss.
	o.SkipEqual = o.Advantage == objective.ByGroup && o.Beta == 0
	give(&o.Baseline, convert[policy.Baseline](l.Baseline))
	give(&o.GAE.Gamma, l.Gamma)
	give(&o.GAE.Lambda, l.Lambda)
	give(&o.Whiten, l.Whiten)
	give(&o.Aggregation, convert[policy.Aggregation](l.Aggregate))
	give(&o.Clip.Low, l.ClipLow)
	give(&o.Clip.High, l.ClipHigh)
	give(&o.KL, convert[policy.Estimator](l.KL))
	if l.KLIn != nil {
		o.KLInReward = *l.KLIn == "reward"
	}
	o.KLControl.Horizon = 10_000
	give(&o.KLControl.Target, l.KLTarget)
	give(&o.KLControl.Horizon, l.KLHorizon)
	give(&o.Entropy, l.Entropy)
	give(&o.SkipEqual, l.SkipEqual)
	give(&o.Rounds, l.Rounds)
	if l.Overlong != nil {
		o.Overlong = policy.Overlong{Limit: o.Length, Cache: *l.Overlong}
	}
	give(&o.ValueClip, l.ValueClip)
	give(&o.ValueLoss, l.ValueLoss)
	if l.Importance != nil && *l.Importance > 0 {
		o.Importance = &policy.Importance{Most: *l.Importance}
	}
	give(&o.Epochs, l.Epochs)
	give(&o.Minibatches, l.Minibatches)
	return nil
}

// give sets what is given.
func give[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// convert makes a word of a parameter the type that it names.
func convert[T ~string](word *string) *T {
	if word == nil {
		return nil
	}
	v := T(*word)
	return &v
}
