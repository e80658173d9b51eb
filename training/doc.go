// Package training trains models on gorgonia graphs whose nodes are fused operations.
//
// The layers, each knowing only the one below it:
//
//	objective, model   build graphs from operations
//	op                 shape, forward and backward of one fused operation
//	graph              gorgonia graph, reverse pass, memory plan
//	device             values and backends
//	kernel             slices of float32 in, slices out
//
// Start reading at graph.Graph, then op.Linear.
//
// The letters of tensor shapes mean the same everywhere below this folder:
//
//	B  batch: sequences or images
//	T  tokens of a sequence; S where queries and keys differ in number (T queries, S keys)
//	P  patches of an image
//	C  channels: the width of a token's vector; I and O where a layer changes it
//	V  vocabulary
//	H  heads of attention; K where queries share key/value heads
//	D  width of one head
//	N  rows, when the leading dimensions do not matter: (B, T, C) is (N, C) with N = B T
//
// Tensors are dense and row-major; the last letter is contiguous.
package training
