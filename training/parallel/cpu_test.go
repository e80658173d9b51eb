//go:build !gpu

package parallel_test

func gpuPlaces() []place { return nil }
