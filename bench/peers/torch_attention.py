#!/usr/bin/python3
"""Self-attention in PyTorch, beside `tempera bench attention`: the same flags, the same keys of one JSON line.

    apt-get install -y --no-install-recommends python3-torch python3-numpy
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 bench/peers/torch_attention.py --tokens 1024 --causal --backward --threads 1
    bench/peers/torch_attention.py --tokens 4096 --heads 32 --width 128 --causal --backward --device cuda --bf16

It takes F.scaled_dot_product_attention where PyTorch has it (2.0 and later), else the explicit products and softmax. The backward pass is timed
together with its forward; the difference to the forward alone is printed.
"""
import argparse
import json
import math
import time

import torch
import torch.nn.functional as F

ap = argparse.ArgumentParser()
for name, default in dict(batch=8, heads=4, kv_heads=0, tokens=1024, width=64, threads=2, repeats=10).items():
    ap.add_argument("--" + name.replace("_", "-"), type=int, default=default)
ap.add_argument("--causal", action="store_true")
ap.add_argument("--backward", action="store_true")
ap.add_argument("--device", default="cpu")
ap.add_argument("--bf16", action="store_true")
a = ap.parse_args()
dev = dict(device=a.device, dtype=torch.bfloat16 if a.bf16 else torch.float32)
passes = 1 if a.device == "cpu" else 20  # before the device is waited for
torch.set_num_threads(a.threads)
torch.manual_seed(0)
kv = a.kv_heads or a.heads
B, T, H, D = a.batch, a.tokens, a.heads, a.width
qkv = torch.randn(B, T, (H + 2 * kv) * D, requires_grad=a.backward, **dev)
seed = torch.randn(B, T, H * D, **dev)
mask = torch.ones(T, T, dtype=torch.bool, device=a.device).triu(1) if a.causal else None


def attention():
    q, k, v = (x.view(B, T, -1, D).transpose(1, 2) for x in qkv.split([H * D, kv * D, kv * D], -1))
    if kv != H:
        k, v = k.repeat_interleave(H // kv, 1), v.repeat_interleave(H // kv, 1)
    if hasattr(F, "scaled_dot_product_attention"):
        y = F.scaled_dot_product_attention(q, k, v, is_causal=a.causal)
    else:
        s = q @ k.transpose(-2, -1) * (1 / math.sqrt(D))
        if mask is not None:
            s = s.masked_fill(mask, float("-inf"))
        y = s.softmax(-1) @ v
    return y.transpose(1, 2).reshape(B, T, H * D)


def both():
    qkv.grad = None
    attention().backward(seed)


def wait():
    if a.device != "cpu":
        torch.cuda.synchronize()


def fastest(run):
    run()
    wait()
    ms = []
    for _ in range(a.repeats):
        t = time.perf_counter()
        for _ in range(passes):
            run()
        wait()
        ms.append((time.perf_counter() - t) * 1e3 / passes)
    return min(ms)


with torch.no_grad():
    forward = fastest(attention)
product = 2 * B * H * D * (T * (T + 1) / 2 if a.causal else T * T)
r = dict(peer="pytorch " + torch.__version__, batch=B, heads=H, kv_heads=kv, tokens=T, width=D, causal=a.causal, threads=a.threads,
         forward_ms=round(forward, 3), forward_gflops=round(2 * product / forward / 1e6, 1))
if a.backward:
    backward = max(1e-6, fastest(both) - forward)
    r.update(backward_ms=round(backward, 3), backward_gflops=round(5 * product / backward / 1e6, 1))
r["device"] = "cpu" if a.device == "cpu" else torch.cuda.get_device_name()
print(json.dumps(r))
