#!/usr/bin/env bash
# dugnad bench prints all its figures; the kernel is chosen by CPUID and can be overridden; a plan
# that does not fit is refused with the figure.
. "$(dirname "$0")/lib.sh"
unset OPENBLAS_CORETYPE

# small OPTION...: a bench of a small model.
small() {
    "$bin/dugnad" bench --model small --batch 2 --context 64 --precision fp32 "$@" 2> bench.log
}
mkdir small
cat > small/config.json <<'JSON'
{"model_type": "gpt2", "vocab_size": 300, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 64}
JSON

small --threads 2 --json > bench.json
jq -e '.tokens_per_s > 0 and .gemm_gflops > 0 and .peak_rss_mb > 0 and .threads == 2 and
    (.utilisation - .model_gflops / .gemm_gflops | fabs) < 0.002' bench.json > /dev/null ||
    fail "not all figures are there: $(cat bench.json)"
# 3 layers of 12 C^2 and a head of V C; attention 12 L C T.
expected=$((6 * (3 * 12 * 64 * 64 + 300 * 64) + 12 * 3 * 64 * 64))
[ "$(jq .flops_per_token bench.json)" = $expected ] ||
    fail "$(jq .flops_per_token bench.json) FLOP per token instead of $expected"
# 12 C^2 + 13 C a layer, embeddings, the last norm.
expected=$((3 * (12 * 64 * 64 + 13 * 64) + (300 + 64) * 64 + 2 * 64))
[ "$(jq .parameters bench.json)" = $expected ] ||
    fail "$(jq .parameters bench.json) parameters instead of $expected"
grep -q 'event=plan .*memory_mb=[0-9]' bench.log || fail "the memory plan was not told"
words=$(small --threads 1) || fail "it fails without --json"
[[ $words =~ 'of the '.*' GFLOP/s of the best product' ]] || fail "no words without --json"

# A CPU with AVX2 has a kernel of ours unless OpenBLAS finds the same by itself.
if grep -qw avx2 /proc/cpuinfo && [ "$(uname -m)" = x86_64 ]; then
    kernel=$(small --json | jq -r .kernel)
    case $kernel in
    Haswell | Zen | SkylakeX | Cooperlake | SapphireRapids) ;;
    *) fail "this CPU got the kernel $kernel" ;;
    esac
    OPENBLAS_CORETYPE=Nehalem small --json > other.json
    [ "$(jq -r .kernel other.json)" = Nehalem ] || fail "OPENBLAS_CORETYPE is not obeyed"
    grep -q 'kernel_chosen_by=OPENBLAS_CORETYPE' bench.log || fail "the override is not told"
else
    echo "not compared: this CPU has no kernel of our choice"
fi

# Recomputation needs less memory.
all=$(small --json --threads 1 | jq .planned_mb)
less=$(small --json --threads 1 --recompute blocks | jq .planned_mb)
[ "$less" -le "$all" ] || fail "blocks plans $less MB, none $all MB"

# About 480 GB for parameters and gradient alone.
mkdir huge
sed 's/"n_embd": 64, "n_layer": 3, "n_head": 4/"n_embd": 20480, "n_layer": 12, "n_head": 160/' \
    small/config.json > huge/config.json
code=0
"$bin/dugnad" bench --model huge --precision fp32 > refused.log 2>&1 || code=$?
[ $code = 71 ] && grep -q 'MiB' refused.log || fail "a plan too large ended with $code: $(cat refused.log)"
code=0
"$bin/dugnad" bench --model nobody-knows 2> unknown.log || code=$?
[ $code = 64 ] && grep -q 'gpt2-124m' unknown.log || fail "an unknown model ended with $code"
