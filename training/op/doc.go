// Package op holds the fused operations that models are built from, one file each.
//
// A function such as Linear adds one node (or, where its comment says so, a few) to a graph and panics with a graph.Fault
// when shapes do not fit. Letters of shapes are those of package training; "..." stands for any leading dimensions.
//
// To add an operation, write one file: a type that implements graph.Op, and graph.Differentiable if it has a
// gradient, on kernels of device.Backend; a function that applies it; a case of golden_test.go or a finite-difference test.
package op
