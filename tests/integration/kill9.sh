#!/usr/bin/env bash
# Nothing acknowledged is lost: four peers train one run while the coordinator is killed with -9 at
# many random moments, and the peers at others. Then verify replays everything, and the peers' own
# logs say what had been acknowledged.
#
#   kill9.sh BIN_FOLDER [KILLS [SEED [MAX_STALENESS]]]
#
# KILLS of the coordinator, and as many of peers (200); SEED may be empty.
. "$(dirname "$0")/lib.sh"
kills=${2:-200}
seed=${3:-$RANDOM}
RANDOM=$seed
staleness=${4:-0}
peers=4
echo "kills $kills, seed $seed, max_staleness $staleness"

control() { "$bin/dugnad-coordinator" "$@"; }
pause_for() { sleep "$(printf '0.%03d' "$1")"; }

make_data shards
write_run run.yaml 1000000 mx8
# All checkpoints are kept, so that the replay at the end begins with the first step.
sed -i "s/target_batch: 32/target_batch: 256\n  max_staleness: $staleness\n  stale_from: 0/; s/checkpoint_every: 1000/checkpoint_every: 50\n  checkpoints_kept: 0/" run.yaml
control init --config run.yaml --dir run > init.log
start_coordinator run
port=$(status_of run port)

# supervise NAME COMMAND...: starts it again whenever it is killed, until the file `over` is there.
supervise() {
    local name=$1 code
    shift
    while [ ! -e over ]; do
        code=0
        "$@" 2>> "$name.log" &
        echo $! > "$name.pid"
        wait $! 2> /dev/null || code=$?
        [ $code = 137 ] || [ -e over ] || { echo "$name ended with $code" >> unexpected; }
        [ $code = 137 ] || sleep 0.2
    done
}

kill -9 "$coordinator"
wait "$coordinator" || true
supervise coordinator "$bin/dugnad-coordinator" serve --dir run --listen "tcp://127.0.0.1:$port" &
for i in $(seq $peers); do
    supervise "peer-$i" "$bin/dugnad-peer" join "$link" --state "state-$i" --name "peer-$i" \
        --threads 1 --precision fp32 --wait 0 --verbose &
done
wait_for_step run 3

# kill_one NAME: with -9, at whatever it is doing.
kill_one() {
    local pid
    pid=$(cat "$1.pid")
    kill -9 "$pid" 2>/dev/null && echo "event=killed" >> "$1.log"
}
coordinator_kills=0
peer_kills=0
while [ $coordinator_kills -lt "$kills" ] || [ $peer_kills -lt "$kills" ]; do
    pause_for $((RANDOM % 900 + 50))
    if [ $((RANDOM % 2)) = 0 ] && [ $coordinator_kills -lt "$kills" ]; then
        kill_one coordinator && coordinator_kills=$((coordinator_kills + 1))
    elif [ $peer_kills -lt "$kills" ]; then
        kill_one "peer-$((RANDOM % peers + 1))" && peer_kills=$((peer_kills + 1))
    fi
done
steps=$(status_of run step)
wait_for_step run $((steps + 3))
touch over
wait_for "the coordinator to answer" 'control stop --dir run > stop.txt 2>/dev/null' 30
wait_for "the end" '[ "$(status_of run state)" = stopped ]'
wait_for "the coordinator to be gone" "! kill -0 $(cat coordinator.pid) 2> /dev/null"
for i in $(seq $peers); do # by number: their command lines do not show the link
    kill -9 "$(cat "peer-$i.pid")" 2> /dev/null || true
done
[ ! -e unexpected ] || fail "$(sort unexpected | uniq -c | head -5)"

control verify --dir run --json > verify.json || fail "verify: $(cat verify.json)"
steps=$(jq .steps verify.json)
digest=$(jq -r .digest verify.json)
jq -e --argjson steps "$steps" '.ok and .samples_applied == $steps * 256 and .samples_duplicated == 0 and
    .samples_missing == 0 and .credit_tokens == .trained_tokens' verify.json > /dev/null ||
    fail "verify says $(cat verify.json)"
# The same steps replayed into a run of their own: the digest that the live run had.
control fork --dir run --step "$steps" --to again > /dev/null
[ "$(jq -r .digest "again/checkpoints/step-$(printf %06d "$steps")/state.json")" = "$digest" ] ||
    fail "an undisturbed replay ends with another digest"
! grep -h -e digest_mismatch coordinator.log peer-?.log || fail "somebody had other parameters"

# What peers were told was counted, by which life of which peer, and whether that life saw the step
# committed; against who is credited with the sample in the end.
control log --dir run --leases > log.jsonl
for i in $(seq $peers); do
    name=$(sed -n "/.*event=joined peer=\([0-9a-f]*\) name=\"peer-$i\".*/{s//\1/p;q}" coordinator.log)
    awk -v peer="$name" '
        /event=killed/ { life++ }
        /event=counted/ {
            step = $0; sub(/.*step=/, "", step); sub(/ .*/, "", step)
            ranges = $0; sub(/.*samples=/, "", ranges)
            n = split(ranges, parts, ",")
            for (k = 1; k <= n; k++) { split(parts[k], r, "+"); print "counted", peer, life + 0, step, r[1], r[2] }
        }
        /event=step / { step = $0; sub(/.*step=/, "", step); sub(/ .*/, "", step); print "alive", peer, life + 0, step - 1 }
    ' "peer-$i.log"
done > told.txt
jq -r 'select(.contributions) | .step as $s | .contributions[] | .peer as $p | .ranges[] | "applied \($p) \($s) \(.[0]) \(.[1])"' \
    log.jsonl > applied.txt
jq -r 'select(.lease) | "lent \(.peer) \(.in_step) \(.first) \(.count)"' log.jsonl > lent.txt
awk '
    $1 == "lent" { for (s = $4; s < $4 + $5; s++) { lent++; if (seen[s]++) again++ } }
    $1 == "applied" { for (s = $4; s < $4 + $5; s++) by[s] = $2 }
    $1 == "alive" { alive[$2, $3, $4] = 1 }
    $1 == "counted" { for (s = $5; s < $5 + $6; s++) { if (!((s, $2, $3) in told)) { told[s, $2, $3] = $4; list[++n] = s SUBSEP $2 SUBSEP $3 } } }
    END {
        for (i = 1; i <= n; i++) {
            split(list[i], key, SUBSEP)
            s = key[1]; step = told[list[i]]
            if (!(s in by)) continue            # of the step that was under way at the end
            acknowledged++
            if (by[s] == key[2]) continue
            if ((key[2], key[3], step) in alive) wrong++; else died++
        }
        printf "{\"samples_lent\":%d,\"lent_again\":%d,\"acknowledged\":%d,\"computed_again_though_its_peer_lived\":%d,\"computed_again_since_its_peer_died\":%d}\n",
            lent, again, acknowledged, wrong, died
        exit wrong > 0
    }' lent.txt applied.txt told.txt > counts.json || fail "acknowledged work was computed again: $(cat counts.json)"
jq -e '.acknowledged > 1000' counts.json > /dev/null || fail "the peers told of too little: $(cat counts.json)"
[ "$staleness" = 0 ] || grep -q 'event=committed.* stale=0\.[0-9]*[1-9]' coordinator.log ||
    fail "no sample was ever stale"
jq -c --argjson kills "$coordinator_kills" --argjson peer_kills "$peer_kills" --slurpfile verify verify.json \
    '{coordinator_kills: $kills, peer_kills: $peer_kills, steps: $verify[0].steps} + .' counts.json
