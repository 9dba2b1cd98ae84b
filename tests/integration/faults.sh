#!/usr/bin/env bash
# What users get wrong: one sentence that says what to do, and a sysexits code.
. "$(dirname "$0")/lib.sh"

# expect CODE TEXT COMMAND...: fails with this code, one line on stderr, and these words in it.
expect() {
    local code=$1 text=$2 got=0
    shift 2
    "$@" > out.txt 2> err.txt || got=$?
    [ "$got" = "$code" ] || { cat err.txt; fail "exit $got instead of $code: $*"; }
    grep -v '^level=' err.txt > sentence.txt || true
    [ "$(wc -l < sentence.txt)" = 1 ] || { cat err.txt; fail "not one sentence: $*"; }
    grep -qi -- "$text" sentence.txt || { cat err.txt; fail "no '$text' in the sentence: $*"; }
}
init() { "$bin/dugnad-coordinator" init "$@"; }
serve() { "$bin/dugnad-coordinator" serve "$@"; }
join() { "$bin/dugnad-peer" join "$@" --state state-faults; }

make_data shards
write_run run.yaml 1000 mx8
init --config run.yaml --dir run > init.log

# a missing file
expect 66 'nothere.txt' "$bin/dugnad" data build --tokenizer bytes --out d nothere.txt
expect 66 'nothere.yaml' init --config nothere.yaml --dir r
expect 66 'nothere' "$bin/dugnad" eval --model nothere --data shards --json
expect 66 'dugnad-coordinator init' serve --dir nothere

# a run that is there, a wrong option, a wrong command
expect 73 'another folder' init --config run.yaml --dir run
expect 64 '--help' "$bin/dugnad-coordinator" sevre
expect 64 'takes a number' join dugnad://x --threads many

# a YAML typo: file, line, what was meant
sed 's/target_batch/target_bacth/' run.yaml > typo.yaml
expect 78 'typo.yaml:14.*target_bacth.*target_batch' init --config typo.yaml --dir r
sed 's/steps: 1000/steps: soon/' run.yaml > type.yaml
expect 78 'type.yaml:13' init --config type.yaml --dir r

# a model that does not fit the memory
sed 's/hidden_size: 48/hidden_size: 8192/; s/layers: 2/layers: 64/' run.yaml > huge.yaml
expect 71 'MiB' init --config huge.yaml --dir r
expect 71 'MiB' "$bin/dugnad" train --config huge.yaml --out solo

# a corrupt shard
cp -r shards broken
printf 'x' | dd of=broken/train-00000.bin bs=1 seek=1000 conv=notrunc status=none
sed 's/path: shards/path: broken/' run.yaml > broken.yaml
expect 65 'broken/train-00000.bin' init --config broken.yaml --dir r

# links: malformed, nobody there, another coordinator's key, an unknown invite
expect 64 'link' join http://example.org
expect 64 'link' join dugnad://127.0.0.1:7700/short/token
start_coordinator run
port=$(status_of run port)
init --config run.yaml --dir other > init.log
wrong_key=$("$bin/dugnad-coordinator" invite --dir other --address "127.0.0.1:$port")
expect 77 'new link' join "$wrong_key" --wait 2
unknown_invite=$(echo "$link" | sed 's|/[^/]*$|/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA|')
expect 77 'new link' join "$unknown_invite"
nobody=$("$bin/dugnad-coordinator" invite --dir other --address 127.0.0.1:1)
expect 68 'nobody answers' join "$nobody" --wait 1

# a peer that has too little memory for the run
expect 71 'MiB.*fewer --threads' join "$link" --threads 256 --memory 20

# a taken port, and a run that is served already
expect 69 'listen' serve --dir other --listen "tcp://127.0.0.1:$port"
expect 69 'already' serve --dir run --listen tcp://127.0.0.1:0

# the coordinator took no harm
kill -0 "$coordinator" || fail "the coordinator is gone"
start_peer last
wait_for_step run 3
echo '{"faults":"all answered"}'
