#!/usr/bin/env bash
# Peers that sum for others: two of four own parts of the gradient, and are killed with -9 at random
# moments. Every step is committed; every sum that an owner returned is made again by the
# coordinator from the contributors' own bytes (check_share 1) and must have the same bits; the
# journal replays to the same digest.
#
#   aggregators.sh BIN_FOLDER [KILLS [SEED]]      KILLS of owners (8)
. "$(dirname "$0")/lib.sh"
kills=${2:-8}
seed=${3:-$RANDOM}
RANDOM=$seed
port=$((20000 + RANDOM % 20000))
# Slow enough that half of a step is gathering.
slow="--max-up 1MB"
echo "kills $kills, seed $seed"

# owner NAME PORT: joins in the background, again whenever it is killed, until the file `over` is there.
owner() {
    while [ ! -e over ]; do
        "$bin/dugnad-peer" join "$link" --state "state-$1" --name "$1" --threads 1 \
            --precision fp32 --aggregate "$2" $slow 2>> "peer-$1.log" &
        echo $! > "$1.pid"
        wait $! 2> /dev/null || true
        sleep 0.2
    done
}

# The owners' processes are nobody's jobs here.
trap 'code=$?; touch over; kill -9 $(cat anna.pid bert.pid 2> /dev/null) 2> /dev/null || true; (exit $code); finish' EXIT

make_data shards
write_run run.yaml 1000000 mx8 'aggregation:
  strategy: all_reduce
  check_share: 1.0
  rest: false'
sed -i 's/hidden_size: 48/hidden_size: 96/; s/target_batch: 32/target_batch: 128/' run.yaml
sed -i 's/checkpoint_every: 1000/checkpoint_every: 1000\n  checkpoints_kept: 0/' run.yaml
"$bin/dugnad-coordinator" init --config run.yaml --dir run > init.log
start_coordinator run
owner anna "$port" &
owner bert "$((port + 1))" &
start_peer carl $slow
start_peer dora $slow
complete() { grep -c "event=complete" coordinator.log || true; }
# gathered COUNT: that many more steps were summed by owners.
gathered() {
    local before
    before=$(complete)
    wait_for "$1 steps that owners sum" "[ \$(complete) -ge $((before + $1)) ]" 120
}
gathered 5

"$bin/dugnad-coordinator" plan --dir run --json > plan.json
jq -e '.owners == 2 and ([.links[] | select(.chunks)] | length == 2) and
    ([.links[] | select(.chunks) | .chunks] | add) > 0' plan.json > /dev/null || fail "$(cat plan.json)"
words=$("$bin/dugnad-coordinator" plan --dir run) || fail "plan ended with $?"
[[ $words == *'2 of 4 peers sum'* ]] || fail "plan says something else"

# With a sum of its own, as it is committed, nothing may be missing: kill at any moment.
for ((i = 0; i < kills; i++)); do
    sleep "$(printf '%d.%03d' $((RANDOM % 2)) $((RANDOM % 1000)))"
    kill -9 "$(cat "$([ $((RANDOM % 2)) = 0 ] && echo anna || echo bert).pid")" 2> /dev/null || true
    [ $((i % 4)) != 3 ] || gathered 2
done
gathered 2
touch over
"$bin/dugnad-coordinator" plan --dir run --json > plan.json
steps=$(status_of run step)
"$bin/dugnad-coordinator" stop --dir run > stop.txt
wait "$coordinator"
! grep -E "reason=(liar|wrong|bad)" coordinator.log || fail "an honest owner's sum had other bits"
! grep -q event=barred coordinator.log || fail "an honest owner was barred"
[ "$(status_of run refused_contributions)" = 0 ] || fail "honest work was refused"
[ "$(status_of run digest_mismatches)" = 0 ] || fail "somebody had other parameters"
checks=$(grep -o "checks=[0-9]*" coordinator.log | cut -d= -f2 | paste -sd+ | bc)
[ "$checks" -gt 20 ] || fail "only $checks sums were made again"
"$bin/dugnad-coordinator" verify --dir run --json > verify.json || fail "verify: $(cat verify.json)"
jq -e --argjson steps "$steps" '.ok and .steps >= $steps and .samples_duplicated == 0 and
    .samples_missing == 0' verify.json > /dev/null || fail "verify says $(cat verify.json)"
echo "steps $(jq .steps verify.json), gathered from owners $(complete), sums made again $checks," \
    "taken over $(grep -c event=taken_over coordinator.log || true), of other bits 0"
