// Package chaos holds two tests behind the build tag chaos. One kills worker,
// Temporal and MinIO at random moments of a run and compares what the run made
// with what an undisturbed one makes; the other kills one of two workers that
// train replicas in rounds.
//
//	task test:chaos -- -seed 7 -kills 20
package chaos
