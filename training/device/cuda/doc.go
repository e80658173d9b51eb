// Package cuda is the backend for NVIDIA GPUs: device.Backend on gorgonia.org/cu, with the kernels of training/kernel/cuda and matrix products by
// cuBLASLt. It is built with the tag gpu (the tag cuda is gorgonia's own, for an engine that needs cuDNN); such a binary starts on any machine, and Open says what is missing. Without the tag Open says that.
//
// One file holds one family of device.Backend, named as there.
package cuda
