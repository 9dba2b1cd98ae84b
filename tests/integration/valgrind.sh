#!/usr/bin/env bash
# Programs under valgrind's memcheck: a whole run (coordinator, gateway, two peers, and the tools, from
# data to a replayed journal), or the named tests of this folder. Any report fails, and so does memory that
# is lost for certain. valgrind knows neither Landlock nor seccomp, so nobody has a sandbox here, and
# says so in lines that are no report. 77: no valgrind, reported as skipped.
#
#   valgrind.sh BIN [TEST...]   restart, members, ...
. "$(dirname "$0")/lib.sh"
command -v valgrind > /dev/null || {
    echo "SKIP: valgrind is not installed"
    exit 77
}
steps=5
real=$bin
bin=$work/checked
logs=$work/valgrind
mkdir -p "$bin" "$logs"
for program in dugnad dugnad-coordinator dugnad-peer; do
    cat > "$bin/$program" << WRAPPER
#!/bin/sh
# What only looks on need not be checked each time.
[ "\$1" != status ] || exec "$real/$program" "\$@"
# valgrind opens a standard output that is closed.
[ -e /proc/self/fd/1 ] || exec "$real/$program" "\$@"
exec valgrind --quiet --fair-sched=yes --error-exitcode=99 --trace-children=yes --leak-check=full \
    --show-leak-kinds=definite --errors-for-leak-kinds=definite --num-callers=25 \
    --log-file=$logs/$program-%p.log \
    "$real/$program" "\$@"
WRAPPER
    chmod +x "$bin/$program"
done

whole_run() {
    make_data shards
    write_run run.yaml $steps mx8
    "$bin/dugnad-coordinator" init --config run.yaml --dir run > init.log
    start_coordinator run
    local peers=() name
    for name in a b; do
        start_peer $name
        peers+=("$peer")
    done
    wait "$coordinator" || fail "the coordinator ended with $?"
    for peer in "${peers[@]}"; do
        wait "$peer" || fail "a peer ended with $?"
    done
    check_verified run $steps 32
    "$bin/dugnad" eval --model "$(status_of run checkpoint)" --data shards --windows 4 --json > eval.json
}

shift
failed=()
if [ $# -eq 0 ]; then
    whole_run
    set -- "whole run"
else
    export DUGNAD_TEST_PATIENCE=10
    for name in "$@"; do
        "$here/$name.sh" "$bin" > "$name.log" 2>&1 ||
            failed+=("$name ended with $?, $(grep -m 1 '^FAIL: ' "$name.log" || echo 'no word why');")
    done
fi
reports=0
for report in "$logs"/*.log; do
    ! grep -q '^==' "$report" || {
        reports=$((reports + 1))
        cat "$report" >&2
    }
done
[ $reports -eq 0 ] || fail "valgrind reported in $reports processes"
processes=$(find "$logs" -name '*.log' | wc -l)
[ ${#failed[@]} -eq 0 ] || fail "${failed[*]} valgrind reported in none of $processes processes"
echo "{\"ran\":\"$*\",\"processes\":$processes,\"reports\":$reports}"
