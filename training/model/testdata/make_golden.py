#!/usr/bin/env python3
"""Golden values of whole models, from an implementation in PyTorch that shares nothing with the Go code but the names of the parameters.

Run it in this folder, with Debian's python3-torch:  python3 make_golden.py
It writes one JSON file per case: the configuration, the inputs, outputs in float64, and of each gradient 16 elements at equal distances. Parameters are
not stored: element i of a parameter called n is amplitude(n) cos(0.731 i i + 12.9898 i + seed(n)), rounded to float32, see value().
"""
import json
import math
import sys

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
CASES = {}


def value(name, *shape):
    seed = sum((i + 1) * ord(c) for i, c in enumerate(name)) % 1000
    n = math.prod(shape)
    wave = torch.tensor([math.cos(0.731 * i * i + 12.9898 * i + seed) for i in range(n)])
    if "norm.weight" in name:
        v = 1 + 0.2 * wave
    elif name == "log_scale":
        v = torch.full((n,), 1.5)
    elif name == "logit_bias":
        v = torch.full((n,), -1.0)
    else:
        v = 0.3 * wave
    return v.float().double().reshape(shape).requires_grad_(True)


class Params:
    """Parameters by name, made when they are first asked for."""

    def __init__(self):
        self.made = {}

    def __call__(self, name, *shape):
        if name not in self.made:
            self.made[name] = value(name, *shape)
        return self.made[name]


# ------------------------------------------------------------------ layers


def norm(p, name, x, t):
    w = p(name + ".weight", x.shape[-1])
    if t["norm"] == "rms_norm":
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + t["eps"]) * w
    return F.layer_norm(x, x.shape[-1:], w, p(name + ".bias", x.shape[-1]), t["eps"])


def linear(p, name, x, out, bias):
    y = x @ p(name + ".weight", x.shape[-1], out)
    lora = p.lora if hasattr(p, "lora") else None
    if lora and lora["applies"](name):
        y = y + lora["scale"] * (x @ p(name + ".lora_a", x.shape[-1], lora["rank"])) @ p(name + ".lora_b", lora["rank"], out)
    return y + p(name + ".bias", out) if bias else y


def activation(name):
    return {"gelu": F.gelu, "silu": F.silu, "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
            "gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))}[name]


def frequencies(rope, d, context):
    """Hugging Face's modeling_rope_utils: inverse frequencies and the factor of sines and cosines."""
    theta, s = rope["theta"], rope.get("scaling", {"type": ""})
    original = s.get("original_context", context)
    kind = s["type"]
    if kind == "dynamic":
        theta = theta * ((s["factor"] * max(context, original) / original) - (s["factor"] - 1)) ** (d / (d - 2))
    inv = 1.0 / (theta ** (torch.arange(0, d, 2).double() / d))
    if kind == "linear":
        return inv / s["factor"], 1.0
    if kind == "llama3":
        wavelen = 2 * math.pi / inv
        low, high = original / s["low_freq_factor"], original / s["high_freq_factor"]
        scaled = torch.where(wavelen > low, inv / s["factor"], inv)
        smooth = (original / wavelen - s["low_freq_factor"]) / (s["high_freq_factor"] - s["low_freq_factor"])
        smoothed = (1 - smooth) * scaled / s["factor"] + smooth * scaled
        medium = ~(wavelen < high) * ~(wavelen > low)
        return torch.where(medium, smoothed, scaled), 1.0
    if kind == "yarn":
        def correction(rotations):
            return d * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))
        low, high = max(math.floor(correction(s["beta_fast"])), 0), min(math.ceil(correction(s["beta_slow"])), d - 1)
        high = high + 0.001 if low == high else high
        ramp = torch.clamp((torch.arange(d // 2).double() - low) / (high - low), 0, 1)
        keep = 1 - ramp
        return inv / s["factor"] * (1 - keep) + inv * keep, 0.1 * math.log(s["factor"]) + 1
    return inv, 1.0


def rotate_half(x):
    a, b = x.chunk(2, -1)
    return torch.cat([-b, a], -1)


def turn(x, angles, magnitude=1.0):
    """x (..., T, D) turned by angles (T, D/2), in the half-split layout."""
    both = torch.cat([angles, angles], -1)
    return x * (both.cos() * magnitude) + rotate_half(x) * (both.sin() * magnitude)


def attention(q, k, v, causal):
    """q (B, H, T, D); k and v (B, K, S, D)."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    return scores.softmax(-1) @ v


def heads(x, n):
    return x.unflatten(-1, (n, -1)).transpose(1, 2)


def self_attention(p, name, x, t, causal, rotate=lambda y: y):
    h, k, d = t["heads"], t["kv_heads"], t["head_width"]
    qkv = linear(p, name + ".qkv", norm(p, name + ".norm", x, t), (h + 2 * k) * d, t["bias"] != "none")
    q, key, v = qkv.split([h * d, k * d, k * d], -1)
    y = attention(rotate(heads(q, h)), rotate(heads(key, k)), heads(v, k), causal)
    return x + linear(p, name + ".out", y.transpose(1, 2).flatten(2), x.shape[-1], t["bias"] == "all")


def mlp(p, name, x, t):
    h, c, bias = norm(p, name + ".norm", x, t), x.shape[-1], t["bias"] == "all"
    if t["mlp"] == "gated":
        gate, up = linear(p, name + ".gate_up", h, 2 * t["hidden"], bias).chunk(2, -1)
        h = F.silu(gate) * up
    else:
        h = activation(t["activation"])(linear(p, name + ".up", h, t["hidden"], bias))
    return x + linear(p, name + ".down", h, c, bias)


def mixture(p, name, x, t):
    e, c = t["experts"], x.shape[-1]
    h = norm(p, name + ".norm", x, t)
    s = torch.sigmoid(h @ p(name + ".router.weight", c, e["count"]))
    with torch.no_grad():
        scores = s + p(name + ".router.balance", e["count"])
        top = scores.topk(e["active"] + 1, -1).values
        assert (top[..., -2] - top[..., -1]).min() > 1e-3, "the choice of an expert is too close"
        chosen = scores.topk(e["active"], -1).indices
    weights = s.gather(-1, chosen)
    weights = weights / weights.sum(-1, keepdim=True) * e["scale"]
    gate_up = p(name + ".experts.gate_up", e["count"], c, 2 * e["hidden"])
    down = p(name + ".experts.down", e["count"], e["hidden"], c)
    y = torch.zeros_like(x)
    for i in range(e["count"]):
        gate, up = (h @ gate_up[i]).chunk(2, -1)
        y = y + (weights * (chosen == i)).sum(-1, keepdim=True) * ((F.silu(gate) * up) @ down[i])
    if e.get("shared"):
        gate, up = linear(p, name + ".shared.gate_up", h, 2 * e["shared"] * e["hidden"], False).chunk(2, -1)
        y = y + linear(p, name + ".shared.down", F.silu(gate) * up, c, False)
    return x + y


# ------------------------------------------------------------------ towers


FORMS = {
    "gpt2": dict(norm="layer_norm", eps=1e-5, position="learned", mlp="plain", bias="all", activation="gelu"),
    "llama": dict(norm="rms_norm", eps=1e-5, position="rope", mlp="gated", bias="none"),
    "qwen2": dict(norm="rms_norm", eps=1e-6, position="rope", mlp="gated", bias="qkv"),
}


def tower(text, width, activation=None):
    """The structure of a text tower, as the configuration in JSON says."""
    t = dict(FORMS[text.get("form", "gpt2")], **text)
    t.setdefault("kv_heads", t["heads"])
    t.setdefault("head_width", width // t["heads"])
    t["width"] = width
    t["eps"] = t.get("norm_eps", t["eps"])
    if activation:
        t["activation"] = activation
    return t


def token_embedding(p, t, tokens):
    table = p("text.token", t["vocab"], t["width"])
    return torch.where((tokens >= 0).unsqueeze(-1), table[tokens.clamp(min=0)], torch.zeros(()))


def text_blocks(p, t, x, attention_name, causal):
    """Blocks over x (B, T, C), whose positions start at 0."""
    n = x.shape[1]
    rotate = lambda y: y
    if t["position"] == "learned":
        x = x + p("text.position", t["context"], t["width"])[:n]
    else:
        inv, magnitude = frequencies(t["rope"], t["head_width"], t["context"])
        angles = torch.arange(n).double()[:, None] * inv
        rotate = lambda y: turn(y, angles, magnitude)
    for l in range(t["layers"]):
        x = self_attention(p, f"text.blocks.{l}.{attention_name}", x, t, causal, rotate)
        experts = t.get("experts")
        if experts and l >= experts.get("dense", 0):
            x = mixture(p, f"text.blocks.{l}.mlp", x, t)
        else:
            x = mlp(p, f"text.blocks.{l}.mlp", x, t)
    return norm(p, "text.norm", x, t)


def head(p, t, x):
    if t.get("tie_head"):
        return x @ p("text.token", t["vocab"], t["width"]).T
    return linear(p, "text.head", x, t["vocab"], False)


# ------------------------------------------------------------------ images


def vision_tower(v):
    t = dict(norm="layer_norm", eps=v.get("norm_eps", 1e-5), mlp="plain", bias="all", activation=v["activation"], heads=v["heads"],
             kv_heads=v["heads"], head_width=v["width"] // v["heads"], hidden=v["hidden"])
    return t


def embed_patches(p, v, images):
    """A convolution whose stride is its kernel; the weight is (in, out)."""
    n, c = v["patch"], v["width"]
    kernel = p("vision.patch.weight", 3 * n * n, c).T.reshape(c, 3, n, n)
    bias = None if v["form"] == "clip" else p("vision.patch.bias", c)
    return F.conv2d(images, kernel, bias, stride=n).flatten(2).transpose(1, 2)


def vision_blocks(p, v, x, rotate=lambda y: y):
    t = vision_tower(v)
    if v["form"] == "clip":
        x = norm(p, "vision.pre_norm", x, t)
    for l in range(v["layers"]):
        x = self_attention(p, f"vision.blocks.{l}.self", x, t, False, rotate)
        x = mlp(p, f"vision.blocks.{l}.mlp", x, t)
    return norm(p, "vision.norm", x, t)


def pool_by_attention(p, v, x):
    t, (b, _, c) = vision_tower(v), x.shape
    q = linear(p, "vision.pool.q", p("vision.pool.probe", c), c, True).expand(b, 1, c)
    k, value = linear(p, "vision.pool.kv", x, 2 * c, True).chunk(2, -1)
    y = attention(heads(q, v["heads"]), heads(k, v["heads"]), heads(value, v["heads"]), False)
    y = linear(p, "vision.pool.out", y.transpose(1, 2).flatten(2), c, True)
    return mlp(p, "vision.pool.mlp", y, t)[:, 0]


def moonvit(p, v, image):
    """One image (3, H, W) of any size: its patches (P, C)."""
    h, w = image.shape[1] // v["patch"], image.shape[2] // v["patch"]
    x = embed_patches(p, v, image[None])
    table = p("vision.position", v["grid"] * v["grid"], v["width"]).reshape(1, v["grid"], v["grid"], -1).permute(0, 3, 1, 2)
    x = x + F.interpolate(table, size=(h, w), mode="bicubic").flatten(2).transpose(1, 2)
    half = v["width"] // v["heads"] // 2
    inv = 1.0 / (10000.0 ** (torch.arange(0, half, 2).double() / half))
    rows = torch.arange(h).double().repeat_interleave(w)[:, None] * inv
    cols = torch.arange(w).double().repeat(h)[:, None] * inv
    return vision_blocks(p, v, x, lambda y: torch.cat([turn(y[..., :half], rows), turn(y[..., half:], cols)], -1))[0], h, w


def project(p, projector, x, h, w, out):
    """Patches (h w, C) to tokens (h w/4, out): LayerNorm, squares of 2 x 2 joined, linear, GELU, linear."""
    c = x.shape[-1]
    x = norm(p, "projector.norm", x, dict(norm="layer_norm", eps=1e-5))
    x = x.reshape(h // 2, 2, w // 2, 2, c).permute(0, 2, 1, 3, 4).reshape(h * w // 4, 4 * c)
    return linear(p, "projector.down", F.gelu(linear(p, "projector.up", x, projector["hidden"], True)), out, True)


# ------------------------------------------------------------------ cases


def sequence(n, modulus, a=5, b=3, c=1):
    return [(a * i * i + b * i + c) % modulus for i in range(n)]


def tensor(t):
    return {"shape": list(t.shape), "data": [float("%.12g" % x) for x in t.detach().flatten().tolist()]}


def write(name, config, inputs, p, outputs, loss):
    loss.backward()
    grads = {}
    for n, t in p.made.items():
        if t.grad is None or n.endswith("router.balance") or hasattr(p, "lora") and ".lora_" not in n:
            continue
        flat = t.grad.flatten()
        stride = max(1, len(flat) // 16)
        grads[n] = {"stride": stride, "data": [float("%.12g" % x) for x in flat[::stride].tolist()]}
    case = {"config": config, "inputs": inputs, "outputs": {k: tensor(v) for k, v in dict(outputs, loss=loss).items()}, "grads": grads}
    with open(name + ".json", "w") as f:
        json.dump(case, f)
        f.write("\n")
    print(name, "loss", loss.item(), "parameters", sum(t.numel() for t in p.made.values()))


def lm(name, width, text, lora=None, documents=None):
    """Language modelling. documents are the lengths of packed texts, which are computed one by one."""
    config = {"kind": "lm", "width": width, "text": text}
    p = Params()
    if lora:
        config["lora"] = lora
        p.lora = {"rank": lora["rank"], "scale": lora["alpha"] / lora["rank"], "applies": lambda n: ".causal." in n}
    t = tower(text, width)
    b, n = 2, text["context"]
    tokens = torch.tensor(sequence(b * n, t["vocab"])).reshape(b, n)
    targets = torch.tensor(sequence(b * n, t["vocab"], 7, 1, 2)).reshape(b, n)
    targets[0, 2] = -100
    inputs = {"tokens": tokens.flatten().tolist(), "targets": targets.flatten().tolist()}
    if documents:
        flat, at, states = tokens.flatten(), 0, []
        for length in documents:
            states.append(text_blocks(p, t, token_embedding(p, t, flat[None, at:at + length]), "causal", True))
            at += length
        states = torch.cat(states, 1).reshape(b, n, -1)
        ends = [0]
        for length in documents:
            ends.append(ends[-1] + length)
        inputs["ends"] = ends + [b * n] * 2
        inputs["positions"] = [i for length in documents for i in range(length)]
    else:
        states = text_blocks(p, t, token_embedding(p, t, tokens), "causal", True)
    logits = head(p, t, states)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
    write(name, config, inputs, p, {"logits": logits}, loss)


LLAMA = dict(form="llama", vocab=23, context=8, layers=2, heads=4, kv_heads=2, hidden=20)


def scaled(**scaling):
    return dict(LLAMA, rope={"theta": 100.0, "scaling": dict(scaling, factor=4.0)})


def language():
    lm("gpt2", 12, dict(vocab=23, context=8, layers=2, heads=3, hidden=20, tie_head=True))
    lm("gpt2_packed", 12, dict(vocab=23, context=8, layers=2, heads=3, hidden=20), documents=[5, 3, 1, 7])
    lm("llama_llama3", 16, scaled(type="llama3", original_context=32, low_freq_factor=1.0, high_freq_factor=4.0))
    lm("llama_linear", 16, scaled(type="linear"))
    lm("llama_dynamic", 16, scaled(type="dynamic", original_context=4))
    lm("llama_yarn", 32, dict(scaled(type="yarn", original_context=64, beta_fast=32.0, beta_slow=1.0), head_width=16))
    lm("llama_lora", 16, dict(LLAMA, rope={"theta": 100.0}), lora={"rank": 3, "alpha": 6.0, "targets": ["text.blocks.*.causal.*"]})
    qwen2 = dict(form="qwen2", vocab=23, context=8, layers=2, heads=4, kv_heads=1, hidden=20, tie_head=True, rope={"theta": 50.0})
    lm("qwen2", 16, qwen2)
    lm("qwen2_packed", 16, qwen2, documents=[5, 3, 1, 7])
    lm("moe", 16, dict(LLAMA, layers=3, rope={"theta": 100.0},
                       experts={"count": 6, "active": 2, "shared": 1, "hidden": 7, "dense": 1, "scale": 2.446}))


def pixels(n, seed):
    return [round(math.cos(0.37 * i + 0.011 * i * i + seed), 4) for i in range(n)]


def contrast(name, loss, vision, text):
    config = {"kind": "clip", "width": 12, "embed": 8 if loss == "softmax" else vision["width"], "loss": loss, "vision": vision, "text": text}
    p, b = Params(), 3
    t = tower(text, 12, "quick_gelu" if loss == "softmax" else "gelu_tanh")
    side, n = vision["image"], text["context"]
    flat = pixels(b * 3 * side * side, 1)
    tokens = torch.tensor(sequence(b * n, t["vocab"])).reshape(b, n)
    lengths = [n, n - 2, 1] if loss == "softmax" else [n] * b
    x = embed_patches(p, vision, torch.tensor(flat).reshape(b, 3, side, side))
    if vision["form"] == "clip":
        x = torch.cat([p("vision.class", vision["width"]).expand(b, 1, -1), x], 1)
    x = vision_blocks(p, vision, x + p("vision.position", x.shape[1], vision["width"]))
    if vision["form"] == "clip":
        image = x[:, 0] @ p("image_projection.weight", vision["width"], config["embed"])
    else:
        image = pool_by_attention(p, vision, x)
    states = text_blocks(p, t, token_embedding(p, t, tokens), "self", bool(text.get("causal")))
    states = torch.stack([states[i, l - 1] for i, l in enumerate(lengths)])
    features = linear(p, "text_projection", states, config["embed"], vision["form"] == "siglip")
    cosines = F.normalize(image, dim=-1) @ F.normalize(features, dim=-1).T
    logits = p("log_scale", 1).exp() * cosines
    if loss == "softmax":
        answer = torch.arange(b)
        value = (F.cross_entropy(logits, answer) + F.cross_entropy(logits.T, answer)) / 2
    else:
        logits = logits + p("logit_bias", 1)
        value = -F.logsigmoid((2 * torch.eye(b) - 1) * logits).sum() / b
    inputs = {"images": flat, "tokens": tokens.flatten().tolist(), "lengths": lengths}
    write(name, config, inputs, p, {"image": image, "text": features, "logits": logits}, value)


def vlm(name, sizes):
    """A vision-language model that sees images of some sizes, in pixels, one in each text."""
    vision = dict(form="moonvit", image=8, patch=2, width=16, layers=2, heads=2, hidden=20, grid=3, activation="gelu_tanh")
    text = dict(LLAMA, context=14, special={"pad": 0, "bos": 1, "eos": 2, "enc": 3, "image": 22}, rope={"theta": 100.0})
    config = {"kind": "vlm", "width": 16, "vision": vision, "projector": {"hidden": 18}, "text": text}
    p, t, n = Params(), tower(text, 16), text["context"]
    images, states, features = [], [], []
    for i, (height, width) in enumerate(sizes):
        flat = pixels(3 * height * width, i)
        images.append({"height": height, "width": width, "pixels": flat})
        x, h, w = moonvit(p, vision, torch.tensor(flat).reshape(3, height, width))
        states.append(x)
        features.append(project(p, config["projector"], x, h, w, 16))
    rows, embedded = [], []
    for i, image in enumerate(features):
        words = [j % 22 for j in sequence(n, 22, 3, 1, i)]
        words[1:1 + len(image)] = [22] * len(image)
        rows.append(words)
        ids = torch.tensor([-1 if j == 22 else j for j in words])
        x = token_embedding(p, t, ids)
        embedded.append(torch.cat([x[:1], image, x[1 + len(image):]]))
    logits = head(p, t, text_blocks(p, t, torch.stack(embedded), "causal", True))
    targets = [[j if j != 22 and k > 0 else -100 for k, j in enumerate(words)][1:] + [-100] for words in rows]
    loss = F.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten(), ignore_index=-100)
    inputs = {"images": images, "tokens": sum(rows, []), "targets": sum(targets, [])}
    write(name, config, inputs, p, {"states": torch.cat(states), "logits": logits}, loss)


def vision():
    shape = dict(image=6, patch=2, width=16, layers=2, heads=2, hidden=20)
    text = dict(vocab=23, context=5, layers=2, heads=2, hidden=20, pool="last")
    contrast("clip", "softmax", dict(shape, form="clip", activation="quick_gelu"), dict(text, causal=True, activation="quick_gelu"))
    contrast("siglip", "sigmoid", dict(shape, form="siglip", activation="gelu_tanh", norm_eps=1e-6), dict(text, activation="gelu_tanh"))
    vlm("vlm", [(8, 12), (4, 4), (12, 16)])


if __name__ == "__main__":
    language()
    vision()
