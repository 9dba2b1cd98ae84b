#!/usr/bin/env bash
# llama.cpp reads what `dugnad export --format gguf` writes: the same token ids for a text, the same
# greedy continuation, and log-probabilities within 2e-3 (float32) or within what the precision of
# the file allows. Skipped (77), aloud, without node, npm or their registry.
. "$(dirname "$0")/lib.sh"

skip() {
    echo "SKIPPED: $*"
    exit 77
}
[ "$(uname -m)" = x86_64 ] || skip "llama.cpp is fetched for x86-64 only"
command -v node > /dev/null && command -v npm > /dev/null || skip "node and npm are not installed"

# The reader is kept beside the build, so that it is fetched once.
reader=$bin/../llama_cpp
version=3.22.1
if [ ! -e "$reader/complete-$version" ]; then
    rm -rf "$reader" && mkdir -p "$reader"
    for package in node-llama-cpp @node-llama-cpp/linux-x64; do
        npm install --prefix "$reader" --ignore-scripts --omit=optional --no-audit --no-fund --fetch-retries=0 \
            "$package@$version" > npm.log 2>&1 || skip "npm cannot fetch $package (no network?)"
    done
    touch "$reader/complete-$version"
fi

echo '[]' > cases.json
echo '[]' > no-texts.json
# add_case NAME GGUF ORACLE DTYPE LAYERS [TEXTS.json]
add_case() {
    jq --arg name "$1" --arg gguf "$2" --arg oracle "$3" --arg dtype "$4" --argjson layers "$5" \
        --slurpfile texts "${6:-no-texts.json}" '. + [{$name, $gguf, $oracle, $dtype, $layers, texts: $texts[0],
            bound: 0.002, greedy: ($dtype == "f32"),
            floor: (if $dtype == "f32" then -60 else -10 end)}]' cases.json > cases.new
    mv cases.new cases.json
}

# compare_model NAME FOLDER IDS.json [TEXTS.json]: a case for every type that GGUF files have.
compare_model() {
    local layers dtype
    layers=$(jq '.num_hidden_layers // .n_layer' "$2/config.json")
    "$bin/dugnad" oracle logprobs --model "$2" --ids "$3" --tokens 20 > "$1.oracle"
    for dtype in f32 f16 bf16 q8_0; do
        "$bin/dugnad" export "$2" --format gguf --dtype $dtype --out "$1-$dtype.gguf" >> export.log
        add_case "$1-$dtype" "$1-$dtype.gguf" "$1.oracle" $dtype "$layers" "${4:-}"
    done
}

# make_texts FOLDER OUT: texts with the ids that our tokenizer gives them.
texts=('Hello world' $'static int x = 1;\n\tif (x) {\n' '  two  spaces and a tail   '
    "I'll, you'd, it's 2024: 3.14" 'blåbærsyltetøy, 漢字とかな, 😀!' $'tabs\t\tand\r\nlines\n\n\n'
    'one<|endoftext|>two')
make_texts() {
    local text
    for text in "${texts[@]}"; do
        "$bin/dugnad" oracle logprobs --model "$1" --text "$text" |
            jq -c --arg text "$text" '{$text, ids: .rows[0].ids}'
    done | jq -s . > "$2"
}

# compare_trained NAME TOKENIZER MODEL_LINES...: trains a small model and compares it, with texts.
compare_trained() {
    local name=$1 tokenizer=$2
    shift 2
    "$bin/dugnad" data build --tokenizer "$tokenizer" --out "data-$name" text.txt > data.log
    { printf '%s\n' "name: $name" "model:"; printf '  %s\n' "$@"
      printf '%s\n' "data: {path: data-$name, context: 64}" \
          "training: {steps: 40, target_batch: 8}" "optimizer: {learning_rate: 1.0e-3, warmup_steps: 10}"
    } > "$name.yaml"
    # Gently, and on one thread, so that every machine of a kind compares the same model: one with
    # outliers among its activations says more about them than about the file.
    "$bin/dugnad" train --config "$name.yaml" --out "train-$name" --threads 1 --precision fp32 \
        > train.log 2>&1
    local model=train-$name/checkpoints/step-000040
    make_texts "$model" "$name.texts"
    jq '{input_ids: [.[].ids | .[:40] | select(length > 1)]}' "$name.texts" > "$name.ids"
    compare_model "$name" "$model" "$name.ids" "$name.texts"
}

for kind in llama gpt2; do
    golden=$repository/tests/golden/$kind-tiny-random
    jq '{input_ids: [.input_ids[] | .[:40]]}' "$golden/golden.json" > "$kind.ids"
    compare_model "$kind-tiny-random" "$golden" "$kind.ids"
done
stories=$repository/../shared/oracles/stories260K
if [ -e "$stories/model.safetensors" ]; then
    echo '{"input_ids": [[1, 403, 407, 261], [1, 280]]}' > stories.ids
    compare_model stories260K "$stories" stories.ids
else
    echo "not compared: shared/oracles/stories260K is not there"
fi
find "$repository"/common "$repository"/trainer -name '*.[ch]' | LC_ALL=C sort | xargs cat > text.txt
compare_trained llama-bytes bytes 'type: llama' 'hidden_size: 48' 'layers: 2' 'heads: 4' 'kv_heads: 2'
compare_trained gpt2-bytes bytes 'type: gpt2' 'hidden_size: 64' 'layers: 2' 'heads: 4'

"$bin/dugnad" tokenizer train --vocab 700 --pattern gpt2 --out bpe-gpt2 text.txt > bpe.log
"$bin/dugnad" tokenizer train --vocab 700 --pattern cl100k --out bpe-cl100k text.txt > bpe.log
compare_trained gpt2-bpe bpe-gpt2 'type: gpt2' 'hidden_size: 48' 'layers: 1' 'heads: 4'
compare_trained llama-bpe bpe-cl100k 'type: llama' 'hidden_size: 48' 'layers: 2' 'heads: 2'

node "$here/llama_cpp.mjs" "$reader/node_modules" cases.json > results.jsonl
[ "$(jq -s length results.jsonl)" = "$(jq length cases.json)" ] || fail "not every case was compared"

# With exact weights every token down to e^-60 counts, otherwise those down to e^-10.
# Each of the 4 layers + 1 matrix products in a row rounds its weights and what they multiply;
# independent errors of the type's unit u grow with the square root of their number.
jq -s --slurpfile cases cases.json '
    {f32: 0, f16: 0.00048828125, bf16: 0.00390625, q8_0: (1 / 254)} as $units |
    [range(length) as $i | .[$i] as $result | $cases[0][$i] as $case |
        (2 * $units[$case.dtype] * ((2 * (4 * $case.layers + 1)) | sqrt) * $result.spread)
            as $rounding |
        {name: $result.name, error: $result.error, bound: (0.002 + $rounding),
            tokens: $result.certain, texts: $result.texts, wrong: $result.wrong,
            fine: ($result.error < 0.002 + $rounding and ($result.wrong | length) == 0 and
                $result.compared > 0 and $result.texts == ($case.texts | length) and
                ($case.dtype != "f32" or $result.certain > 0))}]' results.jsonl > summary.json
jq -c '.[]' summary.json
jq -e 'all(.fine)' summary.json > /dev/null || fail "llama.cpp reads something else"
