// Package optim updates parameters: AdamW and Muon with a global-norm clip, the
// schedule of their rate, and exponential moving averages.
//
// Everything that a step computes is a function of the gradients and the step's
// number, in a fixed order, so that runs repeat to the bit.
package optim
