#!/usr/bin/env bash
# A peer that is asked to stop hands in what it has; a coordinator that is stopped, and one that is
# killed with -9, goes on from its last committed step, and the peers come back by themselves.
. "$(dirname "$0")/lib.sh"
steps=60

make_data shards
write_run run.yaml $steps mx8
sed -i 's/checkpoint_every: 1000/checkpoint_every: 50/' run.yaml
"$bin/dugnad-coordinator" init --config run.yaml --dir run > init.log
start_coordinator run
port=$(status_of run port)
start_peer steady --cpu-limit 30
start_peer leaver --cpu-limit 30
leaver=$peer
wait_for_step run 10

kill -TERM "$leaver"
wait "$leaver" || fail "a peer that was asked to stop ended with $?"
wait_for "the peer's leave" "grep -q 'event=left.*name=\"leaver\".*reason=\"left\"' coordinator.log" 10
! grep -q event=contribution_refused coordinator.log || fail "its last work was refused"

kill -TERM "$coordinator"
wait "$coordinator" || fail "a stopped coordinator ended with $?"
[ "$(status_of run state)" = stopped ] || fail "the run is not marked as stopped"
committed=$(status_of run step)
[ -d "run/checkpoints/step-$(printf %06d "$committed")" ] || fail "no checkpoint at the stop"
[ "$committed" -lt $steps ] || fail "the run was over before the stop"

: > coordinator.log
start_coordinator run "$port"
grep -q "event=serving.* step=$committed " coordinator.log || fail "it did not go on at $committed"

wait_for_step run $((committed + 12))
kill -9 "$coordinator"
wait "$coordinator" || true
durable=$(steps_of run | wc -l)
[ "$durable" -ge $((committed + 12)) ] || fail "only $durable steps are in the journal"
[ ! -d "run/checkpoints/step-$(printf %06d "$durable")" ] || fail "it was killed at a checkpoint"
: > coordinator.log
start_coordinator run "$port"
resumed=$(sed -n 's/.*event=serving.* step=\([0-9]*\) .*/\1/p' coordinator.log)
[ "$resumed" = "$durable" ] || fail "it went on at $resumed, but step $durable was committed"
code=0
"$bin/dugnad-coordinator" verify --dir run 2> refused.log || code=$?
[ "$code" = 69 ] || fail "verify of a run that is being served ended with $code"
wait "$coordinator" || fail "the third coordinator ended with $?"
[ "$(status_of run state)" = finished ] || fail "the run is not finished"
[ "$(steps_of run | wc -l)" = $steps ] || fail "the log has not $steps steps"
[ "$("$bin/dugnad-coordinator" log --dir run | jq -c 'select(.event == "served")' | wc -l)" = 3 ] ||
    fail "the journal does not tell of three starts"
check_exactly_once run $steps 32
check_verified run $steps 32
rm run/ledger.db*
"$bin/dugnad-coordinator" rebuild-ledger --dir run > /dev/null || fail "no ledger from the journal"
[ -e run/ledger.db ] || fail "the ledger was not made again"
check_agreement run
echo "{\"steps\":$steps,\"stopped_at\":$committed,\"resumed_at\":$resumed}"
