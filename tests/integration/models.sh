#!/usr/bin/env bash
# Models come in and go out whole: what was imported computes what it did before, a run begins with
# the very parameters of another model, alone and with a coordinator, and what cannot be is refused.
. "$(dirname "$0")/lib.sh"

# refuses EXIT_CODE WORDS COMMAND...: one sentence with these words, and sysexits' code.
refuses() {
    local expected=$1 words=$2 code=0
    shift 2
    "$@" > refused.log 2>&1 || code=$?
    [ "$code" = "$expected" ] || fail "'$*' ended with $code instead of $expected"
    grep -qF -- "$words" refused.log || fail "'$*' does not say '$words'"
}
# parameters FOLDER: the hash of its weights.
parameters() {
    sha256sum < "$1/model.safetensors"
}

golden=$repository/tests/golden/llama-tiny-random
facts=$("$bin/dugnad" import "$golden" --out imported --json)
[ "$(jq -c '[.model_type, .parameters, .layers, .dtype, .tokenizer]' <<< "$facts")" = \
    '["llama",112960,2,"float32",null]' ] || fail "import says $facts"
loss=$("$bin/dugnad" oracle grad --model imported --ids "$golden/golden.json" --out grad --json |
    jq .loss)
jq -e --argjson loss "$loss" '(.loss_nats_per_token - $loss) | fabs < 1e-5' "$golden/golden.json" > /dev/null ||
    fail "the imported model's loss is $loss"

make_data shards
write_run first.yaml 20 fp32
"$bin/dugnad" train --config first.yaml --out first > train.log 2>&1
trained=first/checkpoints/step-000020

# The same model in 16 bits is as large and computes almost the same.
"$bin/dugnad" export "$trained" --format hf --dtype bf16 --out half > export.log
[ "$(jq -r .torch_dtype half/config.json)" = bfloat16 ] || fail "config.json says another type"
[ "$(stat -c %s half/model.safetensors)" -lt "$(stat -c %s $trained/model.safetensors)" ] ||
    fail "bf16 is not smaller"
for model in $trained half; do
    "$bin/dugnad" eval --model $model --data shards --windows 8 --json | jq .loss
done | jq -es '(.[0] - .[1]) | fabs < 0.01' > /dev/null || fail "bf16 changed the model"
"$bin/dugnad" import half --out whole > import.log
"$bin/dugnad" export whole --format hf --dtype bf16 --out again > export.log
[ "$(parameters half)" = "$(parameters again)" ] || fail "import and export changed bits"

# A run that begins with it, and one with a coordinator: the same first parameters, the same loss.
sed "/^  type:/,/^  kv_heads:/d; s|^model:|model:\n  init_from: $trained|" first.yaml > second.yaml
"$bin/dugnad" train --config second.yaml --out second --steps 1 > train.log 2>&1
"$bin/dugnad-coordinator" init --config second.yaml --dir run > init.log
for folder in second/checkpoints/step-000000 run/checkpoints/step-000000; do
    [ "$(parameters $trained)" = "$(parameters $folder)" ] || fail "$folder begins with others"
done
jq -e -s '.[0].loss < .[1].loss - 1' second/steps.jsonl \
    <(head -n 1 first/steps.jsonl) > /dev/null || fail "the second training began anew"

refuses 73 "already" "$bin/dugnad" import "$golden" --out imported
refuses 66 "config.json" "$bin/dugnad" import shards --out none
refuses 64 "gguf only" "$bin/dugnad" export "$trained" --format hf --dtype q8_0 --out none
refuses 64 "--format" "$bin/dugnad" export "$trained" --out none
sed 's|^model:|model:\n  init_from: first|' first.yaml > both.yaml
refuses 78 "remove one" "$bin/dugnad" train --config both.yaml --out none
sed 's/"model_type": "llama"/"model_type": "mamba"/' -i imported/config.json
refuses 78 "model_type" "$bin/dugnad" export imported --format gguf --out none
[ ! -e none ] || fail "a refused command left something"
