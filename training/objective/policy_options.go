package objective

import (
	"errors"
	"fmt"

	"tempera/training/policy"
)

// Estimation is how the advantages of tokens come from the rewards of samples.
type Estimation string

// The estimations.
const (
	ByGroup   Estimation = "group"   // a sample's reward against the others of its prompt: PolicyOptions.Baseline
	ByReturns Estimation = "returns" // the sum of the rewards that follow a token (REINFORCE++)
	ByValues  Estimation = "values"  // GAE with a critic (PPO)
)

// PolicyOptions say how a policy learns. The names are those of package policy, which has the formulas.
type PolicyOptions struct {
	Seed        uint64
	Prompts     int // of an iteration
	Group       int // samples of a prompt
	Epochs      int // over the samples of an iteration
	Minibatches int // of an epoch, an optimiser step each

	// Temperature is the one that samples are drawn at: log-probabilities are those at it.
	Temperature float64
	// Length is the most tokens of a sample, which PerLength divides by.
	Length int

	Advantage Estimation
	Baseline  policy.Baseline
	GAE       policy.GAE
	// Whiten gives the advantages of an iteration's tokens mean 0 and deviation 1.
	Whiten bool
	// SkipEqual leaves groups whose rewards are equal out of the minibatches. Their gradient is 0 unless the loss has a divergence or entropy.
	SkipEqual bool
	// Rounds is how often more prompts are sampled, at most, until Prompts groups have rewards that differ (DAPO's dynamic sampling); 1: once.
	Rounds int

	Aggregation policy.Aggregation
	Clip        policy.Clip
	// Beta weighs the divergence from the reference, in the loss or, with KLInReward, in the rewards (K1 then).
	Beta       float64
	KL         policy.Estimator
	KLInReward bool
	KLControl  policy.KLControl // moves Beta
	Entropy    float64          // weight of the entropy bonus
	Overlong   policy.Overlong
	ValueClip  float64
	ValueLoss  float64 // weight of the critic's loss
	// Importance corrects for samples that are not those of the policy as it is when the iteration begins; nil: they are.
	Importance *policy.Importance

	// GraphTokens is about how many tokens pass the model at a time: a minibatch that has more is computed in parts.
	GraphTokens int
	Checkpoint  bool // layers are computed again in the reverse pass

	// MaxDrift is how far the training graph's log-probability of a sampled token may be from the one that it was drawn by, on average.
	MaxDrift float64
	// MaxMoved is how far the policy may go within an iteration: nats of a token's KL divergence from the policy that sampled.
	MaxMoved float64
	// MaxKL is how far the policy may be from the reference: nats of a sample; 0: any.
	MaxKL float64
	// EqualLimit is how many iterations in a row may have equal rewards in every group; then the run ends with an error.
	EqualLimit int
}

// Steps is the number of optimiser steps of an iteration.
func (o PolicyOptions) Steps() int64 { return int64(o.Epochs) * int64(o.Minibatches) }

// Reference tells whether a reference model is needed.
func (o PolicyOptions) Reference() bool { return o.Beta > 0 || o.KLControl.Target > 0 || o.MaxKL > 0 }

// Validate returns all faults at once.
func (o PolicyOptions) Validate() error {
	var faults []error
	fail := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fail(o.Prompts < 1 || o.Epochs < 1 || o.Minibatches < 1 || o.Rounds < 1 || o.Length < 1 || o.GraphTokens < 1 || o.EqualLimit < 1,
		"prompts %d, epochs %d, minibatches %d, rounds %d, length %d, graph tokens %d, equal limit %d: give 1 or more of each",
		o.Prompts, o.Epochs, o.Minibatches, o.Rounds, o.Length, o.GraphTokens, o.EqualLimit)
	fail(o.Group < 1 || o.Group < 2 && o.Advantage == ByGroup, "group is %d: give 2 samples of a prompt or more, so that they can be compared", o.Group)
	fail(o.Minibatches > o.Prompts*o.Group, "minibatches is %d for %d samples: give fewer", o.Minibatches, o.Prompts*o.Group)
	fail(!(o.Temperature > 0), "temperature is %v: give a positive number, such as 1", o.Temperature)
	fail(o.Clip.Low < 0 || o.Clip.Low >= 1 || o.Clip.High < 0, "clip is %v below and %v above: give 0 to 1, and 0 or more", o.Clip.Low, o.Clip.High)
	fail(o.Advantage == ByGroup && o.Baseline == "", "advantage group needs a baseline")
	fail(o.Rounds > 1 && o.Advantage != ByGroup, "rounds is %d: more prompts are sampled for advantages by group only", o.Rounds)
	fail(o.SkipEqual && o.Advantage != ByGroup, "equal rewards can be skipped for advantages by group only")
	fail(o.KLControl.Target > 0 && !(o.KLControl.Horizon > 0), "the horizon of the KL control is %v: give a positive number of samples", o.KLControl.Horizon)
	fail(o.Overlong.Cache > o.Overlong.Limit, "the overlong cache is %d of %d tokens: give fewer", o.Overlong.Cache, o.Overlong.Limit)
	fail(!(o.MaxDrift > 0) || !(o.MaxMoved > 0), "max drift is %v and max moved %v: give positive numbers", o.MaxDrift, o.MaxMoved)
	return errors.Join(faults...)
}
