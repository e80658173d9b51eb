// Package checkpoint reads and writes safetensors files, and keeps the state of
// a training run in one of them.
//
// Format: https://huggingface.co/docs/safetensors. Eight bytes hold the length
// of the header (little-endian), the header is a JSON object, and the tensors'
// bytes follow it without gaps. Equal contents give equal bytes: tensors are
// ordered by falling element size, then by name, and metadata keys are sorted.
//
// Start with Write and Open; Snapshot is the state of a training run.
package checkpoint
