#!/usr/bin/env python3
"""PyTorch peer of GPT-2 124M on a GPU, as fast as PyTorch makes it: bfloat16 autocast, scaled_dot_product_attention, torch.compile, fused AdamW,
a vocabulary padded to 50,304.

    torch_gpt2.py [--batch 16 --seq 1024 --steps 50 --warmup 20]
    tempera bench train --device cuda --model gpt --layers 12 --dim 768 --heads 12 --ff 3072 --vocab 50304 --seq 1024 --batch 16 --steps 50 --warmup 20 --json

Prints one JSON line: median milliseconds of a step, tokens per second, FLOPs per second of matrix products counted as the other program does, and the
rate of one large product in this run, which is the peak that MFU is a share of.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

ap = argparse.ArgumentParser()
for name, v in dict(layers=12, dim=768, heads=12, vocab=50304, seq=1024, batch=16, steps=50, warmup=20).items():
    ap.add_argument("--" + name, type=int, default=v)
ap.add_argument("--eager", action="store_true", help="without torch.compile")
a = ap.parse_args()
torch.manual_seed(0)
torch.set_float32_matmul_precision("high")
D, hd = a.dim, a.dim // a.heads


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.proj = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def forward(self, x):
        B, T, _ = x.shape
        q, k, v = (t.view(B, T, a.heads, hd).transpose(1, 2) for t in self.qkv(self.n1(x)).split(D, 2))
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, D))
        return x + self.down(F.gelu(self.up(self.n2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(a.vocab, D), nn.Embedding(a.seq, D)
        self.blocks, self.norm = nn.ModuleList(Block() for _ in range(a.layers)), nn.LayerNorm(D)
        self.head = nn.Linear(D, a.vocab, bias=False)
        self.head.weight = self.token.weight
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.token(ids) + self.position.weight
        for b in self.blocks:
            x = b(x)
        return F.cross_entropy(self.head(self.norm(x)).view(-1, a.vocab), targets.view(-1))


def peak():
    """FLOPs per second of a bfloat16 product of 8192 cubed."""
    x, y = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(10):
            x @ y
        torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - start) / 10)
    return 2 * 8192**3 / best


model = GPT().cuda()
run = model if a.eager else torch.compile(model)
adam = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
ids = torch.randint(0, a.vocab, (a.batch, a.seq + 1), device="cuda")
times, losses = [], []
for step in range(a.warmup + a.steps):
    torch.cuda.synchronize()
    start = time.perf_counter()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = run(ids[:, :-1], ids[:, 1:])
    adam.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    adam.step()
    losses.append(loss.item())
    if step >= a.warmup:
        times.append(time.perf_counter() - start)
median = statistics.median(times)
tokens = a.batch * a.seq
products = 12 * D * D * a.layers + a.vocab * D  # weights of matrix products
flops = 6 * tokens * products + 6 * a.layers * tokens * a.seq * D  # causal attention: half of the square
top = peak()
print(json.dumps(dict(
    peer="torch", torch=torch.__version__, device=torch.cuda.get_device_name(), batch=a.batch, seq=a.seq, compiled=not a.eager,
    step_ms=round(median * 1e3, 2), items_per_s=round(tokens / median, 1), gflops=round(flops / median / 1e9, 1), peak_gflops=round(top / 1e9, 1),
    mfu=round(flops / median / top, 3), first_loss=round(losses[0], 4), last_loss=round(losses[-1], 4),
    memory_mib=round(torch.cuda.max_memory_allocated() / 2**20, 1))))
