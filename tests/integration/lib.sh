# What the integration tests share: a scratch folder, programs, assertions, clean-up.
# Usage: . lib.sh BIN_FOLDER
set -euo pipefail
bin=$(realpath -e "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/dugnad-integration-XXXXXX")
export OPENBLAS_NUM_THREADS=1
cd "$work"

# Kills what is still running and, after a failure, shows the logs.
finish() {
    local code=$?
    local jobs_left
    jobs_left=$(jobs -p)
    [ -z "$jobs_left" ] || kill -9 $jobs_left 2>/dev/null || true
    wait 2>/dev/null || true
    if [ "$code" -ne 0 ]; then
        for log in "$work"/*.log; do
            [ -e "$log" ] && { echo "--- $(basename "$log")"; tail -n 25 "$log"; }
        done
    fi
    cd / && rm -rf "$work"
    exit "$code"
}
trap finish EXIT

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

# has_sanitizer PROGRAM. (Behind `ldd |` a `grep -q` would leave at the first match, and an ldd that still
# writes then fails the pipe.)
has_sanitizer() {
    local libraries
    libraries=$(ldd "$1") || fail "ldd does not tell what $1 is linked with"
    [[ $libraries =~ lib[a-z]*san\.so ]]
}

# make_data FOLDER: shards of the repository's own C files, about half a megabyte.
make_data() {
    find "$repository"/common "$repository"/proto "$repository"/trainer \
        "$repository"/coordinator "$repository"/peer -name '*.[ch]' | LC_ALL=C sort |
        xargs cat > text.txt
    "$bin/dugnad" data build --tokenizer bytes --out "$1" text.txt > data.log
}

# write_run FILE STEPS CODEC [EXTRA_TRAINING_LINE]: a small llama on the shards in ./shards. The text
# changes with every commit: at 3e-3 some texts make the training unstable, and then `dugnad train` with
# one thread and with two are 1e-4 apart after 40 steps; at 2e-3 1e-8, with every text tried.
write_run() {
    cat > "$1" <<YAML
name: test
seed: 7
model:
  type: llama
  hidden_size: 48
  layers: 2
  heads: 4
  kv_heads: 2
data:
  path: shards
  context: 48
training:
  steps: $2
  target_batch: 32
  codec: $3
  checkpoint_every: 1000
optimizer:
  learning_rate: 2.0e-3
  warmup_steps: 5
${4:-}
YAML
}

# start_coordinator RUN: serves on a free port; sets coordinator (process) and link.
start_coordinator() {
    "$bin/dugnad-coordinator" serve --dir "$1" --listen tcp://127.0.0.1:${2:-0} \
        --listen-bulk tcp://127.0.0.1:0 \
        2>> coordinator.log &
    coordinator=$!
    wait_for "the coordinator to serve" "grep -q event=serving coordinator.log && [ \$(status_of $1 port) != 0 ] && [ \$(status_of $1 state) = running ]"
    link=$("$bin/dugnad-coordinator" invite --dir "$1" 2>/dev/null)
}

# start_peer NAME [OPTION...]: sets peer (process); its exit code is left to wait.
start_peer() {
    local name=$1
    shift
    "$bin/dugnad-peer" join "$link" --state "state-$name" --name "$name" --threads 1 \
        --precision fp32 "$@" \
        2>> "peer-$name.log" &
    peer=$!
}

# status_of RUN KEY: from status.json, through the program that users have.
status_of() {
    "$bin/dugnad-coordinator" status --dir "$1" --json | jq -r ".$2"
}

# wait_for WHAT CONDITION [SECONDS]: DUGNAD_TEST_PATIENCE times as long where programs are slowed down.
wait_for() {
    local tries=$((${3:-60} * 20 * ${DUGNAD_TEST_PATIENCE:-1}))
    until eval "$2"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "waited too long for $1"
        sleep 0.05
    done
}

# wait_for_step RUN STEP
wait_for_step() {
    wait_for "step $2" "[ \$(status_of $1 step) -ge $2 ]" 120
}

# steps_of RUN: a JSON line for each committed step, from the journal.
steps_of() {
    "$bin/dugnad-coordinator" log --dir "$1" | jq -c 'select(has("step"))'
}

# check_verified RUN STEPS BATCH: what `verify` says of a run whose samples have 48 tokens.
check_verified() {
    "$bin/dugnad-coordinator" verify --dir "$1" --json > verify.json || fail "$(cat verify.json)"
    jq -e --argjson steps "$2" --argjson samples "$(($2 * $3))" '
        .ok and .steps == $steps and .samples_applied == $samples and .samples_duplicated == 0 and
        .samples_missing == 0 and .trained_tokens == $samples * 48 and
        .credit_tokens == .trained_tokens' verify.json > /dev/null || fail "$(cat verify.json)"
    [ "$(jq -r .digest verify.json)" = "$(steps_of "$1" | tail -n 1 | jq -r .digest)" ] ||
        fail "the digest is not that of the last step"
}

# check_exactly_once RUN STEPS BATCH: every sample number below STEPS * BATCH stands once in
# the journal, in the step it belongs to.
check_exactly_once() {
    steps_of "$1" | jq -c '. as $line | .contributions[].ranges[] | [$line.step, .[0], .[1]]' |
        tr -d '[]' | awk -F, -v steps="$2" -v batch="$3" '
        { for (i = $2; i < $2 + $3; i++) { seen[i]++; if (int(i / batch) != $1) wrong++ } }
        END {
            for (i = 0; i < steps * batch; i++) if (seen[i] != 1) bad++
            for (i in seen) total++
            if (wrong || bad || total != steps * batch) {
                printf "%d samples in a wrong step, %d not exactly once, %d in all\n",
                    wrong, bad, total
                exit 1
            }
        }' || fail "samples were not applied exactly once"
}

# check_agreement RUN: no digest ever differed, on either side, and no work was refused.
check_agreement() {
    [ "$(status_of "$1" refused_contributions)" = 0 ] || fail "honest work was refused"
    [ "$(status_of "$1" digest_mismatches)" = 0 ] || fail "the coordinator saw other digests"
    ! grep -q digest_mismatch peer-*.log || fail "a peer saw another digest"
}
