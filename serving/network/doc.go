// Package network runs a decoder forward: the text tower of package model, without a graph, over prepacked weights and a paged cache of keys
// and values.
//
// A [Network] is the weights; a [Cache] is the memory of the sequences that one scheduler runs. [Cache.Forward] takes runs of tokens of many
// sequences, prompts and single tokens alike, so that every product has as many rows as there are tokens. Rows never mix outside their own
// sequence, and every kernel computes a row in an order that does not depend on the others: a token's state has the same bits however its
// sequence was cut into runs and whatever else ran.
//
// It computes what package model's graphs compute, for every form: gpt2, llama, qwen2, experts, cross-attention to an image (blip), rows in place
// of tokens (vlm). Start reading at network.go, then forward.go.
package network
