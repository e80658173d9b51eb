// Package hf reads and writes model folders in the layout of Hugging Face's
// transformers: config.json, model.safetensors (or several files and an index),
// generation_config.json and the tokenizer's files.
//
// An architecture is one file (gpt2.go, llama.go, qwen2.go, clip.go, siglip.go)
// and one line in the list of architecture.go. It says how the keys of
// config.json become a model.Config and back, and which tensors lie where in
// which parameters (see part); reading, checking, writing and sharding are the
// same for all.
//
// The package is above training/model and training/checkpoint, which know
// nothing of it: it is not a part of checkpoint because it names parameters, and
// not of model because nothing that trains needs it.
//
// Start reading at Open and Write.
package hf
