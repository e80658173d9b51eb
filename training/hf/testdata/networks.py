"""GPT-2, Llama, Qwen2, CLIP and SigLIP in plain PyTorch, as make_folders.py needs them.

Written again after the modelling code of transformers: the same modules, so the
same names and shapes of tensors, and the same order of operations. Everything is
computed in the type of the parameters, positions in float64.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_new": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_pytorch_tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
}


def attend(q, k, v, mask=None):
    """softmax(q k' / sqrt(D) + mask) v of (B, H, T, D)."""
    w = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        w = w + mask
    return w.softmax(-1) @ v


def split_heads(x, heads):
    return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def merge_heads(x):
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)


def causal(t):
    return torch.full((t, t), -math.inf, dtype=torch.float64).triu(1)


# GPT-2 ---------------------------------------------------------------------


class Conv1D(nn.Module):
    """A linear layer whose weight is (in, out)."""

    def __init__(self, out, inp):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inp, out))
        self.bias = nn.Parameter(torch.empty(out))

    def forward(self, x):
        return x @ self.weight + self.bias


class GPT2Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c["n_head"]
        self.c_attn = Conv1D(3 * c["n_embd"], c["n_embd"])
        self.c_proj = Conv1D(c["n_embd"], c["n_embd"])

    def forward(self, x):
        q, k, v = (split_heads(y, self.heads) for y in self.c_attn(x).chunk(3, -1))
        return self.c_proj(merge_heads(attend(q, k, v, causal(x.shape[1]))))


class GPT2MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        inner = c["n_inner"] or 4 * c["n_embd"]
        self.c_fc = Conv1D(inner, c["n_embd"])
        self.c_proj = Conv1D(c["n_embd"], inner)
        self.act = ACTIVATIONS[c["activation_function"]]

    def forward(self, x):
        return self.c_proj(self.act(self.c_fc(x)))


class GPT2Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.ln_1 = nn.LayerNorm(c["n_embd"], eps=c["layer_norm_epsilon"])
        self.attn = GPT2Attention(c)
        self.ln_2 = nn.LayerNorm(c["n_embd"], eps=c["layer_norm_epsilon"])
        self.mlp = GPT2MLP(c)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2LMHeadModel(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(c["vocab_size"], c["n_embd"]),
            "wpe": nn.Embedding(c["n_positions"], c["n_embd"]),
            "h": nn.ModuleList([GPT2Block(c) for _ in range(c["n_layer"])]),
            "ln_f": nn.LayerNorm(c["n_embd"], eps=c["layer_norm_epsilon"]),
        })

    def forward(self, ids):
        t = self.transformer
        x = t["wte"](ids) + t["wpe"](torch.arange(ids.shape[1]))
        for block in t["h"]:
            x = block(x)
        return t["ln_f"](x) @ t["wte"].weight.T


# Llama and Qwen2 ------------------------------------------------------------


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def frequencies(c, dim):
    """modeling_rope_utils.ROPE_INIT_FUNCTIONS: inverse frequencies and a factor of sine and cosine."""
    s = c.get("rope_scaling") or {"rope_type": "default"}
    kind, base = s["rope_type"], c["rope_theta"]
    inv = 1.0 / base ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    if kind == "linear":
        return inv / s["factor"], 1.0
    if kind == "llama3":
        low, high, old = s["low_freq_factor"], s["high_freq_factor"], s["original_max_position_embeddings"]
        wavelen = 2 * math.pi / inv
        out = torch.where(wavelen > old / low, inv / s["factor"], inv)
        smooth = (old / wavelen - low) / (high - low)
        smoothed = (1 - smooth) * out / s["factor"] + smooth * out
        medium = ~(wavelen < old / high) * ~(wavelen > old / low)
        return torch.where(medium, smoothed, out), 1.0
    if kind == "yarn":
        factor, old = s["factor"], s["original_max_position_embeddings"]
        fast, slow = s.get("beta_fast") or 32, s.get("beta_slow") or 1

        def dimension(rotations):
            return dim * math.log(old / (rotations * 2 * math.pi)) / (2 * math.log(base))

        low, high = max(math.floor(dimension(fast)), 0), min(math.ceil(dimension(slow)), dim - 1)
        if low == high:
            high += 0.001
        ramp = ((torch.arange(dim // 2, dtype=torch.float64) - low) / (high - low)).clamp(0, 1)
        scale = s.get("attention_factor") or 0.1 * math.log(factor) + 1.0
        return inv / factor * ramp + inv * (1 - ramp), scale
    # Within max_position_embeddings, dynamic scaling changes nothing.
    assert kind in ("default", "dynamic"), kind
    return inv, 1.0


def rotate_half(x):
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), -1)


class LlamaAttention(nn.Module):
    def __init__(self, c, bias):
        super().__init__()
        self.c, h = c, c["hidden_size"]
        self.heads, self.kv = c["num_attention_heads"], c["num_key_value_heads"]
        self.dim = c.get("head_dim") or h // self.heads
        self.q_proj = nn.Linear(h, self.heads * self.dim, bias=bias)
        self.k_proj = nn.Linear(h, self.kv * self.dim, bias=bias)
        self.v_proj = nn.Linear(h, self.kv * self.dim, bias=bias)
        self.o_proj = nn.Linear(self.heads * self.dim, h, bias=False)

    def forward(self, x):
        q, k, v = split_heads(self.q_proj(x), self.heads), split_heads(self.k_proj(x), self.kv), split_heads(self.v_proj(x), self.kv)
        inv, scale = frequencies(self.c, self.dim)
        angle = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * inv
        angle = torch.cat((angle, angle), -1)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        q, k = q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin
        k, v = (y.repeat_interleave(self.heads // self.kv, 1) for y in (k, v))
        return self.o_proj(merge_heads(attend(q, k, v, causal(x.shape[1]))))


class LlamaMLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, f = c["hidden_size"], c["intermediate_size"]
        self.gate_proj, self.up_proj = nn.Linear(h, f, bias=False), nn.Linear(h, f, bias=False)
        self.down_proj = nn.Linear(f, h, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class LlamaLayer(nn.Module):
    def __init__(self, c, bias):
        super().__init__()
        self.self_attn, self.mlp = LlamaAttention(c, bias), LlamaMLP(c)
        self.input_layernorm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        self.post_attention_layernorm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])

    def forward(self, x):
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class LlamaForCausalLM(nn.Module):
    bias = False

    def __init__(self, c):
        super().__init__()
        self.model = nn.ModuleDict({
            "embed_tokens": nn.Embedding(c["vocab_size"], c["hidden_size"]),
            "layers": nn.ModuleList([LlamaLayer(c, self.bias) for _ in range(c["num_hidden_layers"])]),
            "norm": RMSNorm(c["hidden_size"], c["rms_norm_eps"]),
        })
        if not c["tie_word_embeddings"]:
            self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)

    def forward(self, ids):
        m = self.model
        x = m["embed_tokens"](ids)
        for layer in m["layers"]:
            x = layer(x)
        head = self.lm_head.weight if hasattr(self, "lm_head") else m["embed_tokens"].weight
        return m["norm"](x) @ head.T


class Qwen2ForCausalLM(LlamaForCausalLM):
    bias = True


# CLIP and SigLIP -------------------------------------------------------------


class TowerAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        h = c["hidden_size"]
        self.heads = c["num_attention_heads"]
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(h, h) for _ in range(4))

    def forward(self, x, mask):
        q, k, v = (split_heads(f(x), self.heads) for f in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(merge_heads(attend(q, k, v, mask)))


class TowerMLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.act = ACTIVATIONS[c["hidden_act"]]
        self.fc1 = nn.Linear(c["hidden_size"], c["intermediate_size"])
        self.fc2 = nn.Linear(c["intermediate_size"], c["hidden_size"])

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class TowerLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn, self.mlp = TowerAttention(c), TowerMLP(c)
        self.layer_norm1 = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])
        self.layer_norm2 = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])

    def forward(self, x, mask):
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layers = nn.ModuleList([TowerLayer(c) for _ in range(c["num_hidden_layers"])])

    def forward(self, x, mask=None):
        for layer in self.layers:
            x = layer(x, mask)
        return x


class TextEmbeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.token_embedding = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.position_embedding = nn.Embedding(c["max_position_embeddings"], c["hidden_size"])

    def forward(self, ids):
        return self.token_embedding(ids) + self.position_embedding(torch.arange(ids.shape[1]))


class VisionEmbeddings(nn.Module):
    def __init__(self, c, class_token):
        super().__init__()
        h, p = c["hidden_size"], c["patch_size"]
        patches = (c["image_size"] // p) ** 2
        if class_token:
            self.class_embedding = nn.Parameter(torch.empty(h))
        self.patch_embedding = nn.Conv2d(3, h, p, p, bias=not class_token)
        self.position_embedding = nn.Embedding(patches + class_token, h)

    def forward(self, pixels):
        x = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        if hasattr(self, "class_embedding"):
            x = torch.cat((self.class_embedding.expand(x.shape[0], 1, -1), x), 1)
        return x + self.position_embedding.weight


class CLIPText(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.eos = c["eos_token_id"]
        self.embeddings, self.encoder = TextEmbeddings(c), Encoder(c)
        self.final_layer_norm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])

    def forward(self, ids):
        x = self.final_layer_norm(self.encoder(self.embeddings(ids), causal(ids.shape[1])))
        at = ids.argmax(-1) if self.eos == 2 else (ids == self.eos).int().argmax(-1)
        return x[torch.arange(ids.shape[0]), at]


class CLIPVision(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embeddings, self.encoder = VisionEmbeddings(c, True), Encoder(c)
        self.pre_layrnorm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])
        self.post_layernorm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])

    def forward(self, pixels):
        return self.post_layernorm(self.encoder(self.pre_layrnorm(self.embeddings(pixels)))[:, 0])


class CLIPModel(nn.Module):
    def __init__(self, c):
        super().__init__()
        t, v = c["text_config"], c["vision_config"]
        self.text_model, self.vision_model = CLIPText(t), CLIPVision(v)
        self.visual_projection = nn.Linear(v["hidden_size"], c["projection_dim"], bias=False)
        self.text_projection = nn.Linear(t["hidden_size"], c["projection_dim"], bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(2.6592))

    def forward(self, ids, pixels):
        text, image = self.text_projection(self.text_model(ids)), self.visual_projection(self.vision_model(pixels))
        cos = F.normalize(text, dim=-1) @ F.normalize(image, dim=-1).T
        return text, image, cos * self.logit_scale.exp()


class SiglipText(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embeddings, self.encoder = TextEmbeddings(c), Encoder(c)
        self.final_layer_norm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])
        self.head = nn.Linear(c["hidden_size"], c["projection_size"])

    def forward(self, ids):
        return self.head(self.final_layer_norm(self.encoder(self.embeddings(ids)))[:, -1])


class PoolingHead(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.probe = nn.Parameter(torch.empty(1, 1, c["hidden_size"]))
        self.attention = nn.MultiheadAttention(c["hidden_size"], c["num_attention_heads"], batch_first=True)
        self.layernorm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])
        self.mlp = TowerMLP(c)

    def forward(self, x):
        x = self.attention(self.probe.repeat(x.shape[0], 1, 1), x, x)[0]
        return (x + self.mlp(self.layernorm(x)))[:, 0]


class SiglipVision(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embeddings, self.encoder = VisionEmbeddings(c, False), Encoder(c)
        self.post_layernorm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])
        self.head = PoolingHead(c)

    def forward(self, pixels):
        return self.head(self.post_layernorm(self.encoder(self.embeddings(pixels))))


class SiglipModel(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.text_model, self.vision_model = SiglipText(c["text_config"]), SiglipVision(c["vision_config"])
        self.logit_scale = nn.Parameter(torch.empty(1))
        self.logit_bias = nn.Parameter(torch.empty(1))

    def forward(self, ids, pixels):
        text, image = self.text_model(ids), self.vision_model(pixels)
        cos = F.normalize(text, dim=-1) @ F.normalize(image, dim=-1).T
        return text, image, cos * self.logit_scale.exp() + self.logit_bias
