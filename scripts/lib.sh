# lib - what our scripts share. Source it: it goes to the repository's root and defines helpers.
#
# Exit codes are those of sysexits.h, as in the programs.
# shellcheck shell=bash

EX_USAGE=64
EX_NOINPUT=66
EX_UNAVAILABLE=69
EX_SOFTWARE=70
EX_CANTCREAT=73
export EX_USAGE EX_NOINPUT EX_UNAVAILABLE EX_SOFTWARE EX_CANTCREAT

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# say TEXT...: one line for people, on stderr, so that stdout stays for results.
say() {
    printf '%s\n' "$*" >&2
}

# die CODE TEXT...: one sentence that says what to do, then exit.
die() {
    local code=$1
    shift
    printf 'error: %s\n' "$*" >&2
    exit "$code"
}

# configure_and_build PRESET [CMAKE_ARGUMENT...]: into build/PRESET, quietly unless it fails.
configure_and_build() {
    local preset=$1 folder=$repository/build/$1 log
    shift
    log=$folder/build.log
    mkdir -p "$folder"
    say "building build/$preset ..."
    if ! (cd "$repository" && cmake --preset "$preset" "$@" && cmake --build "$folder" \
        --parallel "$(nproc)") >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        say "error: the build in build/$preset failed; all of its output is in $log."
        return "$EX_SOFTWARE"
    fi
}

# our_sources NAME...: our C files that match the patterns, one a line, relative to the root.
our_sources() {
    (cd "$repository" &&
        find common proto trainer coordinator peer tests -type f \( "$@" \) | sort)
}
