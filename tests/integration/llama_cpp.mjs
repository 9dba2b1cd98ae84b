// Compares GGUF files, as llama.cpp computes them, with what `dugnad oracle logprobs` says.
//
//     node llama_cpp.mjs NODE_MODULES CASES.json
//
// CASES.json: [{"name", "gguf", "oracle": FILE, "floor": log-probabilities below it do not count,
// "greedy": compare continuations too, "bound": of log-probabilities then, "texts": [{"text",
// "ids"}]}]. Prints a result per case as JSON; whether it is good enough is the caller's to say.
import {readFileSync} from "node:fs";
import {join} from "node:path";
import {pathToFileURL} from "node:url";

const [modules, casesPath] = process.argv.slice(2);
const entry = join(modules, "node-llama-cpp", "dist", "index.js");
const {getLlama} = await import(pathToFileURL(entry).href);
const llama = await getLlama({build: "never", gpu: false, logLevel: "error"});
const everything = {temperature: 1, topK: 0, topP: 1, minP: 0};

// Log-probabilities of all tokens behind each of `ids`, in the order of the ids.
async function logprobsOf(sequence, ids) {
    const items = ids.map((id) => [id, {generateNext: {probabilities: true, options: everything}}]);
    const results = await sequence.controlledEvaluate(items);
    return results.map((result) => result.next.probabilities);
}

function compareRow(expected, found, floor) {
    let error = 0;
    let spread = 0;
    let compared = 0;
    expected.forEach((row, position) => {
        const largest = Math.max(...row);
        row.forEach((value, id) => {
            if (value < floor) return;
            spread = Math.max(spread, largest - value);
            const other = Math.log(found[position].get(id) ?? 0);
            error = Math.max(error, Math.abs(other - value));
            compared++;
        });
    });
    return {error, spread, compared};
}

// Tokens that agree before the first one whose margin is too small to tell.
async function compareGreedy(sequence, row, bound) {
    const found = [];
    await sequence.clearHistory();
    for await (const id of sequence.evaluate(row.ids, {temperature: 0, yieldEogToken: true})) {
        found.push(id);
        if (found.length >= row.continuation.length) break;
    }
    const unsure = row.margins.findIndex((margin) => margin < 2 * bound);
    const certain = unsure < 0 ? row.continuation.length : unsure;
    const differs = row.continuation.findIndex((id, i) => i < certain && id !== found[i]);
    return {certain, differs};
}

async function run(test) {
    const {rows} = JSON.parse(readFileSync(test.oracle, "utf8"));
    const model = await llama.loadModel({modelPath: test.gguf, gpuLayers: 0});
    const longest = Math.max(...rows.map((row) => row.ids.length + row.continuation.length));
    const context = await model.createContext({
        contextSize: longest + 1, flashAttention: false, threads: 1,
        experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"
    });
    const sequence = context.getSequence();
    const result = {name: test.name, error: 0, spread: 0, compared: 0, certain: 0, texts: 0,
        wrong: []};
    for (const row of rows) {
        await sequence.clearHistory();
        const {error, spread, compared} =
            compareRow(row.logprobs, await logprobsOf(sequence, row.ids), test.floor);
        // NaN must not hide: Math.max passes it on, and no bound holds for it.
        result.error = Math.max(result.error, error);
        result.spread = Math.max(result.spread, spread);
        result.compared += compared;
        if (test.greedy) {
            const {certain, differs} = await compareGreedy(sequence, row, test.bound);
            result.certain += certain;
            if (differs >= 0) result.wrong.push(`token ${differs} of a continuation`);
        }
    }
    for (const {text, ids} of test.texts ?? []) {
        const found = model.tokenize(text, true);
        result.texts++;
        if (JSON.stringify(found) !== JSON.stringify(ids)) {
            result.wrong.push(`${JSON.stringify(text)}: ${ids} became ${found}`);
        }
    }
    await context.dispose();
    await model.dispose();
    return result;
}

for (const test of JSON.parse(readFileSync(casesPath, "utf8"))) {
    console.log(JSON.stringify(await run(test)));
}
