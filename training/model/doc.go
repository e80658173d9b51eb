// Package model holds the networks: vision transformers, BLIP's mixture of encoder
// and decoder for text, decoders in the forms of GPT-2, Llama and Qwen2, with or
// without a mixture of experts, the heads of the contrastive, matching and language
// objectives, and a vision-language model of an image encoder, a projector and a
// decoder.
//
// A Config says what there is, Config.Params lists every parameter by name, a
// Model holds them on a device and adds its parts to graphs, Weights are a copy
// on the host that reads and writes model.safetensors.
//
// Names of parameters, with {l} counting layers from 0:
//
//	vision.patch.{weight,bias}                (3 patch patch, C), (C)
//	vision.class                              (C), where the class token is pooled
//	vision.position                           (P, C), the class token's first; moonvit: (Grid Grid, C)
//	vision.pre_norm.{weight,bias}             where there is one
//	vision.blocks.{l}.self.*                  attention of the layer
//	vision.blocks.{l}.mlp.*
//	vision.norm.{weight,bias}
//	vision.pool.{probe,q,kv,out,mlp}          pooling by attention: probe is (C), the others as in cross and mlp
//	projector.{norm,up,down}                  (vlm) norm of C; up (Merge Merge C, F), down (F, C of the text)
//	text.token                                (V, C)
//	text.position                             (T, C), where positions are learned
//	text.blocks.{l}.self.*                    attention of the text encoder (clip, blip)
//	text.blocks.{l}.causal.*                  attention of the decoder (blip, lm, vlm)
//	text.blocks.{l}.cross.*                   attention to the image (blip)
//	text.blocks.{l}.mlp.*
//	text.norm.*
//	text.head.weight                          (C, V), the language head; absent where it is tied to text.token (then logits = x tokenᵀ)
//	text.head.bias                            (V), of blip
//	image_projection.weight                   (C, E), of clip and blip; not where the vision form is siglip
//	text_projection.weight                    (C, E), of clip and blip; .bias (E) where the vision form is siglip
//	match.{weight,bias}                       (C, 2), the image-text matching head; class 1 is "they belong together"
//	score.weight                              (C, 1), the head of a model that judges; likelihood: (1), with score.bias (1)
//	log_scale, logit_bias, temperature        (1), of clip, of clip with the loss sigmoid, of blip
//
// A sub-layer holds its own norm. self and causal: norm, qkv (C, (H + 2 K) D; all
// heads of queries, of keys, of values), out (H D, C). cross: norm, q (C, C), kv
// (C of the image, 2 C; keys, values), out. A plain mlp: norm, up (C, F), down
// (F, C); a gated one: norm, gate_up (C, 2 F; the gate's columns first), down. One
// of experts: norm, router.weight (C, N), router.balance (N; no gradient moves it),
// experts.gate_up (N, C, 2 F), experts.down (N, F, C), and of the shared experts
// shared.gate_up and shared.down.
//
// Weights are (in, out): y = x W + b. Norms have a weight and, unless they are RMS
// norms, a bias; which linear layers of a decoder have a bias is Text.Bias. A
// linear layer L that LoRA changes has L.lora_a (in, r) and L.lora_b (r, out) too.
// Blocks are pre-norm: x = x + sub-layer(norm(x)), in the order self or causal,
// cross, mlp. text.norm follows the last block in every mode. Rotary positions turn
// queries and keys in the half-split layout of Llama.
//
// Which file to read: config.go and kind.go for what can be configured, resolve.go
// for the defaults, spec.go and spec_towers.go for the parameters, text.go and
// vision.go for the networks.
package model
