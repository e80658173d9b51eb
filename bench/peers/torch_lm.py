#!/usr/bin/python3
"""The training of a Pretrain run in PyTorch, for as many minutes on the same cores.

    apt-get install -y --no-install-recommends python3-torch python3-numpy
    bin/tempera start runs/pretrain-text.yaml --set 'text.from=["/data/books"]' --name books --wait
    OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=1 bench/peers/torch_lm.py books --pipeline pretrain-text

It reads the finished run (its plan, token shards and the model's config.json) through bin/tempera, and trains the same
architecture on the same batches in the same order with the same schedule and optimiser (AdamW, clipping), for the run's
minutes; initial weights have the same distributions. Then it measures bits per byte of the same held-out text in the same
rows. Prints one JSON line, with the run's own figures beside it.

    --minutes 10 --steps 0 --threads 2   instead of the run's; --steps trains for steps, --limit N scores N held-out batches
    --batch N                            prints the digest of the tokens of step N's batch, and ends (needs no PyTorch)
"""
import argparse
import hashlib
import json
import math
import pathlib
import struct
import subprocess
import tempfile
import time

import numpy as np

ap = argparse.ArgumentParser()
ap.add_argument("run")
ap.add_argument("--pipeline", default="pretrain-text")
ap.add_argument("--tempera", default="bin/tempera")
ap.add_argument("--minutes", type=float, default=None)
ap.add_argument("--steps", type=int, default=0)
ap.add_argument("--threads", type=int, default=2)
ap.add_argument("--limit", type=int, default=0)
ap.add_argument("--batch", type=int, default=None)
a = ap.parse_args()

MASK = (1 << 64) - 1
IGNORE = -100


def mix(z):
    """The finaliser of splitmix64, as sample.Mix."""
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


class Permutation:
    """order.Permutation."""

    def __init__(self, n, key):
        self.n, self.half = n, 1
        while 1 << (2 * self.half) < n:
            self.half += 1
        self.keys = []
        for _ in range(4):
            key = mix(key)
            self.keys.append(key)

    def at(self, i):
        m, v = (1 << self.half) - 1, i
        while True:
            left, right = v >> self.half, v & m
            for k in self.keys:
                left, right = right, left ^ (mix(right ^ k) & m)
            v = left << self.half | right
            if v < self.n:
                return v


class Tokens:
    """A folder of token shards, docs/design/0006-token-shards.md."""

    def __init__(self, folder):
        self.docs, self.bytes = [], 0
        for f in sorted(pathlib.Path(folder).rglob("*.tok")):
            head = f.open("rb").read(32)
            assert head[:8] == b"TMPRTOK1", f
            width, _, d, n = struct.unpack("<IIQQ", head[8:])
            ends = np.fromfile(f, "<u8", d, offset=32)
            self.bytes += int(np.fromfile(f, "<u4", d, offset=32 + 8 * d).sum())
            ids = np.fromfile(f, "<u2" if width == 2 else "<u4", n, offset=32 + 12 * d).astype(np.int64)
            self.docs += np.split(ids, ends[:-1].astype(np.int64))

    def predicted(self):
        return sum(len(d) - 1 for d in self.docs)


class Rows:
    """datagen/pack: rows of pieces (document, start, length)."""

    def __init__(self, tokens, context, mode, seed):
        self.docs, self.context, self.mode = tokens.docs, context, mode
        mixed = Permutation(max(1, len(self.docs)), mix(seed ^ 0x7061636B))
        order = [mixed.at(k) for k in range(len(self.docs))]
        self.rows = self.joined(order) if mode == "joined" else self.separate(order)

    def joined(self, order):
        rows, row, free = [], [], self.context
        for i in order:
            at, n = 0, len(self.docs[i])
            while at < n:
                length = min(free, n - at)
                row.append((i, at, length))
                at, free = at + length, free - length
                if free == 0:
                    rows.append(row)
                    row, free = [], self.context
        return rows + ([row] if row else [])

    def separate(self, order):
        rows, room = [], [[] for _ in range(self.context + 1)]
        for i in order:
            n = len(self.docs[i]) - 1
            for at in range(0, n, self.context):
                length = min(self.context, n - at)
                fit = next((r for r in range(length, self.context + 1) if room[r]), 0)
                if fit:
                    row = room[fit].pop()
                else:
                    fit, row = self.context, len(rows)
                    rows.append([])
                rows[row].insert(0, (i, at, length))  # the newest first
                if fit > length:
                    room[fit - length].append(row)
        return rows

    def fill(self, which, batch, pad):
        """Tokens, targets and document numbers (batch, context)."""
        x = np.full((batch, self.context), pad, np.int64)
        y, doc = np.full((batch, self.context), IGNORE, np.int64), np.zeros((batch, self.context), np.int64)
        for b, row in enumerate(which):
            used = 0
            for k, (i, at, length) in enumerate(row):
                ids = self.docs[i][at : at + length + 1]
                x[b, used : used + length] = ids[:length]
                y[b, used : used + len(ids) - 1] = ids[1:]
                doc[b, used : used + length] = k
                used += length
            doc[b, used:] = len(row)
        return x, y, doc


class Order:
    """order.Order of one data set."""

    def __init__(self, n, batch, seed):
        self.n, self.batch, self.seed = n, batch, seed
        self.steps = n // batch
        assert self.steps > 0, "the text does not fill a batch"

    def key(self, epoch, part):
        return mix(self.seed ^ mix(epoch & MASK) ^ mix(mix((part + 1) & MASK)))

    def at(self, step):
        epoch, first = step // self.steps, step % self.steps * self.batch
        mixed = Permutation(self.n, self.key(epoch, -1))
        out = []
        for j in range(self.batch):
            q = epoch * self.n + mixed.at(first + j)
            out.append(Permutation(self.n, self.key(q // self.n, 0)).at(q % self.n))
        return out


def pull(what, folder):
    subprocess.run([a.tempera, "artifacts", "pull", what, str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


def load():
    tmp = pathlib.Path(tempfile.mkdtemp())
    pull(f"runs/{a.pipeline}/{a.run}", tmp / "run")
    record = json.loads(next((tmp / "run").rglob("run.json")).read_text())
    stages = {s["id"]: s for s in record["stages"]}
    node = next(n for n in record["plan"]["nodes"] if n["id"] == "pretrain")
    params = record["plan"]["params"][node["params"]]
    for unsupported in ("stages", "weights", "spike"):
        assert not params.get(unsupported), f"a run with {unsupported} has no peer"
    ref = lambda stage, port: "@".join(stages[stage]["outputs"][port][k] for k in ("type", "digest"))
    train, held = Tokens(pull(ref("tokens", "tokens"), tmp / "train")), Tokens(pull(ref("held_out", "tokens"), tmp / "held"))
    config = json.loads(next(pull(ref("pretrain", "model"), tmp / "model").rglob("config.json")).read_text())
    evaluation = record["plan"]["params"][next(n for n in record["plan"]["nodes"] if n["id"] == "evaluate")["params"]]
    return stages, params, config, train, held, evaluation


stages, params, config, train, held, evaluation = load()
text, special = config["text"], config["text"]["special"]
assert text["form"] in ("llama", "qwen2", "gpt2") and not text.get("experts"), "only dense decoders have a peer"
rows = Rows(train, text["context"], params["packing"], params["seed"])
order = Order(len(rows.rows), params["batch"], params["seed"])


def batch_of(step):
    return rows.fill([rows.rows[i] for i in order.at(step)], params["batch"], special["pad"])


if a.batch is not None:
    x, y, doc = batch_of(a.batch)
    print(json.dumps(dict(rows=len(rows.rows), tokens=hashlib.sha256(x.astype("<i4").tobytes() + y.astype("<i4").tobytes()).hexdigest())))
    raise SystemExit

import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402

torch.set_num_threads(a.threads)
torch.manual_seed(params["seed"])
C, H, K, D, ff, V, T = (text[k] for k in ("width", "heads", "kv_heads", "head_width", "hidden", "vocab", "context"))
llama = text["mlp"] == "gated"


class RMS(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(C))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + text["norm_eps"]) * self.weight


def norm():
    return RMS() if text["norm"] == "rms_norm" else nn.LayerNorm(C, eps=text["norm_eps"])


def linear(i, o, gain=1.0, bias=text["bias"] == "all"):
    layer = nn.Linear(i, o, bias=bias)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(3 * i))
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = norm(), norm()
        self.qkv = linear(C, (H + 2 * K) * D, bias=text["bias"] != "none")
        self.out = linear(H * D, C, 0.5)
        self.up, self.down = linear(C, 2 * ff if llama else ff), linear(ff, C)

    def rope(self, x, cos, sin):
        h = D // 2
        return x * cos + torch.cat([-x[..., h:], x[..., :h]], -1) * sin

    def forward(self, x, mask, cos, sin):
        B = x.shape[0]
        q, k, v = self.qkv(self.n1(x)).split([H * D, K * D, K * D], -1)
        q, k, v = (z.view(B, T, -1, D).transpose(1, 2) for z in (q, k, v))
        if text["position"] == "rope":
            q, k = self.rope(q, cos, sin), self.rope(k, cos, sin)
        k, v = k.repeat_interleave(H // K, 1), v.repeat_interleave(H // K, 1)
        s = (q @ k.transpose(-2, -1) / math.sqrt(D)).masked_fill(mask, float("-inf"))
        x = x + self.out((s.softmax(-1) @ v).transpose(1, 2).reshape(B, T, H * D))
        h = self.up(self.n2(x))
        if llama:
            gate, up = h.chunk(2, -1)
            return x + self.down(F.silu(gate) * up)
        return x + self.down(F.gelu(h, approximate="tanh" if text["activation"] == "gelu_tanh" else "none"))


class LM(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(V, C)
        nn.init.normal_(self.token.weight, std=text["token_std"])
        if text["position"] == "learned":
            self.position = nn.Embedding(T, C)
            nn.init.normal_(self.position.weight, std=text["position_std"])
        self.blocks, self.norm = nn.ModuleList([Block() for _ in range(text["layers"])]), norm()
        self.head = linear(C, V, bias=False)
        if text.get("tie_head"):
            self.head.weight = self.token.weight
        inv = (text.get("rope") or {}).get("theta", 1e4) ** (-torch.arange(0, D, 2).float() / D)
        angle = torch.outer(torch.arange(T).float(), inv)
        self.register_buffer("cos", torch.cat([angle.cos()] * 2, -1))
        self.register_buffer("sin", torch.cat([angle.sin()] * 2, -1))
        self.register_buffer("ahead", torch.ones(T, T, dtype=torch.bool).triu(1))

    def forward(self, x, y, doc, apart):
        mask = self.ahead
        where = torch.arange(T).expand_as(x)
        if apart:
            mask = (mask | (doc[:, :, None] != doc[:, None, :]))[:, None]
            starts = torch.cat([torch.ones_like(doc[:, :1]), (doc[:, 1:] != doc[:, :-1]).long()], 1)
            where = where - torch.cummax(where * starts, 1).values
        h = self.token(x)
        if text["position"] == "learned":
            h = h + self.position(where)
        for b in self.blocks:
            h = b(h, mask, self.cos, self.sin)
        return F.cross_entropy(self.head(self.norm(h)).flatten(0, 1), y.flatten(), ignore_index=IGNORE)


def tensors(batch):
    return [torch.from_numpy(z) for z in batch]


model = LM()
decay = [p for p in model.parameters() if p.dim() > 1]
plain = [p for p in model.parameters() if p.dim() == 1]
opt = torch.optim.AdamW([dict(params=decay, weight_decay=params["decay"]), dict(params=plain, weight_decay=0.0)],
                        lr=params["learning_rate"], betas=(0.9, 0.98), eps=1e-6)
apart = params["packing"] == "separate"
minutes = params["minutes"] if a.minutes is None else a.minutes
steps = a.steps or (0 if minutes else params["steps"])
warm = params["warm_up"] if minutes and not a.steps else min(params["warm_up"], steps // 10)


def rate(step, steps):
    if step < warm:
        return params["learning_rate"] * (step + 1) / warm
    done = min((step - warm) / (steps - warm), 1) if steps > warm else 1.0
    return params["learning_rate"] * (params["floor"] + (1 - params["floor"]) * 0.5 * (1 + math.cos(math.pi * done)))


started, step, loss, predicted = time.perf_counter(), 0, None, 0
probe = None
while steps == 0 or step < steps:
    if steps == 0 and step == 2:
        probe = time.perf_counter()
    gone = time.perf_counter() - started
    if steps == 0 and step >= 20 and (step >= warm or gone > 6 * minutes):  # the speed is known: decide how many steps fit, as training.Loop does
        steps = step + max(1, int(0.97 * (60 * minutes - gone) * (step - 2) / (time.perf_counter() - probe)))
    for g in opt.param_groups:
        g["lr"] = rate(step, steps or 1 << 62)
    x, y, doc = tensors(batch_of(step))
    opt.zero_grad(set_to_none=True)
    loss = model(x, y, doc, apart)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), params["clip_norm"])
    opt.step()
    predicted += int((y != IGNORE).sum())
    step += 1
seconds = time.perf_counter() - started

evaluated = Rows(held, T, "separate", evaluation["seed"])
nats, count, B = 0.0, 0, evaluation["batch"]
with torch.no_grad():
    for at in range(0, len(evaluated.rows), B):
        if a.limit and at >= a.limit * B:
            break
        x, y, doc = tensors(evaluated.fill(evaluated.rows[at : at + B], B, special["pad"]))
        n = int((y != IGNORE).sum())
        nats, count = nats + float(model(x, y, doc, True)) * n, count + n
val = nats / count
ours = stages["evaluate"]["metrics"]
print(json.dumps(dict(
    peer="pytorch " + torch.__version__, parameters=sum(p.numel() for p in model.parameters()), threads=a.threads, steps=step,
    seconds=round(seconds, 1), tokens_per_second=round(predicted / seconds, 1), train_loss=round(float(loss), 4), loss=round(val, 4),
    bits_per_byte=round(val / math.log(2) * held.predicted() / held.bytes, 4),
    tempera=dict(steps=stages["pretrain"]["metrics"]["steps"], loss=round(ours["loss"], 4), bits_per_byte=round(ours["bits_per_byte"], 4)))))
