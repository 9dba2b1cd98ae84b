#!/usr/bin/env bash
# 3 peers, one killed with -9 in the middle and one joining late, codec fp32: the loss of each of
# 40 steps is that of `dugnad train`, and every sample is applied exactly once.
. "$(dirname "$0")/lib.sh"
steps=40

make_data shards
write_run run.yaml $steps fp32
"$bin/dugnad-coordinator" init --config run.yaml --dir run > init.log
start_coordinator run
start_peer one --cpu-limit 40
start_peer two --cpu-limit 40
start_peer victim --cpu-limit 40
victim=$peer
wait_for_step run 14
kill -9 "$victim"
wait_for_step run 18
[ "$(status_of run step)" -lt $steps ] || fail "the run was over before the late peer joined"
start_peer late
wait "$coordinator" || fail "the coordinator ended with $?"

"$bin/dugnad" train --config run.yaml --out solo --precision fp32 > solo.log 2>&1
[ "$(steps_of run | wc -l)" = $steps ] || fail "the run has not $steps steps"
[ "$(wc -l < solo/steps.jsonl)" = $steps ] || fail "the single machine has not $steps steps"
worst=$(paste <(steps_of run | jq .loss) <(jq .loss solo/steps.jsonl) |
    awk '{ d = ($1 - $2) / $2; d = d < 0 ? -d : d; if (d > w) w = d } END { printf "%.3g", w }')
awk -v worst="$worst" 'BEGIN { exit !(worst <= 1e-4) }' ||
    fail "losses differ by $worst relative"

check_exactly_once run $steps 32
check_verified run $steps 32
check_agreement run
grep -q 'event=lost.*name="victim"' coordinator.log || fail "the killed peer was never missed"
steps_of run | jq -e -s 'map(.contributions[].peer) | unique | length == 4' > /dev/null ||
    fail "not all four peers contributed"
echo "{\"steps\":$steps,\"worst_relative_difference\":$worst}"
