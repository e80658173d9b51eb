// Package objective computes the losses that models are trained with. Each file
// is one objective; all implement training.Objective.
//
// Batches hold images, float32 (B, 3, H, W); tokens, int32 (B, T), a text being
// BOS, its words, EOS and padding up to T; lengths, int32 (B), of the texts
// without padding; and, where rows are known to be alike, groups: see GroupRows.
// Language models take targets instead of lengths. Images of any size come packed:
// see model.PackedImages.
//
// A Plan says how a step is computed: in parts whose gradients add up to those of the whole batch, at the length of the texts,
// with layers computed again instead of kept. Each objective holds its graphs in buckets that share one arena, and tells by Needs, without
// allocating, what a batch of another size would take.
package objective
