#!/usr/bin/env python3
"""Writes tiny model folders in Hugging Face's layout, and what the models compute.

    python3 make_folders.py          (PyTorch 1.13 or later; nothing else)

The architectures are those of networks.py. Weights are random float32 numbers;
what the models compute from them is computed in float64.

A folder holds config.json, generation_config.json and model.safetensors. Beside
the folders, NAME.golden.safetensors holds inputs and outputs.
"""
import json
import math
import os
import struct

import torch

from networks import CLIPModel, GPT2LMHeadModel, LlamaForCausalLM, Qwen2ForCausalLM, SiglipModel

HERE = os.path.dirname(os.path.abspath(__file__))
DTYPES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}


def write_safetensors(path, tensors, metadata=None):
    """The format of huggingface/safetensors, tensors in the order of its own writer."""
    names = sorted(tensors, key=lambda n: (-tensors[n].element_size(), n))
    header, at = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for n in names:
        t = tensors[n]
        size = t.numel() * t.element_size()
        header[n] = {"dtype": DTYPES[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(raw)) + raw)
        for n in names:
            f.write(tensors[n].contiguous().numpy().tobytes())


# Folders ---------------------------------------------------------------------

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
COMMON = {"dtype": "float32", "transformers_version": "4.56.0"}

CONFIGS = {
    "gpt2": {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 320, "n_positions": 32, "n_embd": 32,
        "n_layer": 2, "n_head": 4, "n_inner": None, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
        "attn_pdrop": 0.1, "embd_pdrop": 0.1, "resid_pdrop": 0.1, "initializer_range": 0.02, "bos_token_id": 319,
        "eos_token_id": 319, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False, "summary_type": "cls_index", "use_cache": True, **COMMON,
    },
    "llama": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 320, "hidden_size": 32,
        "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
        "hidden_act": "silu", "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "rope_scaling": LLAMA3, "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False, "pretraining_tp": 1,
        "initializer_range": 0.02, "tie_word_embeddings": False, "bos_token_id": 317, "eos_token_id": [318, 319],
        "use_cache": True, **COMMON,
    },
    "qwen2": {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 320, "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "hidden_act": "silu", "max_position_embeddings": 64, "max_window_layers": 2, "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0, "sliding_window": 32, "use_sliding_window": False, "attention_dropout": 0.0,
        "initializer_range": 0.02, "tie_word_embeddings": True, "bos_token_id": 318, "eos_token_id": 319,
        "use_cache": True, **COMMON,
    },
    "clip": {
        "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 20, "logit_scale_init_value": 2.6592,
        "text_config": {
            "model_type": "clip_text_model", "vocab_size": 320, "hidden_size": 24, "intermediate_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 3, "max_position_embeddings": 12, "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5, "projection_dim": 20, "attention_dropout": 0.0, "bos_token_id": 318,
            "eos_token_id": 319, "pad_token_id": 1,
        },
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "image_size": 16, "patch_size": 4, "num_channels": 3, "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5, "projection_dim": 20, "attention_dropout": 0.0,
        },
        **COMMON,
    },
    "siglip": {
        "architectures": ["SiglipModel"], "model_type": "siglip",
        "text_config": {
            "model_type": "siglip_text_model", "vocab_size": 320, "hidden_size": 32, "intermediate_size": 56,
            "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 12, "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": 1e-6, "projection_size": 32, "attention_dropout": 0.0, "bos_token_id": 318,
            "eos_token_id": 319, "pad_token_id": 1,
        },
        "vision_config": {
            "model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "image_size": 16, "patch_size": 4, "num_channels": 3, "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": 1e-6, "attention_dropout": 0.0,
        },
        **COMMON,
    },
}

CLASSES = {"gpt2": GPT2LMHeadModel, "llama": LlamaForCausalLM, "qwen2": Qwen2ForCausalLM, "clip": CLIPModel, "siglip": SiglipModel}

ROPES = {
    "llama3": LLAMA3, "default": None, "dynamic": {"rope_type": "dynamic", "factor": 4.0},
    "linear": {"rope_type": "linear", "factor": 2.5},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
}


def initialise(model):
    """Norms near 1, the rest of a size at which every part of the model matters."""
    for name, p in model.named_parameters():
        values = torch.randn(p.shape)
        if "norm" in name or ".ln_" in name:
            values = 0.2 * values + (1.0 if name.endswith("weight") else 0.0)
        elif name.endswith("bias"):
            values = 0.2 * values - (4.0 if name == "logit_bias" else 0.0)
        elif name == "logit_scale":
            values = 0.2 * values + 2.0
        elif p.dim() >= 2 and "embed" not in name and "wte" not in name and "wpe" not in name and "probe" not in name:
            values = 1.5 * values / math.sqrt(p[0].numel() if not isinstance(model, GPT2LMHeadModel) else p.shape[0])
        else:
            values = 0.7 * values
        p.data = values.float().to(torch.float64)


def texts(rows, context, eos):
    """Texts of several lengths: an end and padding after it."""
    ids = torch.randint(5, 300, (rows, context))
    for r in range(rows):
        end = context - 1 - 3 * r
        ids[r, end], ids[r, end + 1:] = eos, 1
    return ids


def golden_of(name, config, model):
    if name in ("clip", "siglip"):
        ids = texts(3, config["text_config"]["max_position_embeddings"], config["text_config"]["eos_token_id"])
        pixels = torch.randn(2, 3, 16, 16).float().to(torch.float64)
        text, image, logits = model(ids, pixels)
        return {"input_ids": ids, "pixel_values": pixels, "text_embeds": text, "image_embeds": image, "logits_per_text": logits}
    ids = torch.randint(0, 320, (2, 32))
    if name != "llama":
        return {"input_ids": ids, "logits": model(ids)[:, 3::4]}
    out = {"input_ids": ids}
    for rope, scaling in ROPES.items():
        config["rope_scaling"] = scaling
        out["logits." + rope] = model(ids)[:, 7::8]
    config["rope_scaling"] = LLAMA3
    return out


def main():
    for i, (name, config) in enumerate(CONFIGS.items()):
        torch.manual_seed(2024 + i)
        model = CLASSES[name](config)
        initialise(model)
        model.double()
        folder = os.path.join(HERE, name)
        os.makedirs(folder, exist_ok=True)
        weights = {k: v.to(torch.float32) for k, v in model.state_dict().items()}
        write_safetensors(os.path.join(folder, "model.safetensors"), weights, {"format": "pt"})
        with torch.no_grad():
            golden = golden_of(name, config, model)
        write_safetensors(os.path.join(HERE, name + ".golden.safetensors"), golden)
        files = {"config.json": config}
        if name not in ("clip", "siglip"):
            files["generation_config.json"] = {"_from_model_config": True, **{k: config[k] for k in ("bos_token_id", "eos_token_id")}}
        for file, value in files.items():
            with open(os.path.join(folder, file), "w") as f:
                json.dump(value, f, indent=2, sort_keys=True)
                f.write("\n")


if __name__ == "__main__":
    main()
