// Package generate writes text with a trained decoder: captions of images, or the continuations of a language model.
//
// A [Decoder] holds a model's weights, packed once, and calls package kernel directly: no graph. It keeps the keys and values of every token
// (self-attention) and of every image (cross-attention), so that a step costs one token per text. Texts of one call run together in slots;
// a finished text's slot goes to the next one. The output of a request is the same to the bit whatever else is in the batch, and for any number
// of threads.
//
// Start reading at request.go, then batch.go and step.go.
package generate
