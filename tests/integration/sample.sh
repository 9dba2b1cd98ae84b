#!/usr/bin/env bash
# A small byte model is trained; what `dugnad sample` and `dugnad eval` say of it must hold
# together: seeds, the cached keys and values against whole passes, stop strings, JSON, numbers.
. "$(dirname "$0")/lib.sh"

make_data shards
write_run run.yaml 60 fp32
"$bin/dugnad" train --config run.yaml --out out --threads 2 > train.log 2>&1
model=$(echo out/checkpoints/*60)

# draw OPTION...: without the unlikeliest bytes, so that all text is ASCII and prints as it is.
draw() {
    "$bin/dugnad" sample --model "$model" --min-p 0.03 "$@"
}

# sample OPTION...: one JSON object.
sample() {
    draw --json "$@"
}

# refuses STATUS OPTION...: the program ends with this code and one sentence.
refuses() {
    local wanted=$1 code=0
    shift
    "$@" > refused.out 2> refused.err || code=$?
    [ "$code" = "$wanted" ] || fail "$* ended with $code instead of $wanted"
    [ "$(wc -l < refused.err)" = 1 ] || fail "$* left more or less than a sentence"
}

echo "seeds"
sample --prompt 'int ' --seed 5 --tokens 120 | jq -c 'del(.tokens_per_s)' > first.json
sample --prompt 'int ' --seed 5 --tokens 120 | jq -c 'del(.tokens_per_s)' > again.json
sample --prompt 'int ' --seed 6 --tokens 120 | jq -c 'del(.tokens_per_s)' > other.json
cmp first.json again.json || fail "the same seed gave two texts"
! cmp -s first.json other.json || fail "two seeds gave one text"
jq -e '.prompt == "int " and .prompt_tokens == 4 and .seed == 5 and .stop_reason == "length"
       and .stop == null and (.tokens | length) == 120
       and (.text | explode) == .tokens' first.json > /dev/null || fail "the JSON is not as told"
# The context is 48: this many tokens went through a new beginning, and samples behind it.
sample --prompt 'int ' --seed 5 --tokens 120 --count 2 | jq -c 'del(.tokens_per_s)' > both.json
cat first.json other.json | cmp - both.json || fail "--count gave other texts than one by one"
seed=$(sample --tokens 10 | jq .seed)
[ "$(sample --tokens 10 --seed "$seed" | jq -r .text)" = \
  "$(draw --tokens 10 --seed "$seed" 2> told.err)" ] ||
    fail "a told seed did not give the text again"
grep -q "seed=$seed " told.err || fail "the seed was not told"

echo "filters"
for option in '--top-k 1' '--top-p 0' '--min-p 1' '--temperature 0'; do
    "$bin/dugnad" sample --model "$model" --json --prompt 'static ' --seed 9 --tokens 40 $option | jq -c '[.text]' >> greedy.json
done
[ "$(sort -u greedy.json | wc -l)" = 1 ] || fail "the likeliest token differs with the filter"

echo "the likeliest next byte, by whole passes"
text='static enum '
for round in 1 2; do
    best=$(for code in 10 $(seq 32 126); do
        printf '%s' "$text" > candidate.txt
        printf "\\x$(printf %x "$code")" >> candidate.txt
        echo "$("$bin/dugnad" eval --model "$model" --text candidate.txt --threads 1 --json |
            jq .loss) $code"
    done | sort -g | head -n 1 | cut -d' ' -f2)
    drawn=$(sample --prompt "$text" --tokens 1 --temperature 0 | jq '.tokens[0]')
    [ "$best" = "$drawn" ] || fail "behind '$text': whole passes say $best, the cache $drawn"
    text+=$(printf "\\x$(printf %x "$best")x")
    text=${text%x}
done

echo "stop strings"
whole=$(sample --prompt 'if (' --seed 3 --tokens 100 | jq -r .text)
stop=${whole:40:7}
stopped=$(sample --prompt 'if (' --seed 3 --tokens 100 --stop 'not in the text' --stop "$stop")
[ "$(jq -r .stop_reason <<< "$stopped")" = stop_string ] || fail "the stop was not found"
jq -e --arg stop "$stop" --arg text "${whole%%"$stop"*}" '.stop == $stop and .text == $text' \
    <<< "$stopped" > /dev/null || fail "the text ends elsewhere"
draw --prompt 'if (' --seed 3 --tokens 100 --stop "$stop" > plain.txt 2> /dev/null
printf 'if (%s\n' "${whole%%"$stop"*}" | cmp - plain.txt || fail "the plain text ends elsewhere"

echo "prompts"
printf 'for (\0\n\377' > prompt.bin
sample --prompt-file prompt.bin --seed 1 --tokens 5 > file.json
sample --prompt-file - --seed 1 --tokens 5 < prompt.bin |
    jq -e --slurpfile file file.json '.text == $file[0].text and .prompt_tokens == 8
        and .prompt == "for (\u0000\n\ufffd"' > /dev/null || fail "prompts from files differ"
head -c 300 text.txt | sample --prompt-file - --seed 1 --tokens 5 |
    jq -e '.prompt_tokens == 300 and (.tokens | length) == 5' > /dev/null ||
    fail "a prompt longer than the context"

echo "interruption"
"$bin/dugnad" sample --model "$model" --tokens 1000000 --seed 1 > stream.txt 2> stream.err &
streaming=$!
wait_for "text to stream" "[ \$(wc -c < stream.txt) -gt 50 ]"
kill -TERM $streaming
wait $streaming || fail "an interrupted sample did not end cleanly"
grep -q 'stop_reason=interrupted' stream.err || fail "the interruption was not told"

echo "numbers of eval"
"$bin/dugnad" eval --model "$model" --data shards --windows 20 --json > eval.json
jq -e '(.perplexity / (.loss | exp) - 1 | fabs) < 1e-6
       and (.bits_per_byte / (.loss / (2 | log)) - 1 | fabs) < 1e-6
       and .tokens == 960 and .bytes == 960 and .loss > 0.5 and .loss < 4
       and .tokens_per_s > 0' eval.json > /dev/null || fail "eval's numbers do not agree"
# The same tokens as a file, in the same windows.
count=$(jq .splits.validation.tokens shards/manifest.json)
od -An -v -tu2 -w2 shards/validation-00000.bin | head -n "$count" |
    awk '{ printf "\\x%x", $1 }' > escaped.txt
printf "$(cat escaped.txt)" > validation.txt
"$bin/dugnad" eval --model "$model" --data shards --windows 0 --json > data.json
"$bin/dugnad" eval --model "$model" --text validation.txt --json > text.json
"$bin/dugnad" eval --model "$model" --text - --threads 1 --json < validation.txt > pipe.json
jq -e --slurpfile data data.json --slurpfile pipe pipe.json \
    '.loss == $data[0].loss and .tokens == $data[0].tokens and .loss == $pipe[0].loss' \
    text.json > /dev/null || fail "a text and the same data differ"

echo "a byte-level BPE"
"$bin/dugnad" tokenizer train --vocab 600 --out bpe text.txt > bpe.log
"$bin/dugnad" data build --tokenizer bpe --out bpe-shards text.txt > bpe-data.log
write_run bpe.yaml 5 fp32
sed -i 's/path: shards/path: bpe-shards/' bpe.yaml
"$bin/dugnad" train --config bpe.yaml --out bpe-out --threads 2 > bpe-train.log 2>&1
bytes_model=$model
model=$(echo bpe-out/checkpoints/*5)
printf 'static size_t count(const char *text)\n{\n' > short.txt # one window
first=$("$bin/dugnad" tokenizer encode --tokenizer bpe --json < short.txt | jq 'flatten[0]')
first_bytes=$(echo "$first" | "$bin/dugnad" tokenizer decode --tokenizer bpe | wc -c)
"$bin/dugnad" eval --model "$model" --text short.txt --json > short.json
jq -e --argjson bytes "$(($(wc -c < short.txt) - first_bytes))" '.bytes == $bytes
       and .tokens > 5 and .tokens < .bytes
       and (.bits_per_byte * .bytes * (2 | log) / .tokens / .loss - 1 | fabs) < 1e-6' short.json \
    > /dev/null || fail "bits per byte of a BPE model"
# A special token is predicted, and is no text.
printf 'static size_t<|endoftext|> count(const char *text)\n{\n' > short.txt
"$bin/dugnad" eval --model "$model" --text short.txt --json |
    jq -e --slurpfile plain short.json '.bytes == $plain[0].bytes
        and .tokens == $plain[0].tokens + 1' > /dev/null || fail "bytes of a special token"
"$bin/dugnad" eval --model "$model" --data bpe-shards --json |
    jq -e '(.bits_per_byte * .bytes * (2 | log) / .tokens / .loss - 1 | fabs) < 1e-6' \
        > /dev/null || fail "bits per byte of BPE data"
sample --prompt 'static ' --tokens 60 --seed 2 --top-k 20 > bpe.json
jq -r '.tokens[]' bpe.json | "$bin/dugnad" tokenizer decode --tokenizer bpe > decoded.txt
jq -j .text bpe.json | cmp - decoded.txt || fail "text and tokens of a BPE sample differ"
# After five steps all tokens are about equally likely, the one for the end of a text too.
"$bin/dugnad" sample --model "$model" --temperature 1.5 --tokens 600 --count 20 --seed 1 --json |
    jq -s -e 'map(select(.stop_reason == "end_of_text")) | length > 0
        and all(.[]; (.tokens | length) < 600 and (.text | contains("<|endoftext|>") | not))' \
        > /dev/null || fail "no text ended by itself"
model=$bytes_model

echo "refusals"
refuses 64 "$bin/dugnad" sample --model "$model" --prompt a --prompt-file b
refuses 64 "$bin/dugnad" sample --model "$model" --stop ''
refuses 64 "$bin/dugnad" sample --model "$model" --top-p 1.5
refuses 66 "$bin/dugnad" sample --model "$model" --prompt-file missing.txt
refuses 66 "$bin/dugnad" sample --model missing
refuses 64 "$bin/dugnad" eval --model "$model"
refuses 64 "$bin/dugnad" eval --model "$model" --data shards --text text.txt
refuses 64 "$bin/dugnad" eval --model "$model" --text /dev/null
refuses 74 sh -c "'$bin/dugnad' sample --model '$model' --tokens 5 > /dev/full"
echo "ok"
