package policy

import (
	"errors"
	"fmt"
	"math"
)

// Completion is what a loss sees of a completion. LogProb and Reference are sums over its tokens of their log-probabilities under the policy that
// is trained and under the frozen one; losses that want means divide by Tokens. No tokens: there is no such completion.
type Completion struct {
	LogProb, Reference float64
	Tokens             int
}

// ratio is the logarithm of how much likelier the policy makes the completion than the reference does.
func (c Completion) ratio() float64 { return c.LogProb - c.Reference }

// mean is the log-probability of a token.
func (c Completion) mean() float64 { return c.LogProb / float64(c.Tokens) }

// meanRatio is ratio of a token.
func (c Completion) meanRatio() float64 { return c.ratio() / float64(c.Tokens) }

// Pair is two completions of a prompt, of which one is preferred. Mismatched is the completion of another prompt, for losses that want one.
type Pair struct{ Chosen, Rejected, Mismatched Completion }

// PairGradient is the gradient of a loss with respect to the log-probabilities of a pair's completions. That of Mismatched has none.
type PairGradient struct{ Chosen, Rejected float64 }

// PreferenceOptions are the parameters of all preference losses; each says which ones it takes and as what.
type PreferenceOptions struct {
	Beta      float64
	Smoothing float64 // share of labels that are taken to be the wrong way round
	Gamma     float64 // of SimPO
	Desirable float64 // of KTO: weight of chosen completions
	Undesired float64 // of KTO: weight of rejected completions
}

// Validate returns all faults at once.
func (o PreferenceOptions) Validate() error {
	var faults []error
	if !(o.Beta > 0) {
		faults = append(faults, fmt.Errorf("beta is %v: give a positive number, such as 0.1", o.Beta))
	}
	if !(o.Smoothing >= 0 && o.Smoothing < 0.5) {
		faults = append(faults, fmt.Errorf("smoothing is %v: give at least 0 and less than 0.5", o.Smoothing))
	}
	if !(o.Gamma >= 0) || !(o.Desirable >= 0) || !(o.Undesired >= 0) {
		faults = append(faults, fmt.Errorf("gamma is %v, the weights are %v and %v: none may be negative", o.Gamma, o.Desirable, o.Undesired))
	}
	return errors.Join(faults...)
}

// Preference is a loss that learns from pairs.
type Preference struct {
	Name       string
	Reference  bool // it compares with a reference policy
	Mismatched bool // it wants Pair.Mismatched, and a batch that is not split
	// Loss returns the mean loss of the pairs and adds its gradient to grad, one for each pair.
	Loss func(o PreferenceOptions, pairs []Pair, grad []PairGradient) float64
	// Reward is what the loss takes for the reward of a completion.
	Reward func(o PreferenceOptions, c Completion) float64
}

// Preferences lists the losses. Adding one is one file and one line here.
func Preferences() []Preference {
	return []Preference{sigmoid(), ipo(), hinge(), kto(), orpo(), simpo()}
}

// FindPreference finds a loss by name.
func FindPreference(name string) (Preference, bool) {
	for _, p := range Preferences() {
		if p.Name == name {
			return p, true
		}
	}
	return Preference{}, false
}

// logSigmoid is log(1 / (1 + e^-x)), without overflow.
func logSigmoid(x float64) float64 { return math.Min(x, 0) - math.Log1p(math.Exp(-math.Abs(x))) }

// Sigmoid is 1 / (1 + e^-x).
func Sigmoid(x float64) float64 { return math.Exp(logSigmoid(x)) }

// smoothed is the loss -(1-e) log sigmoid(x) - e log sigmoid(-x) of a logit x, and its slope.
func smoothed(x, e float64) (loss, slope float64) {
	return -(1-e)*logSigmoid(x) - e*logSigmoid(-x), e*Sigmoid(x) - (1-e)*Sigmoid(-x)
}

// implicit is the reward of losses that compare with a reference (Rafailov et al. 2023): beta log(pi / pi_ref).
func implicit(o PreferenceOptions, c Completion) float64 { return o.Beta * c.ratio() }
