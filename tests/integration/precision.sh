#!/usr/bin/env bash
# 200 steps in bfloat16 end within 1% of the float32 loss.
. "$(dirname "$0")/lib.sh"
steps=200

make_data shards
write_run run.yaml $steps fp32
sed -i 's/learning_rate: 2.0e-3/learning_rate: 1.0e-3/; s/warmup_steps: 5/warmup_steps: 20/' run.yaml
# train PRECISION: sets loss to the validation loss at the end.
train() {
    "$bin/dugnad" train --config run.yaml --out "out-$1" --precision "$1" --json \
        > "$1.json" 2> "$1.log" || return $?
    loss=$("$bin/dugnad" eval --model "out-$1/checkpoints/step-000$steps" --data shards \
        --windows 0 --json | jq .loss)
}
code=0
train bf16 || code=$?
if [ $code = 64 ]; then
    echo "SKIP: $(tail -1 bf16.log)"
    exit 77
fi
[ $code = 0 ] || fail "training in bf16 ended with $code"
grep -q 'backend=bf16' bf16.log || fail "not bf16: $(cat bf16.log)"
bf16=$loss
train fp32
fp32=$loss
[ "$bf16" != "$fp32" ] || fail "bf16 and fp32 end at the same loss: it was the same arithmetic"
awk -v a="$bf16" -v b="$fp32" 'BEGIN { d = (a - b) / b; exit !(d < 0.01 && d > -0.01) }' ||
    fail "bf16 ends at $bf16, fp32 at $fp32"
echo "{\"steps\":$steps,\"val_loss_fp32\":$fp32,\"val_loss_bf16\":$bf16}"
