// Package policy holds the losses of post-training as pure functions in float64: of log-probabilities and scores of completions they make a
// number and its gradient. They know no models, devices or graphs; op.HostLoss hosts them in a training graph.
//
// One file holds one loss, with its paper and every deviation from it. Those that learn from preferences are listed by Preferences; start
// reading at preference.go, then dpo.go. Those of reinforcement learning look at each sampled token: start at loss.go, then advantage.go.
package policy
