#!/usr/bin/env bash
# What dugnad-peer gives up by itself, and what its owner can hold it to: the real program.
. "$(dirname "$0")/lib.sh"
unset OPENBLAS_NUM_THREADS # the peer must see to its library's threads by itself

# refused_with CODE TEXT OPTION...: joining again, with that state, ends so and says that.
refused_with() {
    local expected=$1 text=$2 code=0
    shift 2
    timeout 60 "$bin/dugnad-peer" join "$link" --state state-a --threads 1 --precision fp32 "$@" \
        2> refused.log || code=$?
    [ "$code" -eq "$expected" ] || fail "ended with $code instead of $expected: $(cat refused.log)"
    grep -q "$text" refused.log || fail "no '$text' in: $(cat refused.log)"
}

make_data shards
write_run run.yaml 100000 mx8
"$bin/dugnad-coordinator" init --config run.yaml --dir run > init.log
: > coordinator.log
start_coordinator run

# By default: every thread is held, whatever is on its way, and nothing is written but the state.
start_peer a --threads 3
wait_for_step run 5
for thread in /proc/"$peer"/task/*; do
    grep -q '^NoNewPrivs:[[:space:]]*1' "$thread/status" || fail "$thread may gain privileges"
    grep -q '^Seccomp:[[:space:]]*2' "$thread/status" || fail "$thread has no filter"
done
threads=$(ls /proc/"$peer"/task | wc -l)
grep -q 'event=confined sandbox=\(on\|partly missing="..*"\)$' peer-a.log ||
    fail "the log does not say what the sandbox holds"
kill -INT "$peer"
wait "$peer" || fail "the peer ended with $?"
files=$(cd state-a && find . -type f | LC_ALL=C sort | tr '\n' ' ')
pin=$(echo state-a/runs/*.json)
[ "$files" = "./identity.key ./lock ./${pin#state-a/} ./sequence " ] || fail "the state holds $files"

# A code generator works inside as well, where this machine has one.
start_peer a --precision auto
step=$(status_of run step)
wait_for_step run $((step + 3))
kill -INT "$peer"
wait "$peer" || fail "the peer ended with $?"

# Aloud.
start_peer b --no-sandbox
step=$(status_of run step)
wait_for_step run $((step + 3))
grep -q '^Seccomp:[[:space:]]*0' "/proc/$peer/status" || fail "it has a filter all the same"
kill -INT "$peer"
wait "$peer" || fail "the peer ended with $?"
grep -q '^level=warn .*event=confined sandbox=off' peer-b.log || fail "the log does not say it"
grep -q '^dugnad-peer: WITHOUT A SANDBOX' peer-b.log || fail "the terminal is not told"

# What stands around the link in its file does not matter; what is not one link is refused.
given=$link
printf '\xef\xbb\xbf\r\n \n  %s \r\n\n' "$given" > link.framed
link=@link.framed start_peer framed
wait_for "a framed link" "grep -q event=joined peer-framed.log"
kill -INT "$peer"
wait "$peer" || fail "the peer ended with $?"
printf '%s\n%s\n' "$given" "$given" > link.two
link=@link.two refused_with 65 'link.two holds more than one link'
printf ' \n' > link.none
link=@link.none refused_with 65 'link.none holds no link'
head -c 3000000 /dev/zero > link.giant
link=@link.giant refused_with 65 'link.giant is too long: this is no link'
link=- refused_with 65 'standard input holds more than one link' < link.two

# Another shape of the same run, and what the owner allows.
cp "$pin" kept.json
jq '.runs[0].parameters += 64' kept.json > "$pin"
cp "$pin" changed.json
refused_with 77 "another model for the same run (.* parameters, where it had .*remove $pin"
cmp -s "$pin" changed.json || fail "the file was changed"
echo '{"runs":[' > "$pin"
refused_with 65 "$pin is damaged"
head -c 3000000 /dev/zero > "$pin"
refused_with 65 "$pin is damaged"
cp kept.json "$pin"
refused_with 71 'memory and --memory allows 1;' --memory 1
head -c 3000000 /dev/zero > state-a/large
refused_with 73 'would hold 3 MiB and --disk allows 2;' --disk 2
rm state-a/large

start_peer a
step=$(status_of run step)
wait_for_step run $((step + 3))
kill -INT "$peer"
wait "$peer" || fail "the peer ended with $?"
kill -INT "$coordinator"
wait "$coordinator" || fail "the coordinator ended with $?"
check_agreement run
echo "{\"threads_held\":$threads,\"files\":\"$files\"}"
