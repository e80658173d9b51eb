//go:build !gpu

// Package nccl is empty without the tag gpu.
package nccl
