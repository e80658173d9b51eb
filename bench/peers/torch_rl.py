#!/usr/bin/python3
"""PyTorch peer of a GRPO iteration on the shape of runs/r1-arithmetic.yaml (Llama blocks, tied head, float32): samples with a key/value cache, whose prompts
pass once for a group and whose finished texts leave the batch, rewards by rule, and two optimiser steps on minibatches cut to their longest text.

    ./torch_rl.py [--layers 2 --dim 64 --heads 4 --ff 168 --vocab 19 --prompts 32 --group 8 --prompt 9 --new 48 --minibatches 2 --threads 2]
Weights are random and hardly move, so that texts end by chance, as they do in `tempera bench rl`, and both do the same work.
Prints one JSON line with samples per second and the shares of rollout, scoring and training.
"""
import argparse
import json
import math
import time

import torch
import torch.nn.functional as F

ap = argparse.ArgumentParser()
for name, v in dict(layers=2, dim=64, heads=4, ff=168, vocab=19, prompts=32, group=8, prompt=9, new=48, minibatches=2, threads=2, iterations=20, warmup=3).items():
    ap.add_argument("--" + name.replace("_", "-"), type=int, default=v)
a = ap.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)
D, H, hd, total = a.dim, a.heads, a.dim // a.heads, a.prompt + a.new
EOS, LIKED = 2, 7
W = lambda i, o, s=1.0: torch.nn.Parameter(torch.randn(i, o) * s / math.sqrt(i))
ones = lambda: torch.nn.Parameter(torch.ones(D))
layers = [dict(qkv=W(D, 3 * D), o=W(D, D, 0.5), gu=W(D, 2 * a.ff), d=W(a.ff, D, 0.5), n1=ones(), n2=ones()) for _ in range(a.layers)]
emb, norm = torch.nn.Parameter(torch.randn(a.vocab, D) * 0.02), ones()
params = [emb, norm] + [p for l in layers for p in l.values()]
opt = torch.optim.AdamW(params, lr=1e-7, betas=(0.9, 0.95), weight_decay=0.0)
inv = 10000.0 ** (-torch.arange(0, hd, 2).float() / hd)
ang = torch.outer(torch.arange(total).float(), inv)
COS, SIN = torch.cat([ang.cos()] * 2, -1), torch.cat([ang.sin()] * 2, -1)
rms = lambda x, w: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * w
BLACK = torch.ones(total, total, dtype=torch.bool).triu(1)


def rope(x, at):
    h, T = hd // 2, x.shape[2]
    return x * COS[at:at + T] + torch.cat([-x[..., h:], x[..., :h]], -1) * SIN[at:at + T]


def states(ids, cache=None, at=0):
    B, T = ids.shape
    x = emb[ids]
    for l, p in enumerate(layers):
        q, k, v = (rms(x, p["n1"]) @ p["qkv"]).view(B, T, 3, H, hd).permute(2, 0, 3, 1, 4)
        q, k = rope(q, at), rope(k, at)
        if cache is not None:
            cache[l][0][:, :, at:at + T], cache[l][1][:, :, at:at + T] = k, v
            k, v = cache[l][0][:, :, :at + T], cache[l][1][:, :, :at + T]
        s = q @ k.transpose(-2, -1) / math.sqrt(hd)
        if T > 1:
            s = s.masked_fill(BLACK[at:at + T, :at + T], float("-inf"))
        x = x + (s.softmax(-1) @ v).transpose(1, 2).reshape(B, T, D) @ p["o"]
        g, u = (rms(x, p["n2"]) @ p["gu"]).chunk(2, -1)
        x = x + (F.silu(g) * u) @ p["d"]
    return rms(x, norm)


@torch.inference_mode()
def rollout(prompts):
    """Samples of each prompt: token ids, lengths with the prompt, log-probabilities of the tokens."""
    P, G = len(prompts), a.group
    first = [(torch.empty(P, H, a.prompt, hd), torch.empty(P, H, a.prompt, hd)) for _ in layers]
    h = states(prompts, first)[:, -1].repeat_interleave(G, 0)
    cache = []
    for k, v in first:
        full = []
        for t in (k, v):
            room = torch.empty(P * G, H, total, hd)
            room[:, :, :a.prompt] = t.repeat_interleave(G, 0)
            full.append(room)
        cache.append(full)
    ids = torch.zeros(P * G, total, dtype=torch.long)
    ids[:, :a.prompt] = prompts.repeat_interleave(G, 0)
    lp, length = torch.zeros(P * G, total), torch.full((P * G,), total)
    act = torch.arange(P * G)
    for t in range(a.prompt, total):
        logs = (h @ emb.T).log_softmax(-1)
        token = torch.multinomial(logs.exp(), 1)
        ids[act, t], lp[act, t] = token.squeeze(1), logs.gather(1, token).squeeze(1)
        alive = token.squeeze(1) != EOS
        length[act[~alive]] = t + 1
        if t == total - 1 or not bool(alive.any()):
            break
        if not bool(alive.all()):
            act, token = act[alive], token[alive]
            cache = [[k[alive], v[alive]] for k, v in cache]
        h = states(token, cache, t)[:, -1]
    return ids, length, lp


def score(ids, length):
    """A rule that looks at each text: the share of a token among those of the text."""
    rows, out = ids.tolist(), []
    for row, n in zip(rows, length.tolist()):
        text = row[a.prompt:n]
        out.append(text.count(LIKED) / len(text))
    return torch.tensor(out)


def learn(ids, length, old, rewards):
    r = rewards.view(a.prompts, a.group)
    adv = ((r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-4)).reshape(-1)
    for part in torch.randperm(len(ids)).chunk(a.minibatches):
        n = int(length[part].max())
        x, where = ids[part][:, :n], torch.arange(n)
        mask = ((where >= a.prompt) & (where < length[part][:, None])).float()[:, 1:]
        logs = (states(x[:, :-1]) @ emb.T).log_softmax(-1)
        new = logs.gather(2, x[:, 1:, None]).squeeze(2)
        entropy = -(logs.detach().exp() * logs.detach()).sum(-1)  # logged, as by the peer
        ratio, A = (new - old[part][:, 1:n]).exp(), adv[part][:, None]
        loss = -torch.min(ratio * A, ratio.clamp(0.8, 1.2) * A)
        loss = ((loss * mask).sum(1) / mask.sum(1)).mean()
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
    return float((entropy * mask).sum() / mask.sum())


spent, tokens = [0.0, 0.0, 0.0], 0
for i in range(a.warmup + a.iterations):
    prompts = torch.randint(3, a.vocab, (a.prompts, a.prompt))
    t0 = time.perf_counter()
    ids, length, old = rollout(prompts)
    t1 = time.perf_counter()
    rewards = score(ids, length)
    t2 = time.perf_counter()
    learn(ids.clone(), length.clone(), old.clone(), rewards)
    t3 = time.perf_counter()
    if i >= a.warmup:
        spent = [s + d for s, d in zip(spent, (t1 - t0, t2 - t1, t3 - t2))]
        tokens += int((length - a.prompt).sum())
n, seconds = a.iterations * a.prompts * a.group, sum(spent)
print(json.dumps(dict(peer="pytorch " + torch.__version__, threads=a.threads, samples_per_s=round(n / seconds, 1), mean_length=round(tokens / n, 1),
                      rollout_share=round(spent[0] / seconds, 3), score_share=round(spent[1] / seconds, 3), train_share=round(spent[2] / seconds, 3))))
