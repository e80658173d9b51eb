//go:build !gpu

// Package nvml is empty without the tag gpu.
package nvml
