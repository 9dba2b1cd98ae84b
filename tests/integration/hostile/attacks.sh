# The attacks of `run`, from the strangers' to the members', and what they may achieve: nothing.
# Sourced by it.
# shellcheck shell=bash disable=SC2016

if_full() {
    [ "$scale" = full ] && echo "$1" || echo "$2"
}

# hostile ATTACK [OPTION...]
hostile() {
    local name=$1
    shift
    nice -n 19 "$bin/dugnad-hostile" "$name" "$link" "$@"
}

# together N COMMAND...: that many at once.
together() {
    local count=$1 i pids=() code=0
    shift
    for ((i = 0; i < count; i++)); do
        "$@" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i" || code=$?
    done
    return $code
}

# flood_all MODE [OPTION...]
flood_all() {
    local mode=$1
    shift
    together 4 hostile flood --mode "$mode" --count "$(if_full 5000 500)" \
        --ms "$(if_full 8000 3000)" --sources 200 "$@"
}

slowloris_all() {
    local stage pids=() code=0
    for stage in greeting hello initiate $(if_full "ready message" ""); do
        hostile slowloris --mode "$stage" --count "$(if_full 100 20)" --ms 14000 --sources 20 &
        pids+=($!)
    done
    for stage in "${pids[@]}"; do
        wait "$stage" || code=$?
    done
    return $code
}

# crowd_all: what strangers can do, at once.
crowd_all() {
    local pid pids=() code=0
    flood_all silent &
    pids+=($!)
    slowloris_all &
    pids+=($!)
    hostile giant --count "$(if_full 10 1)" --sources 50 &
    pids+=($!)
    for pid in "${pids[@]}"; do
        wait "$pid" || code=$?
    done
    return $code
}

# modes ATTACK MODE... [-- OPTION...]: one after the other.
modes() {
    local attack=$1 mode list=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        list+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    for mode in "${list[@]}"; do
        hostile "$attack" --mode "$mode" "$@" || return
    done
}

# ban_one: a member's key is banned in mid-session; then it tries to come back.
ban_one() {
    local key banned_ms holder
    hostile hold --ms 20000 > hold.json &
    holder=$!
    wait_for "the member to enrol" "grep -q key hold.json"
    sleep 1
    key=$(head -n 1 hold.json | jq -r .key)
    banned_ms=$(date +%s%3N)
    "$bin/dugnad-coordinator" ban --dir run "$key" --reason "a test" >&2 || true
    wait $holder || return
    tail -n 1 hold.json | jq -c --argjson banned "$banned_ms" '. + {cut_ms: (.cut_unix_ms - $banned)}'
}

# relayed MODE COUNT MS [FILE]: a real peer whose line goes through a relay of ours, until it was
# bent COUNT times.
relayed() {
    local mode=$1 out=relay-$1.json relay peer_link sacrificed
    hostile relay --mode "$mode" --count "$2" --ms "$3" ${4:+--file "$4"} > "$out" &
    relay=$!
    wait_for "the relay" "grep -q link $out"
    peer_link=$(head -n 1 "$out" | jq -r .link)
    "$bin/dugnad-peer" join "$peer_link" --state "state-relayed-$mode" --name "relayed-$mode" \
        --threads 1 --precision fp32 --cpu-limit 10 2>> "relayed-$mode.log" &
    sacrificed=$!
    wait $relay || return
    kill -0 $sacrificed 2> /dev/null && alive=1 || alive=0
    kill -INT $sacrificed 2> /dev/null || true
    tail -n 1 "$out" | jq -c --argjson alive $alive --argjson wanted "$2" \
        '. + {peer_alive: $alive, wanted: $wanted}'
    wait $sacrificed 2> /dev/null || true
}

relayed_all() {
    local mode
    for mode in "$@"; do
        relayed "$mode" "$(if_full 20 2)" "$(if_full 90000 10000)" || return
    done
}

# replay MODE COUNT
replay() {
    hostile replay --mode "$1" --count "$2" --file capture --ms 240000 --sources 200 || failed=1
}

# replays: more than a million messages in the full test.
replays() {
    local failed=0
    replay session "$(if_full 250000 5000)"
    replay initiate "$(if_full 150000 3000)"
    replay spliced "$(if_full 250000 5000)"
    replay shuffled "$(if_full 200000 4000)"
    replay flipped "$(if_full 200000 4000)"
    replay again "$(if_full 20000 1000)"
    replay reordered 40
    replay gap 20
    return $failed
}

strangers() {
    who=strangers
    attack flood 'all($results[]; .uncut == 0 and .failed == 0 and .held_ms_max <= 3500 * $slack)' \
        flood_all silent
    attack greetings 'all($results[]; .uncut == 0 and .held_ms_max <= 3500 * $slack)' flood_all greeting
    attack greetings-chunks 'all($results[]; .uncut == 0 and .held_ms_max <= 3500 * $slack)' \
        flood_all greeting --to "$(status_of run bulk_port)"
    attack storm 'all($results[]; .uncut == 0 and .failed == 0)' flood_all storm
    attack slowloris 'all($results[]; .uncut == 0 and .held_ms_max <=
        if .mode == "ready" or .mode == "message" then 12000 else 3500 * $slack end)' slowloris_all
    attack handshakes "$none and all(\$results[]; .uncut == 0 and .cut_ms_max <= 3500 * \$slack)" \
        hostile handshake --count "$(if_full 50 2)" --sources 20
    attack giants "$cut and all(\$results[]; .taken_bytes_max <= 16 * 1024 * 1024)" \
        hostile giant --count "$(if_full 10 1)" --sources 50
    attack crowd 'all($results[]; .uncut == 0)' crowd_all
    attack multipart-strangers "$cut" modes multipart plain stranger-tiny stranger-large \
        -- --ms 4000 --count "$(if_full 3 1)"
    attack bombs-strangers "$cut and all(\$results[]; .answered == 0)" \
        hostile bomb --mode stranger --count "$(if_full 10 1)" --sources 50
    attack squatting "$none" hostile squat --count "$(if_full 600 24)" --sources 200
}

members() {
    who=members
    attack multipart-members "$cut" modes multipart member-tiny member-large \
        -- --ms 4000 --count "$(if_full 3 1)"
    attack bombs-members "$cut" hostile bomb --mode member --count "$(if_full 3 1)" --sources 50
    attack pushing "$cut and $none" modes member flood storm -- --ms "$(if_full 8000 4000)"
    attack lying "$cut and $none and all(\$results[]; .grants == 0)" \
        modes member liar forger -- --ms "$(if_full 8000 3000)"
    attack chunks "$cut and all(\$results[]; .turned == 1 and
        (.mode == \"words-there\" or .other_stands == 0))" \
        modes member flood-there words-there -- --ms "$(if_full 8000 4000)"
    attack ban 'all($results[]; .uncut == 0 and .accepted == 0 and .proved_again == 0 and
        .cut_ms <= 1000 * $slack and .other_stands == 0)' ban_one
    attack unused "$cut and $none" modes member unused $(if_full "unused unused unused" "") \
        -- --ms 20000
    [ "$scale" = full ] || return 0
    attack silent "$none"' and $server.worst_ms <= 15000' modes member silent -- --ms 30000
    attack reading "$none and all(\$results[]; .uncut == 0 and .cut_ms_max <= 35000)" \
        modes member reader -- --ms 45000
    attack greed "$none" modes member greedy -- --ms 8000
}

# owner_each MODE...: one of each, two turns of dials.
owner_each() {
    local mode pids=() code=0
    for mode in "$@"; do
        hostile owner --mode "$mode" --count 1 --ms 12000 &
        pids+=($!)
    done
    for mode in "${pids[@]}"; do
        wait "$mode" || code=$?
    done
    return $code
}

# Whoever says that it would own is dialled by the coordinator, four at once for 5 s each.
owners() {
    local bar='all($results[]; .lost == 0 and .taken_bytes_max <= 32 * 1024 * 1024)' mode
    who=members
    if [ "$scale" = short ]; then
        attack owners "$bar" owner_each dripping giant endless tiny answers small pings deaf
        return
    fi
    for mode in greeting welcome ready dripping wrong-key metadata noise giant giant-early endless \
        tiny stolen answers small pings deaf; do
        attack "owner-$mode" "$bar" hostile owner --mode "$mode" --count 4 --ms 6000
    done
}

said_before() {
    who=members
    attack stale "$none and all(\$results[]; .lost == 0 and .refused == .sent)" \
        modes stale same older equal unsigned -- --count 15 --ms 60000 --sources 50
    attack capture '$results[0].connections > 0' relayed capture 0 4000 capture
    attack replays "$none"' and $server.joins == 0 and all($results[]; .uncut == 0) and
        ([$results[].sent] | add) >= '"$(if_full 1000000 20000)" replays
    attack bent "$bent" relayed_all $(if_full "flip duplicate swap splice" "flip splice")
    attack bent-down "$bent" relayed_all $(if_full "down-flip down-duplicate down-swap" down-flip)
}

all_attacks() {
    local cut='all($results[]; .uncut == 0 and .cut_ms_max <= 1000 * $slack)'
    local none='all($results[]; .accepted == 0)'
    local bent='all($results[]; .accepted == 0 and .peer_alive == 1 and .bent >= .wanted and
        .cut_ms_max <= 1000 * $slack)'
    strangers
    members
    owners
    said_before
}
