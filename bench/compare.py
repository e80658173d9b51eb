#!/usr/bin/python3
"""Tempera beside PyTorch on this machine: the table of docs/performance.md.

    go build -o bin/ ./cmd/...
    apt-get install -y --no-install-recommends python3-torch python3-numpy libopenblas0-pthread
    bench/compare.py [--rounds 3] [--only train|decode] [--llmc PROGRAM]

Each row alternates the two programs, pinned to the same cores, with OMP_NUM_THREADS and OPENBLAS_NUM_THREADS set, and takes the best of the
rounds of each. Every second round leaves OpenBLAS one thread: with two cores PyTorch may be faster so, its own pool and OpenBLAS's being two. --llmc names the program built from bench/peers/llmc_train.c, which then runs beside the GPT shape.
"""
import argparse
import json
import os
import pathlib
import subprocess

ap = argparse.ArgumentParser()
ap.add_argument("--rounds", type=int, default=3)
ap.add_argument("--steps", type=int, default=8)
ap.add_argument("--only", choices=["train", "decode"])
ap.add_argument("--llmc")
a = ap.parse_args()
root = pathlib.Path(__file__).resolve().parent.parent
tempera, peers = str(root / "bin/tempera"), root / "bench/peers"


def run(command, threads, blas):
    """Runs a program on the first cores and returns the JSON that it prints last."""
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(blas))
    cores = "1" if threads == 1 else "0-%d" % (threads - 1)
    out = subprocess.run(["taskset", "-c", cores, *command], env=env, check=True, capture_output=True, text=True).stdout
    return json.loads(out[out.index("{"):])


def row(name, ours, others, value, better):
    """Alternates the programs, prints the best of each and the ratios. value reads a figure, better is min or max."""
    best = {}
    for i in range(a.rounds):
        for peer, (command, threads) in {"tempera": ours, **others}.items():
            v = value(run(command, threads, 1 if i % 2 else threads))
            best[peer] = better(best.get(peer, v), v)
    mine = best["tempera"]
    ratios = {p: round(v / mine if better is min else mine / v, 2) for p, v in best.items() if p != "tempera"}
    print(json.dumps(dict(row=name, **{p: round(v, 1) for p, v in best.items()}, times_as_fast=ratios)), flush=True)


step = lambda r: r.get("min_step_ms") or r["step_ms"]
steps = ["--steps", str(a.steps)]
for threads in (1, 2):
    t = ["--threads", str(threads)]
    for model in (["gpt"], ["llama", "--kv-heads", "2"], ["clip"]):
        if a.only == "decode":
            break
        others = {"pytorch": ([str(peers / "torch_train.py"), *model, *t, *steps], threads)}
        if model == ["gpt"] and a.llmc:
            others["llm.c"] = ([a.llmc, "4", "256", "4", "512", "8", "128", str(a.steps), "2"], threads)
        row("train %s, %d threads, ms" % (" ".join(model), threads), ([tempera, "bench", "train", "--json", "--model", *model, *t, *steps], threads), others, step, min)
    for batch in ("16", "1"):
        if a.only == "train":
            break
        shape = ["--batch", batch, *t]
        row("decode batch %s, %d threads, tokens/s" % (batch, threads), ([tempera, "bench", "decode", "--json", *shape], threads),
            {"pytorch": ([str(peers / "torch_decode.py"), *shape], threads)}, lambda r: r["tokens_per_s"], max)
