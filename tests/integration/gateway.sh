#!/usr/bin/env bash
# The gateway is killed with -9 again and again: the run goes on, no sample is lost, the coordinator
# and the peers are those that began. The gateway can reach nothing of the run, and dies with it.
. "$(dirname "$0")/lib.sh"
steps=60
kills=5

make_data shards
write_run run.yaml $steps mx8
"$bin/dugnad-coordinator" init --config run.yaml --dir run > init.log

# Alone, the coordinator says in one sentence what it lacks.
mkdir alone
cp "$bin/dugnad-coordinator" alone
code=0
alone/dugnad-coordinator serve --dir run --listen tcp://127.0.0.1:0 2> alone.txt || code=$?
[ $code = 66 ] && grep -q 'dugnad-gateway.*install all of' alone.txt && [ "$(wc -l < alone.txt)" = 1 ] ||
    fail "without a gateway it ended with $code: $(cat alone.txt)"
code=0
"$bin/dugnad-gateway" 2> byhand.txt || code=$?
[ $code = 64 ] && grep -q "dugnad-coordinator serve" byhand.txt || fail "by hand the gateway ended with $code"

# With few open files each program says so: in one sentence, or when it begins to serve.
code=0
(ulimit -n 20 && exec "$bin/dugnad-coordinator" serve --dir run --listen tcp://127.0.0.1:0 2> few.txt) || code=$?
[ $code = 71 ] && grep -q 'ulimit -n' few.txt && [ "$(wc -l < few.txt)" = 1 ] ||
    fail "with 20 files the coordinator ended with $code: $(cat few.txt)"
code=0
(ulimit -n 12 && exec "$bin/dugnad-peer" join @run.yaml --state none 2> few.txt) || code=$?
[ $code = 71 ] && grep -q 'ulimit -n' few.txt && [ "$(wc -l < few.txt)" = 1 ] ||
    fail "with 12 files the peer ended with $code: $(cat few.txt)"
(ulimit -n 64 && exec "$bin/dugnad-coordinator" serve --dir run --listen tcp://127.0.0.1:0 2> few.txt) &
few=$!
wait_for "the coordinator to serve with few files" "grep -q event=serving few.txt" 20
grep -q 'event=few_files.*room for 1 connections.*ulimit -n' few.txt || fail "nothing is said of few files"
kill -TERM $few
wait $few || true

# gateway_of LOG: the process of the latest gateway that listened.
gateway_of() {
    sed -n 's/.*module=gateway event=ready pid=\([0-9]*\) .*/\1/p' "$1" | tail -n 1
}
# told KEY: what the gateway said of the kernel's means: open or closed.
told() {
    sed -n "s/.*module=gateway event=ready .*$1=\([a-z]*\).*/\1/p" coordinator.log | tail -n 1
}

start_coordinator run
gateway=$(gateway_of coordinator.log)
[ "$(awk '$1 == "PPid:" { print $2 }' "/proc/$gateway/status")" = "$coordinator" ] ||
    fail "process $gateway is not the coordinator's gateway"
[ "$(awk '$1 == "NoNewPrivs:" { print $2 }' "/proc/$gateway/status")" = 1 ] ||
    fail "the gateway could gain privileges"
if [ "$(told calls)" = closed ]; then
    [ "$(awk '$1 == "Seccomp:" { print $2 }' "/proc/$gateway/status")" = 2 ] ||
        fail "the gateway says that system calls are filtered, the kernel does not"
else
    echo "not compared: this kernel filters no system calls"
fi
if [ "$(told files)" = closed ]; then
    grep -qw landlock /sys/kernel/security/lsm 2> /dev/null || [ ! -e /sys/kernel/security/lsm ] ||
        fail "the gateway says that files are closed, but this kernel has no Landlock"
else
    echo "not compared: this kernel closes no files"
fi
grep -Eq '^Max core file size +0 +0 ' "/proc/$gateway/limits" || fail "the gateway may dump its memory"
grep -Eq '^Max data size +(536870912 +536870912|unlimited) ' "/proc/$gateway/limits" ||
    fail "the gateway's memory has no ceiling"
if ls -l "/proc/$gateway/fd" > fds.txt 2> /dev/null; then
    ! grep -q "$work/run" fds.txt || fail "the gateway holds files of the run: $(cat fds.txt)"
    ! grep -aq "$work\|dugnad-coordinator" "/proc/$gateway/environ" "/proc/$gateway/cmdline" ||
        fail "the gateway was told where the run lies"
else
    echo "not looked at: the gateway's files are hidden from this user"
fi

start_peer one --cpu-limit 40
one=$peer
start_peer two --cpu-limit 40
two=$peer
for kill in $(seq $kills); do
    wait_for_step run $((kill * 8))
    gateway=$(gateway_of coordinator.log)
    kill -"$([ "$kill" = 2 ] && echo ABRT || echo KILL)" "$gateway"
    wait_for "gateway $kill to be replaced" \
        "[ \$(grep -c 'module=gateway event=restarted' coordinator.log) = $kill ] && [ \$(gateway_of coordinator.log) != $gateway ]" 10
    kill -0 "$coordinator" || fail "the coordinator died with its gateway"
done
[ "$(status_of run step)" -lt $steps ] || fail "the run was over before the last kill"
[ "$(grep -c 'event=restarted reason="it was ended by signal 9 (KILL)"' coordinator.log)" = $((kills - 1)) ] &&
    [ "$(grep -c 'event=restarted reason="it was ended by signal 6 (ABRT)"' coordinator.log)" = 1 ] ||
    fail "the log does not tell what killed the gateways"
kill -0 "$one" && kill -0 "$two" || fail "a peer died with the gateway"
wait "$coordinator" || fail "the coordinator ended with $?"
[ "$(status_of run state)" = finished ] || fail "the run is not finished"
[ "$(grep -c 'module=gateway event=restarted' coordinator.log)" = $kills ] || fail "the log tells of other restarts"
for name in one two; do
    [ "$(grep -c event=connected_again "peer-$name.log")" -ge $((kills - 1)) ] ||
        fail "peer $name did not come back after every kill"
done
[ "$(grep -c event=serving coordinator.log)" = 1 ] || fail "the coordinator was started again"
[ "$(steps_of run | wc -l)" = $steps ] || fail "the log has not $steps steps"
check_exactly_once run $steps 32
check_verified run $steps 32
check_agreement run # not even when it took an answer with it
[ ! -e "/proc/$(gateway_of coordinator.log)" ] || fail "the last gateway is still there"

# A coordinator that is killed takes it along, and leaves the port free.
"$bin/dugnad-coordinator" init --config run.yaml --dir again > init.log
: > coordinator.log
start_coordinator again
port=$(status_of again port)
gateway=$(gateway_of coordinator.log)
kill -9 "$coordinator"
wait "$coordinator" || true
wait_for "the orphaned gateway to end" "[ ! -e /proc/$gateway ] || grep -q 'State:.*Z' /proc/$gateway/status" 5
: > coordinator.log
start_coordinator again "$port"
[ "$(status_of again port)" = "$port" ] || fail "the port was not free again"
kill -TERM "$coordinator"
wait "$coordinator" || fail "a stopped coordinator ended with $?"
echo "{\"steps\":$steps,\"kills\":$kills,\"files\":\"$(told files)\",\"calls\":\"$(told calls)\"}"
