// Package model holds the networks: a vision transformer, BLIP's mixture of
// encoder and decoder for text, the heads of the contrastive, matching and
// language objectives, and a language model in the form of GPT-2.
//
// A Config says what there is, Config.Params lists every parameter by name, a
// Model holds them on a device and adds its parts to graphs, Weights are a copy
// on the host that reads and writes model.safetensors.
//
// Names of parameters, with {l} counting layers from 0:
//
//	vision.patch.{weight,bias}                (3 patch patch, C), (C)
//	vision.class                              (C), where the class token is pooled
//	vision.position                           (P, C), the class token's first
//	vision.blocks.{l}.self.*                  attention of the layer
//	vision.blocks.{l}.mlp.*
//	vision.norm.{weight,bias}
//	text.token, text.position                 (V, C), (T, C)
//	text.blocks.{l}.self.*                    attention of the text encoder
//	text.blocks.{l}.causal.*                  attention of the decoder (blip, lm)
//	text.blocks.{l}.cross.*                   attention to the image (blip)
//	text.blocks.{l}.mlp.*
//	text.norm.{weight,bias}
//	text.head.{weight,bias}                   (C, V), the language head; no weight where it is tied to text.token (then logits = x tokenᵀ + bias)
//	image_projection.weight, text_projection.weight   (C, E)
//	match.{weight,bias}                       (C, 2), the image-text matching head; class 1 is "they belong together"
//	log_scale, temperature                    (1), of clip and blip
//
// A sub-layer holds its own norm. self and causal: norm.{weight,bias},
// qkv.{weight,bias} (C, 3 C; queries, keys, values), out.{weight,bias} (C, C).
// cross: norm, q (C, C), kv (C of the image, 2 C; keys, values), out. mlp: norm,
// up (C, F), down (F, C). Weights are (in, out): y = x W + b. Blocks are
// pre-norm: x = x + sub-layer(norm(x)), in the order self or causal, cross, mlp.
// text.norm follows the last block in every mode.
package model
