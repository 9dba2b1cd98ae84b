#!/usr/bin/env bash
# dugnad trial: one contributor in fp32 makes the same parameters as `dugnad train`; a result does
# not depend on the threads; codecs and stale samples do change it; wrong variants are refused.
. "$(dirname "$0")/lib.sh"

# trial OPTION...: the run in run.yaml, a few windows of validation.
trial() {
    "$bin/dugnad" trial --config run.yaml --precision fp32 --windows 16 --json "$@" 2> trial.log
}

# loss_of VARIANT FILE
loss_of() {
    jq --arg variant "$1" '.results[] | select(.variant == $variant).losses[0]' "$2"
}

make_data shards
write_run run.yaml 12 fp32
"$bin/dugnad" train --config run.yaml --out solo --precision fp32 --threads 1 > solo.log 2>&1
trial --contributors 1 --variant fp32 --seeds 1 > one.json
digest=$(tail -n 1 solo/steps.jsonl | jq -r .digest)
grep -q "digest=$digest" trial.log || fail "a trial does not make the parameters of a training"

variants="--variant mx8 --variant mx4 --variant stale-1 --variant stale-1-plain"
variants+=" --variant same:stale=1,from=1 --variant mx4-slow-links --variant mx4-leaving"
trial --seeds 2 --threads 1 $variants > first.json
trial --seeds 2 --threads 3 $variants > second.json
plain='del(.results[].seconds)'
[ "$(jq -c "$plain" first.json)" = "$(jq -c "$plain" second.json)" ] ||
    fail "two trials of the same run differ"
[ "$(jq -c '[.results[].losses] | unique | length' first.json)" = 7 ] ||
    fail "some variants do not differ: $(jq -c '[.results[] | {variant, losses}]' first.json)"
[ "$(loss_of same first.json)" = "$(loss_of fp32 first.json)" ] ||
    fail "samples are stale before it is their time"
jq -e '.results[0].relative == 0 and .results[0].stale_share == 0 and
    (.results[] | select(.variant == "stale-1").stale_share | . > 0.91 and . < 0.92)' first.json \
    > /dev/null || fail "shares are wrong: $(cat first.json)"
jq -e '.results | map(.losses | length == 2 and .[0] != .[1]) | all' first.json > /dev/null ||
    fail "seeds make no difference"
# So few steps do not yet amplify rounding: what a variant costs stands out from chance.
jq -e '[.results[] | {(.variant): .relative}] | add | (.mx8 | fabs) < 0.0005 and
    (.mx4 | fabs) < 0.006 and .["stale-1"] > 0.004 and
    .["stale-1-plain"] > .["stale-1"] + 0.002' first.json > /dev/null ||
    fail "costs are not in order: $(jq -c '[.results[] | {variant, relative}]' first.json)"

for wrong in nobody mine:codec=mx9 mine:stale=2 mine:mean=mx4 mine:colour=red; do
    code=0
    trial --variant $wrong > wrong.json || code=$?
    [ $code = 64 ] || [ $code = 78 ] || fail "the variant $wrong ended with $code"
    [ ! -s wrong.json ] || fail "the variant $wrong was printed"
done
echo "$(jq -c '[.results[] | {variant, relative}]' first.json)"
