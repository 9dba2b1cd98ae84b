#!/usr/bin/env bash
# What an owner does to a run that lives: pause, resume, set, stop, fork; and what verify says then.
. "$(dirname "$0")/lib.sh"

control() { "$bin/dugnad-coordinator" "$@"; }

make_data shards
write_run run.yaml 100000 mx8
sed -i 's/checkpoint_every: 1000/checkpoint_every: 10/' run.yaml
control init --config run.yaml --dir run > init.log
code=0
control pause --dir run 2> err.txt || code=$?
[ $code = 69 ] && grep -q 'serve --dir run' err.txt || fail "pausing what nobody serves: $code"

start_coordinator run
port=$(status_of run port)
start_peer one
start_peer two
wait_for_step run 5

# Paused: the step in progress ends, and nothing after it, also after a restart.
answer=$(control pause --dir run) || fail "pause ended with $?"
[[ $answer == *'paused after step'* ]] || fail "no answer to pause"
wait_for "the pause" '[ $(status_of run state) = paused ]'
paused_at=$(status_of run step)
sleep 1.5
[ "$(status_of run step)" = "$paused_at" ] || fail "a paused run went on"
kill -9 "$coordinator"
wait "$coordinator" || true
: > coordinator.log
start_coordinator_paused() {
    control serve --dir run --listen "tcp://127.0.0.1:$port" 2>> coordinator.log &
    coordinator=$!
    wait_for "the coordinator to serve" 'grep -q event=serving coordinator.log && [ -S run/control.sock ]'
}
start_coordinator_paused
wait_for "the pause" '[ $(status_of run state) = paused ]'
[ "$(status_of run step)" = "$paused_at" ] || fail "a step was lost or made by the restart"
control resume --dir run > /dev/null
wait_for_step run $((paused_at + 3))

# Settings change between two steps, and the answer names the step.
from=$(control set --dir run --learning-rate 1e-3 --target-batch 16 | sed -n 's/so from step \([0-9]*\) on/\1/p')
[ -n "$from" ] || fail "no answer to set"
wait_for_step run $((from + 3))
control set --dir run --codec bf16 --journal mx8 > /dev/null
wait_for_step run $((from + 8))
code=0
control set --dir run --learning-rate 1e9 2> err.txt || code=$?
[ $code = 64 ] || fail "an impossible learning rate was taken"

answer=$(control stop --dir run) || fail "stop ended with $?"
[[ $answer == *'stopping after step'* ]] || fail "no answer to stop"
wait "$coordinator" || fail "a stopped coordinator ended with $?"
[ "$(status_of run state)" = stopped ] || fail "the run is not stopped"
steps=$(status_of run step)
[ -d "run/checkpoints/step-$(printf %06d "$steps")" ] || fail "no checkpoint at the stop"

control log --dir run > log.jsonl
jq -se --argjson from "$from" 'map(select(.step != null)) | all(
    ([.contributions[].ranges[][1]] | add) == (if .step + 1 < $from then 32 else 16 end))' log.jsonl > /dev/null ||
    fail "the target batch did not change with step $from"
control verify --dir run --json > verify.json || fail "verify: $(cat verify.json)"
jq -e '.ok and .steps == '"$steps"' and .samples_duplicated == 0 and .samples_missing == 0 and
       .credit_tokens == .trained_tokens' verify.json > /dev/null || fail "verify says $(cat verify.json)"
check_agreement run

# A fork has the parameters of its step, and trains on.
version=$((steps - 2))
control fork --dir run --step $version --to forked --name again > /dev/null
[ "$(jq -r .digest "forked/checkpoints/step-$(printf %06d $version)/state.json")" = \
    "$(jq -r "select(.step == $version - 1).digest" log.jsonl)" ] || fail "the fork has other parameters"
code=0
control fork --dir run --step $((steps + 1)) --to other 2> err.txt || code=$?
[ $code = 65 ] && [ ! -e other ] || fail "a step that was never made was forked: $code"
code=0
control fork --dir run --step $version --to forked 2> err.txt || code=$?
[ $code = 73 ] || fail "a fork took the place of a run: $code"
: > coordinator.log
start_coordinator forked
start_peer three
wait_for_step forked $((version + 5))
control stop --dir forked > /dev/null
wait "$coordinator" || fail "the fork's coordinator ended with $?"
control verify --dir forked --json | jq -e .ok > /dev/null || fail "the fork is not sound"
echo "{\"steps\":$steps,\"paused_at\":$paused_at,\"changed_at\":$from,\"forked_at\":$version}"
