// Package blas is matrix products by cuBLASLt, NVIDIA's library, which is loaded when a handle is opened and never linked. Products are row-major here.
//
// Each shape's algorithm is asked for once and kept, so that a product costs one call, and one machine computes it in one order of sums. Without
// the tag gpu the package is empty.
package blas
