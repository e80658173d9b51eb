#!/usr/bin/env bash
# On a machine with a GPU and PyTorch, from the folder of the bundle (go tool task bundle:cuda): the tests of the GPU backend, then its speed beside PyTorch's, in
# alternation. Results, a JSON line each, go to ${OUT:-results}. ROUNDS says how often each pair runs; PYTHON names the Python that has PyTorch; SKIP_TESTS=1 leaves the tests out.
set -uo pipefail
cd "$(dirname "$0")"
out=${OUT:-results} rounds=${ROUNDS:-2} python=${PYTHON:-python3}
mkdir -p "$out"
[ -e bin/tempera ] || "$python" -c "import tarfile; tarfile.open('bin.tar.xz').extractall('bin')"

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/gpu.txt"
failed=0
if [ -z "${SKIP_TESTS:-}" ]; then
  for t in cuda blas generate; do
    REQUIRE_GPU=1 "bin/$t.test" -test.timeout 5m -test.failfast=false > "$out/$t.log" 2>&1
    code=$?
    echo "tests $t: exit $code, $(grep -c -- '--- PASS' "$out/$t.log") passed at the top, $(grep -c -- '--- FAIL' "$out/$t.log") failures"
    [ $code = 0 ] || failed=1
  done
fi

# pair NAME OURS -- THEIRS: both, in alternation
pair() {
  local name=$1 ours=() theirs=() to=ours
  shift
  for word; do
    if [ "$word" = -- ]; then to=theirs; elif [ $to = ours ]; then ours+=("$word"); else theirs+=("$word"); fi
  done
  for _ in $(seq "$rounds"); do
    "${ours[@]}" 2>> "$out/errors.txt" | tee -a "$out/$name.json" || failed=1
    if [ ${#theirs[@]} -gt 0 ]; then "${theirs[@]}" 2>> "$out/errors.txt" | tee -a "$out/$name.json"; fi
  done
}

gpu=(--device cuda --json)
pair gemm bin/tempera bench gemm "${gpu[@]}" --sizes 4096,8192 --variant nn,nt,tn
for shape in "16 12 1024 64" "4 12 8192 64" "16 32 1024 128" "4 32 8192 128"; do
  read -r batch heads tokens width <<< "$shape"
  for causal in --causal ""; do
    one=(--batch "$batch" --heads "$heads" --tokens "$tokens" --width "$width" --backward $causal)
    pair attention bin/tempera bench attention "${gpu[@]}" "${one[@]}" -- "$python" peers/torch_attention.py "${one[@]}" --device cuda --bf16
  done
done
pair gpt2 bin/tempera bench train "${gpu[@]}" --model gpt --layers 12 --dim 768 --heads 12 --ff 3072 --vocab 50304 --seq 1024 --batch 16 --steps 30 --warmup 10 -- \
  "$python" peers/torch_gpt2.py --batch 16 --steps 30 --warmup 20
pair checkpoint bin/tempera bench checkpoint "${gpu[@]}" --model gpt --layers 12 --dim 768 --heads 12 --ff 3072 --vocab 50304 --seq 1024 --batch 16 --steps 120 --warmup 10 --every 40
pair clip bin/tempera bench train "${gpu[@]}" --model clip --layers 12 --dim 768 --heads 12 --ff 3072 --vocab 49408 --seq 77 --image 224 --patch 16 --embed 512 --batch 256 --steps 20 --warmup 5 -- \
  "$python" peers/torch_train.py clip --layers 12 --dim 768 --heads 12 --ff 3072 --vocab 49408 --seq 77 --image 224 --patch 16 --embed 512 --batch 256 --steps 20 --warmup 10 --device cuda --bf16 --compile
pair decode bin/tempera bench decode "${gpu[@]}" --layers 16 --dim 2048 --heads 32 --kv-heads 8 --ff 8192 --vocab 128256 --batch 1 --prompt 128 --new 128
pair decode64 bin/tempera bench decode "${gpu[@]}" --layers 16 --dim 2048 --heads 32 --kv-heads 8 --ff 8192 --vocab 128256 --batch 64 --prompt 128 --new 128
exit $failed
