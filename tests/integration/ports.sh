#!/usr/bin/env bash
# The coordinator's two ports: what takes bytes goes over the second one, and a peer that reaches only the
# first one takes part all the same. 77: no ss, reported as skipped.
. "$(dirname "$0")/lib.sh"
steps=400
command -v ss > /dev/null || { echo "skipped: there is no ss"; exit 77; }

# bytes_at PORT: what the connections there carried so far, both ways, without what TCP adds.
bytes_at() {
    ss -tinH state established "( sport = :$1 )" | grep -oE 'bytes_(sent|received):[0-9]+' |
        awk -F: '{ sum += $2 } END { print sum + 0 }'
}
connections_at() {
    ss -tnH state established "( sport = :$1 )" | wc -l
}
# serve_at RUN OPTION...: sets coordinator, once it serves.
serve_at() {
    local run=$1
    shift
    : > coordinator.log
    "$bin/dugnad-coordinator" serve --dir "$run" "$@" 2>> coordinator.log &
    coordinator=$!
    wait_for "the coordinator to serve" "grep -q event=serving coordinator.log || ! kill -0 $coordinator" 20
    kill -0 $coordinator 2> /dev/null
}

make_data shards
write_run run.yaml $steps fp32
"$bin/dugnad-coordinator" init --config run.yaml --dir run > init.log

# The second port is the one after the first.
for try in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    serve_at run --listen "tcp://127.0.0.1:$port" && break
    wait "$coordinator" || true
done
[ "$(status_of run port)" = "$port" ] || fail "no pair of ports could be had"
bulk=$(status_of run bulk_port)
[ "$bulk" = $((port + 1)) ] || fail "the port after $port is not $bulk"
grep -q "event=serving.* port=$port bulk_port=$bulk" coordinator.log || fail "the log does not tell the ports"

# One that is taken is told of with its option.
"$bin/dugnad-coordinator" init --config run.yaml --dir other > init.log
code=0
"$bin/dugnad-coordinator" serve --dir other --listen tcp://127.0.0.1:0 \
    --listen-bulk "tcp://127.0.0.1:$bulk" 2> taken.txt || code=$?
[ $code = 69 ] && grep -q "127.0.0.1:$bulk is taken.*--listen-bulk" taken.txt && [ "$(wc -l < taken.txt)" = 1 ] ||
    fail "at a taken port it ended with $code: $(cat taken.txt)"

# By a name: the second port is dialled at the address that was found for the first.
link=$("$bin/dugnad-coordinator" invite --dir run --address "localhost:$port" 2> /dev/null)
start_peer one
start_peer two
wait_for_step run 60
"$bin/dugnad-coordinator" pause --dir run > pause.log
sleep 0.5 # what is under way arrives
wait_for "two connections at each port" \
    "[ \$(connections_at $port) = 2 ] && [ \$(connections_at $bulk) = 2 ]" 10
control_bytes=$(bytes_at "$port")
bulk_bytes=$(bytes_at "$bulk")
# A contribution in and an update out for each peer and step, 4 bytes a value.
values=$(sed -n 's/.*event=serving.* parameters=\([0-9]*\) .*/\1/p' coordinator.log)
[ "$bulk_bytes" -ge $((60 * 2 * 2 * 4 * values)) ] || fail "only $bulk_bytes bytes at the port for chunks"
[ "$control_bytes" -lt $((bulk_bytes / 20)) ] ||
    fail "$control_bytes bytes at the first port, $bulk_bytes at that for chunks"
kill -TERM "$coordinator"
wait "$coordinator" || fail "a stopped coordinator ended with $?"

# Peers that are there come back, and find the second port elsewhere.
serve_at run --listen "tcp://127.0.0.1:$port" --listen-bulk tcp://127.0.0.1:0 || fail "it did not serve again"
bulk=$(status_of run bulk_port)
"$bin/dugnad-coordinator" resume --dir run > resume.log
wait_for_step run 80
wait_for "two connections at the new port" "[ \$(connections_at $bulk) = 2 ]" 10
check_agreement run
kill -TERM "$coordinator"
wait "$coordinator" || fail "a stopped coordinator ended with $?"
kill -INT $(jobs -p) 2> /dev/null || true
wait || true

# Who reaches the first port alone: as through a firewall, nobody listens there on its address.
serve_at other --listen tcp://0.0.0.0:0 --listen-bulk tcp://127.0.0.1:0 || fail "it did not serve on every address"
link=$("$bin/dugnad-coordinator" invite --dir other --address "127.0.0.2:$(status_of other port)" 2> /dev/null)
start_peer three
wait_for_step other 20
wait_for "the peer to tell of it" "grep -q event=one_port peer-three.log" 20
[ "$(connections_at "$(status_of other bulk_port)")" = 0 ] || fail "somebody came to a port that was out of reach"
check_agreement other
kill -TERM "$coordinator"
wait "$coordinator" || fail "a stopped coordinator ended with $?"
echo "{\"control_bytes\":$control_bytes,\"bulk_bytes\":$bulk_bytes}"
