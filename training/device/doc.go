// Package device holds tensors in the memory of a device and offers the kernels that work on them.
//
// A Value is a shape, an element type and a window of a Buffer; it implements gorgonia.Value, so a graph of
// Values runs on gorgonia's TapeMachine whether or not the host can address the memory. A Backend allocates
// buffers, copies between them and the host, and runs kernels; it is composed of small families (Memory,
// Linear, Attention, ...), one file of argument structs each. NewCPU is the backend on kernel.Engine; package
// reference computes the same in float64, and package devicetest holds every backend to it: a new method is added to
// a family here, to the CPU, to the reference and to the trials.
//
// Nothing above this package touches the memory of a Value except through a Backend.
package device
