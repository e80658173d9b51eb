// Package chaos holds one test, behind the build tag chaos: it kills worker,
// Temporal and MinIO at random moments of a run and compares what the run made
// with what an undisturbed one makes.
//
//	task test:chaos -- -seed 7 -kills 20
package chaos
