// Package parallel trains one model on several devices of a host: each has a replica of the model and runs a part of every step's micro-batches, and their
// gradients are added up. It is an objective like others, so that the loop, the optimiser, checkpoints and evaluation know one device, the root.
//
// Start reading at Objective.Step. docs/design/0012-data-parallel-devices.md says why it is so.
package parallel
