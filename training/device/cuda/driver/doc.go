// Package driver is the CUDA driver as a trainer needs it, on gorgonia.org/cu: devices, memory, modules, launches, graphs.
//
// The library is bound when the process starts, if there is one (shim.c): a binary built with the tag gpu starts anywhere, and Unavailable says
// what is missing. Without the tag the package is empty.
package driver

//go:generate ./symbols.sh
