// Package generate writes text with a trained decoder: captions of images, continuations of a language model, answers about images, and the
// samples of reinforcement learning, with their log-probabilities.
//
// A [Generator] holds a model's weights, packed once, and a pool of pages for keys and values. Requests of all calls run together: in every step
// each text that is being written gets a token, and a piece of the prompts of those that wait for one passes beside them (continuous batching,
// Yu et al. 2022; paged attention, Kwon et al. 2023; chunked prefill, Agrawal et al. 2023). Texts of one request share the pages of its prompt
// until they write to them. A request is admitted when pages and rows are free; when pages run out, the texts that came last give theirs up and
// are computed again later.
//
// The output of a request is the same to the bit whatever else runs, for any number of threads and any [Options], on one level of CPU features:
// a row of every kernel is computed in an order that does not depend on the other rows, and draws depend on the seed and the place in the text
// alone.
//
// # Reinforcement learning
//
// A policy's samples are the texts of a request with Samples and a temperature. SampledLogProbs are the probabilities that they were drawn by; LogProbs
// are those of the model itself. [Generator.Score] gives the latter for any text, to the bit what writing it gave; both equal the training graph's to
// 1e-4. [Generator.Load] takes the weights after a step of the optimiser. With Stop, set KeepStop: the policy sampled those tokens too. The example
// shows one round.
//
// Start reading at request.go, then generator.go and step.go; package network is the model, package page the accounts of pages.
package generate
