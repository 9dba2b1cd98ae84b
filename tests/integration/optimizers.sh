#!/usr/bin/env bash
# LAMB and Adam-mini, whose steps need a phase of their own; Adam-mini with the mean gradient in
# mx8, whose residual is part of every checkpoint. A coordinator that is killed with -9 goes on from
# its last committed step, and the loss of each step is that of `dugnad train`. A run whose optimizer was
# changed refuses the checkpoints.
. "$(dirname "$0")/lib.sh"
steps=24

# train_with TYPE SCHEDULE JOURNAL
train_with() {
    local run=run-$1
    write_run "$1.yaml" $steps fp32 "  type: $1
  schedule: $2"
    sed -i "s/checkpoint_every: 1000/checkpoint_every: 5\n  journal: $3/" "$1.yaml"
    "$bin/dugnad-coordinator" init --config "$1.yaml" --dir "$run" > init.log
    : > coordinator.log
    start_coordinator "$run"
    local port
    port=$(status_of "$run" port)
    start_peer "$1" --cpu-limit 40
    wait_for_step "$run" 12
    kill -9 "$coordinator"
    wait "$coordinator" || true
    local committed
    committed=$(steps_of "$run" | wc -l)
    [ "$committed" -ge 12 ] && [ "$committed" -lt $steps ] || fail "the run was over before the kill"
    : > coordinator.log
    start_coordinator "$run" "$port"
    resumed=$(sed -n 's/.*event=serving.* step=\([0-9]*\) .*/\1/p' coordinator.log)
    [ "$resumed" = "$committed" ] || fail "$1 went on at $resumed and not at $committed"
    wait "$coordinator" || fail "the coordinator of $1 ended with $?"
    wait "$peer" || fail "the peer of $1 ended with $?"

    "$bin/dugnad" train --config "$1.yaml" --out "solo-$1" --precision fp32 > solo.log 2>&1
    worst=$(paste <(steps_of "$run" | jq .loss) <(jq .loss "solo-$1/steps.jsonl") |
        awk '{ d = ($1 - $2) / $2; d = d < 0 ? -d : d; if (d > w) w = d }
             END { printf "%.3g", NR == '$steps' ? w : 1 }')
    awk -v worst="$worst" 'BEGIN { exit !(worst <= 1e-4) }' ||
        fail "the losses of $1 differ by $worst relative"
    [ "$3" = fp32 ] || ls "$run"/checkpoints/step-*20/residual.safetensors > /dev/null ||
        fail "a checkpoint has no residual"
    check_exactly_once "$run" $steps 32
    check_verified "$run" $steps 32
    check_agreement "$run"
}

make_data shards
train_with lamb linear fp32
first=$worst
train_with adam_mini wsd mx8

sed -i 's/type: adam_mini/type: adamw/' run-adam_mini/run.yaml
code=0
"$bin/dugnad-coordinator" serve --dir run-adam_mini --listen tcp://127.0.0.1:0 2> refused.log ||
    code=$?
[ "$code" = 78 ] || fail "a changed optimizer ended with $code"
grep -q 'holds the state of adam_mini, but .*optimizer.type is adamw' refused.log ||
    fail "the refusal does not name the optimizers"
echo "{\"steps\":$steps,\"worst_relative_difference\":{\"lamb\":$first,\"adam_mini\":$worst}}"
