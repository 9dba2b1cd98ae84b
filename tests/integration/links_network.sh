# What tests/integration/links runs on: a bridge in a network namespace of its own, and a namespace for
# the coordinator (host 0) and each peer, joined to it by a veth pair with a token bucket at both
# ends. Nothing is made in the namespace of the caller, and nothing there is touched.
#
# Uses: peers, rates, coordinator_mbit, shaped, delay_ms. Names begin with dugnad-, then the process
# that made them.
# shellcheck shell=bash disable=SC2154

prefix=dugnad-$$

address_of() { echo "10.77.0.$((100 + $1))"; }
# in_host HOST COMMAND...: ends the shell that calls it, so that what is started in the background
# is the program itself, ahead of other work if the system allows that.
in_host() {
    local host=$1
    shift
    exec nice -n -10 ip netns exec "$prefix-$host" "$@"
}

# skip TEXT: nothing can be measured here, and that is seen.
skip() {
    echo "skipped: $*" >&2
    exit 77
}

# The namespaces of this process, and those of a process that is no more, with what runs in them.
remove_network() {
    local name owner
    ip netns list 2>/dev/null | awk '/^dugnad-[0-9]+-/ { print $1 }' | while read -r name; do
        owner=${name#dugnad-}
        owner=${owner%%-*}
        if [ "$owner" = $$ ] || [ ! -e "/proc/$owner" ]; then
            ip netns pids "$name" | xargs -r kill -9 || true
            ip netns delete "$name" || true
        fi
    done
}

# shape NAMESPACE DEVICE MBIT: what leaves by this device. 100 ms of queue, as homes have it.
shape() {
    if [ "$delay_ms" -gt 0 ]; then
        tc -n "$1" qdisc add dev "$2" root handle 1: netem delay "${delay_ms}ms" limit 10000 ||
            skip "this kernel has no netem, so leave --delay out"
    fi
    [ "$shaped" = yes ] || return 0
    local parent=root
    [ "$delay_ms" = 0 ] || parent="parent 1:1"
    # shellcheck disable=SC2086 # two words
    tc -n "$1" qdisc add dev "$2" $parent tbf rate "${3}mbit" burst 32kb latency 100ms ||
        skip "this kernel has no tbf (CONFIG_NET_SCH_TBF)"
}

# plug HOST MBIT
plug() {
    local space=$prefix-$1
    ip netns add "$space"
    ip -n "$prefix-switch" link add "dugnad$1" type veth peer name dugnad netns "$space" ||
        skip "veth pairs cannot be made here (CONFIG_VETH)"
    ip -n "$prefix-switch" link set "dugnad$1" master bridge up
    ip -n "$space" link set lo up
    ip -n "$space" addr add "$(address_of "$1")/24" dev dugnad
    ip -n "$space" link set dugnad up
    shape "$space" dugnad "$2"
    shape "$prefix-switch" "dugnad$1" "$2"
}

make_network() {
    local i
    [ "$(id -u)" = 0 ] || skip "network namespaces need root"
    if ! command -v ip > /dev/null || ! command -v tc > /dev/null; then
        skip "ip and tc are missing: scripts/install-deps test"
    fi
    remove_network
    ip netns add "$prefix-switch" || skip "network namespaces cannot be made here"
    ip -n "$prefix-switch" link add bridge type bridge forward_delay 0 ||
        skip "bridges cannot be made here (CONFIG_BRIDGE)"
    ip -n "$prefix-switch" link set bridge up
    plug 0 "$coordinator_mbit"
    for i in $(seq "$peers"); do
        plug "$i" "${rates[i - 1]%a}"
    done
}

# count_bytes: a line for each host: its number, bytes that it sent and received.
count_bytes() {
    local i
    for i in $(seq 0 "$peers"); do
        ip -n "$prefix-$i" -s -j link show dev dugnad |
            jq -r --arg i "$i" '.[0].stats64 | "\($i) \(.tx.bytes) \(.rx.bytes)"'
    done
}
received_by() { ip -n "$prefix-$1" -s -j link show dev dugnad | jq '.[0].stats64.rx.bytes'; }
