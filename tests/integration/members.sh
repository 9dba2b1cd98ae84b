#!/usr/bin/env bash
# Who may take part, with the real programs: invites that end, keys that are copied, put back from
# an older copy, banned while they compute; with and without a coordinator that serves.
. "$(dirname "$0")/lib.sh"

control() { "$bin/dugnad-coordinator" "$@"; }
ask() { control "$1" --dir run --json; }

# expect CODE TEXT COMMAND...: it ends with the code, and says the text on stderr.
expect() {
    local wanted=$1 text=$2 code=0
    shift 2
    "$@" > out.txt 2> err.txt || code=$?
    [ $code = "$wanted" ] || fail "$* ended with $code instead of $wanted: $(tail -n 1 err.txt)"
    grep -q "$text" err.txt || fail "$* did not say '$text' but $(tail -n 1 err.txt)"
}
# refused CODE TEXT LINK [OPTION...]: nobody lets a peer in.
refused() {
    local code=$1 text=$2
    shift 2
    expect "$code" "$text" timeout 60 "$bin/dugnad-peer" join "$@" --threads 1 --precision fp32
}

make_data shards
write_run run.yaml 100000 mx8
control init --config run.yaml --dir run > init.log

head -c 3000000 /dev/zero > big.yaml
expect 65 'big.yaml has 3000000 bytes' control init --config big.yaml --dir other

# What was made before members.db is still an invite.
token_hash=$(head -c 32 /dev/zero | b2sum -l 256 | cut -d' ' -f1)
echo "[{\"blake2b\": \"$token_hash\", \"created_ms\": 1}]" > run/invites.json
[ "$(ask invites | jq '.[0].uses')" = 0 ] || fail "the old invite is not there"
[ ! -e run/invites.json ] || fail "invites.json is still there"

# Nobody serves: the commands open the file themselves.
control invite --dir run --uses 1 --label 'for one' --out link.one 2> invite.txt
grep -q 'invite 2: for 1 peer, until' invite.txt || fail "the invite does not say what it is for"
[ "$(stat -c %a link.one)" = 600 ] || fail "others can read the link"
expect 73 'there already' control invite --dir run --out link.one
expect 73 'no-such/link' control invite --dir run --out no-such/link
grep -q 'invite 3 is withdrawn again' err.txt || fail "a link that nobody got lets somebody in"
full() { control invite --dir run > /dev/full; }
expect 74 'invite 4 is withdrawn again' full
code=0
control invite --dir run >&- 2> err.txt || code=$?
[ $code = 74 ] && grep -q 'standard output is closed' err.txt || fail "a closed output gave $code"
[ "$(ask invites | jq -c 'map(.revoked)')" = '[false,false,true,true]' ] ||
    fail "not all invites that nobody got are withdrawn"
expect 64 'such as 30m' control invite --dir run --expires 7w
expect 64 'from 1 to' control invite --dir run --uses 0
expect 64 'printable' control invite --dir run --label "$(printf 'a\033b')"
[ "$(ask invites | jq length)" = 4 ] || fail "a refused invite was made"
# wrong_asked: what cannot be asked, and how each ends, whether the run is served or not.
wrong_asked() {
    expect 64 'no member' control ban --dir run 000000000000
    expect 64 "'zz' is none" control ban --dir run zz
    expect 64 "'zz' is none" control revoke --dir run zz
    expect 64 '^dugnad-coordinator: --reason takes at most' control ban --dir run 000000000000 --reason 'a "b"'
    expect 66 'no invite of this number' control revoke --dir run 999
    expect 66 'not banned' control unban --dir run \
        d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a
    expect 64 "'extra' is one argument too many" control ban --dir run 000000000000 extra
    for command in invite invites incidents peers pause serve; do
        expect 64 "'extra' is one argument too many" control $command --dir run extra
    done
}
wrong_asked

start_coordinator run 0
port=$(status_of run port)
control invite --dir run --uses 1 --out link.two --address "127.0.0.1:$port" 2> /dev/null
control invite --dir run --out link.void --address "127.0.0.1:$port" 2> /dev/null
control revoke --dir run "$(ask invites | jq 'map(.invite) | max')" > /dev/null
link=@link.two start_peer anna
anna=$peer
wait_for_step run 2
key=$("$bin/dugnad-peer" key --state state-anna)
ask peers | jq -e --arg key "$key" '.[0] | .key == $key and .name == "anna" and .here' > /dev/null ||
    fail "the peer is not listed"

wrong_asked

# A second one by an invite for one; by one that was withdrawn.
refused 77 'as many peers have joined' @link.two --state state-bert
refused 77 'was withdrawn' @link.void --state state-bert

# A copy of the state folder that says what was said before, while the original computes.
cp -r state-anna state-copy
rm state-copy/sequence
before=$(status_of run step)
refused 77 'a copy of its state folder is in use' "$link" --state state-copy
wait_for_step run $((before + 2))
kill -0 "$anna" || fail "the copy cost the original its place"
ask incidents | jq -e --arg key "$key" \
    'map(select(.kind == "cloned_or_rolled_back" and .key == $key)) | length == 1' > /dev/null ||
    fail "the copy is not among the incidents"
echo x > state-copy/sequence
refused 65 'sequence is damaged' "$link" --state state-copy

# Banned while it computes: out within a second, and refused when it comes again.
began=$(date +%s%N)
control ban --dir run "${key:0:12}" --reason 'for the test' > /dev/null
wait_for "the ban" '[ "$(ask peers | jq "map(select(.here)) | length")" = 0 ]' 1
code=0
wait "$anna" || code=$?
took=$((($(date +%s%N) - began) / 1000000))
[ "$code" = 77 ] || fail "a banned peer ended with $code"
grep -q 'has banned this key' peer-anna.log || fail "a banned peer is not told"
[ "$took" -lt $((3000 * ${DUGNAD_TEST_PATIENCE:-1})) ] || fail "a banned peer took $took ms to end"
refused 77 'banned this key' "$link" --state state-anna

# A ban outlives the coordinator, and can be taken back while nobody serves.
control stop --dir run --wait 1 > /dev/null
wait "$coordinator" || true
: > coordinator.log
[ "$(ask peers | jq -r '.[0].state')" = banned ] || fail "the ban is forgotten"
start_coordinator run "$port"
last=$(ask incidents | jq 'map(.number) | max')
refused 77 'banned this key' "$link" --state state-anna
refused 77 'banned this key' "$link" --state state-anna
wait_for "the incidents" "ask incidents | jq -e --arg key $key --argjson last $last \
    'map(select(.number > \$last and .kind == \"barred_key\" and .key == \$key)) | (map(.count) | add) >= 2' > /dev/null" 5
grep -q "module=gate event=refused reason=barred_key peer=${key:0:12}" coordinator.log || fail "the log has no word of it"
control stop --dir run --wait 1 > /dev/null
wait "$coordinator" || true
: > coordinator.log
control unban --dir run "$key" > /dev/null

# By name alone.
sed -i 's/^membership: invite/membership: allowlist/' run/run.yaml
start_coordinator run "$port"
refused 77 'dugnad-peer key' "$link" --state state-anna
control allow --dir run "$key" > /dev/null
before=$(status_of run step)
link=@link.two start_peer anna
wait_for_step run $((before + 2))

# A copy of the state folder as it stands, while the original computes: it has the session from now
# on, and which of them is the copy nobody can tell; both are told of.
cp -r state-anna state-twin
link=@link.two start_peer twin
wait_for "the copy to be noted" 'ask incidents | jq -e "map(select(.kind == \"second_connection\" and .key == \"$key\")) | length == 1" > /dev/null'
wait_for "the original to be refused" 'grep -q "a copy of its state folder is in use" peer-anna.log'

# Two commands at once.
for i in 1 2 3 4; do control invite --dir run > "many.$i" 2> /dev/null & many="${many:-} $!"; done
for process in $many; do wait "$process" || fail "an invite failed beside others"; done
[ "$(sort -u many.? | wc -l)" = 4 ] || fail "two invites are the same"
echo ok
