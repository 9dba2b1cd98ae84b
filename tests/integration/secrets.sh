#!/usr/bin/env bash
# Nothing secret shows: not in logs, command lines, environments, files that others may read or
# status answers of a real run; and its processes keep their memory to themselves.
. "$(dirname "$0")/lib.sh"

make_data shards
write_run run.yaml 100000 mx8
before=$(umask)
umask 0 # whatever the user's is, nobody else writes where secrets are
"$bin/dugnad-coordinator" init --config run.yaml --dir run > init.log 2>&1
"$bin/dugnad-peer" key --state state-argument > /dev/null
start_coordinator run

# One peer has the link as an argument, one from a file, one from standard input.
start_peer argument --verbose
peers=$peer
(umask 077 && printf '%s\n' "$link" > link.secret)
link=@link.secret start_peer file --verbose
peers="$peers $peer"
"$bin/dugnad-peer" join - --state state-stdin --name stdin --threads 1 --precision fp32 --verbose \
    2>> peer-stdin.log < link.secret &
peers="$peers $!"
wait_for_step run 3
umask "$before"
open=$(find run state-* -type d -perm /022)
[ -z "$open" ] || fail "others may write $open"
[ "$(stat -c %a run run/lock state-argument state-file | tr '\n' ' ')" = '700 600 700 700 ' ] ||
    fail "others may look into the run or a state folder, or lock them"
for name in argument file stdin; do
    wait_for "$name" "grep -q 'event=joined.*name=\"$name\"' coordinator.log"
done

# What must not show, in every form that we write: the link, the token in it, secret keys.
token=$(sed 's|.*/||' link.secret)
{
    echo "$token"
    printf '%s=' "$token" | tr -- '-_' '+/' | base64 -d | od -An -v -tx1 | tr -d ' \n'
    echo
    cat run/identity.key state-*/identity.key
} > secrets.list
[ "$(grep -cE '^[0-9a-f]{64}$' secrets.list)" = 5 ] || fail "a secret is missing from the list"

# search WHAT: fails when standard input holds one of the secrets, in lower or upper case.
search() {
    local lines
    lines=$(tr '\0' '\n' | grep -icFf secrets.list || true)
    [ "$lines" = 0 ] || fail "$1 shows a secret"
}
echo "x$(sed -n 2p secrets.list)y" | tr 'a-f' 'A-F' > control.txt
(search control < control.txt) 2> /dev/null && fail "the search finds nothing"

gateway=$(cat "/proc/$coordinator/task/$coordinator/children")
[ -n "$gateway" ] || fail "the coordinator has no gateway"
for process in $coordinator $gateway $peers; do
    search "the command line of $process" < "/proc/$process/cmdline"
    search "the environment of $process" < "/proc/$process/environ"
    [ "$(awk '/^Max core file size/ {print $6}' "/proc/$process/limits")" = 0 ] ||
        fail "process $process would dump a core"
    # Of a process that may not be dumped, the files in /proc are root's.
    if [ "$(id -u)" != 0 ]; then
        [ ! -r "/proc/$process/mem" ] || fail "others of this user can read the memory of $process"
    fi
done
grep -q join "/proc/${peers%% *}/cmdline" || fail "the command line is gone, and not the link alone"

# A key that cannot be locked is told of, once it is there.
unlocked() {
    ulimit -l 0
    if [ "$(id -u)" = 0 ]; then
        set -- setpriv --bounding-set=-ipc_lock "$@" # root may lock what it likes
    fi
    exec "$@"
}
if has_sanitizer "$bin/dugnad-peer"; then
    echo "a key that cannot be locked is not tried: sanitizers lock no memory"
else
    (unlocked "$bin/dugnad-peer" join @link.secret --state state-unlocked --threads 1 \
        --precision fp32 2> peer-unlocked.log) &
    wait_for "the word that a key may be swapped" \
        "grep -q 'module=join event=key_not_locked' peer-unlocked.log" 10
    kill -9 $!
fi

for log in *.log; do
    search "$log" < "$log"
done
"$bin/dugnad-coordinator" status --dir run --json > answers.txt
"$bin/dugnad-coordinator" credit --dir run --json >> answers.txt
"$bin/dugnad-coordinator" log --dir run --leases >> answers.txt
"$bin/dugnad-coordinator" plan --dir run >> answers.txt
search "an answer to the owner" < answers.txt

# Every file of the run and of the states but the keys themselves, which are closed to others.
find run state-* -type f ! -name identity.key > files.list
while read -r file; do
    search "$file" < "$file"
done < files.list
for key in run/identity.key state-*/identity.key; do
    [ "$(stat -c %a "$key")" = 600 ] || fail "$key is open to others"
done

# Mistakes do not repeat the secret either.
link=$(cat link.secret)
for words in "$link" "join --link=$link" "join $link/" "join $link $link" "join http${link#dugnad}"; do
    code=0
    # shellcheck disable=SC2086
    "$bin/dugnad-peer" $words > mistake.txt 2>&1 || code=$?
    [ "$code" = 64 ] || fail "a mistake ended with $code: $(cat mistake.txt)"
    search "the sentence about a mistake" < mistake.txt
done

chmod 644 state-file/identity.key
code=0
link=@link.secret
"$bin/dugnad-peer" join @link.secret --state state-file 2> mistake.txt || code=$?
[ "$code" -ne 0 ] && search "the refusal" < mistake.txt

"$bin/dugnad-coordinator" stop --dir run > /dev/null
wait "$coordinator" || fail "the coordinator ended with $?"
for log in *.log; do
    search "$log" < "$log"
done
echo "{\"logs\":$(ls ./*.log | wc -l),\"files\":$(wc -l < files.list),\"secrets\":$(wc -l < secrets.list)}"
