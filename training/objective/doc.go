// Package objective computes the losses that models are trained with. Each file
// is one objective; all implement training.Objective.
//
// Batches hold images, float32 (B, 3, H, W); tokens, int32 (B, T), a text being
// BOS, its words, EOS and padding up to T; lengths, int32 (B), of the texts
// without padding; and, where rows are known to be alike, groups: see GroupRows.
package objective
