#include "trainer/cli/help.h"

const char HELP_BENCH[] =
    "use: dugnad bench --model MODEL [options]\n"
    "\n"
    "Trains a model with random parameters on random tokens, forward and backward without the\n"
    "optimizer, and compares its speed with that of the best of its matrix products.\n"
    "\n"
    "  --model MODEL        gpt2-124m, llama-10m, or a folder with a config.json\n"
    "  --batch B            sequences in a pass (default 4)\n"
    "  --context T          tokens in a sequence (default 256)\n"
    "  --threads N          default: as many as this machine offers\n"
    "  --precision NAME     fp32, bf16, or auto (default): the faster one\n"
    "  --recompute NAME     none (default), or blocks: less memory, about a fifth slower\n"
    "  --pin                keep each thread on one processor\n"
    "  --json               print the result as JSON\n";

const char HELP_DATA[] =
    "use: dugnad data build --out DIR [options] FILE...\n"
    "\n"
    "Turns text ('-' is standard input) into token shards and a manifest. A FILE named\n"
    ".jsonl holds one JSON object a line, with a document in its field 'text'; others are\n"
    "plain text. Either may be packed as .gz or .zst.\n"
    "\n"
    "  --out DIR            folder to make; must not hold data yet\n"
    "  --tokenizer NAME     bytes (default), or a byte-level BPE's tokenizer.json or folder\n"
    "  --val-fraction F     share of the text kept for validation (default 0.05)\n"
    "  --shard-tokens N     tokens in a shard file at most (default 67108864)\n"
    "  --seed N             chooses the validation text (default 1)\n"
    "  --input-format NAME  auto (default: by the file's name), text or jsonl\n"
    "  --field NAME         field of a JSON line that holds the text (default text)\n"
    "  --no-separator       put nothing between documents\n"
    "  --threads N          default: as many as this machine offers\n"
    "  --quiet              no progress bar\n"
    "  --json               print the result as JSON\n";

const char HELP_EVAL[] =
    "use: dugnad eval --model DIR --data DIR [options]\n"
    "\n"
    "Measures the loss of a model (a Hugging Face folder) on data made by 'dugnad data build'.\n"
    "\n"
    "  --model DIR          folder with config.json and model.safetensors\n"
    "  --data DIR           folder with manifest.json\n"
    "  --split NAME         validation (default) or train\n"
    "  --context T          tokens in a window (default: the model's, at most 1024)\n"
    "  --windows N          windows to measure, spread evenly (default 256; 0 is all)\n"
    "  --threads N          default: as many as this machine offers\n"
    "  --backend NAME       cpu (default) or ref\n"
    "  --json               print the result as JSON\n";

const char HELP_EXPORT[] =
    "use: dugnad export FOLDER --format hf|gguf --out PATH [options]\n"
    "\n"
    "Writes a model (a Hugging Face folder, such as a checkpoint) for other programs.\n"
    "\n"
    "  --format NAME        hf: a folder for transformers; gguf: a file for llama.cpp\n"
    "  --dtype NAME         f32 (default), f16, bf16, and for gguf q8_0\n"
    "  --out PATH           folder or file to make; must not be there yet\n"
    "  --no-tokenizer       leave the tokenizer out\n"
    "  --json               print the result as JSON\n";

const char HELP_IMPORT[] =
    "use: dugnad import FOLDER --out DIR [options]\n"
    "\n"
    "Checks a llama or gpt2 model (a Hugging Face folder) and writes it as a folder with float32\n"
    "weights in one file. A run begins with it by model.init_from (docs/run-config.md).\n"
    "\n"
    "  --out DIR            folder to make; must not be there yet\n"
    "  --no-tokenizer       leave the tokenizer out\n"
    "  --json               print the result as JSON\n";

const char HELP_ORACLE[] =
    "use: dugnad oracle grad --model DIR --ids FILE.json --out FILE.safetensors [options]\n"
    "     dugnad oracle train --model DIR --golden FILE.json [options]\n"
    "     dugnad oracle logprobs --model DIR --ids FILE.json|--text TEXT [options]\n"
    "\n"
    "Computes losses and gradients, training steps, or for each position of a text what the model\n"
    "predicts and how it goes on greedily, to compare with another program's.\n"
    "\n"
    "  --model DIR          folder with config.json and model.safetensors\n"
    "  --ids FILE           {\"input_ids\": [[...], ...]}\n"
    "  --out FILE           gets the gradient of the mean loss\n"
    "  --golden FILE        optimizer, learning rates and batches to train with\n"
    "  --text TEXT          encoded by the model's tokenizer\n"
    "  --tokens N           tokens to add greedily (default 0)\n"
    "  --backend NAME       cpu (default) or ref\n"
    "  --json               print the result as JSON\n";

const char HELP_SAMPLE[] =
    "use: dugnad sample --model DIR [options]\n"
    "\n"
    "Continues a text with a model (a Hugging Face folder).\n"
    "\n"
    "  --model DIR          folder with config.json, model.safetensors and tokenizer.json\n"
    "  --prompt TEXT        the beginning (default: the model chooses)\n"
    "  --tokens N           tokens to add (default 256)\n"
    "  --temperature F      0 takes the likeliest token always (default 0.8)\n"
    "  --top-k K            draw among the K likeliest tokens (default 0: all)\n"
    "  --seed N             the same seed gives the same text (default: the clock)\n"
    "  --backend NAME       cpu (default) or ref\n";

const char HELP_TOKENIZER[] =
    "use: dugnad tokenizer train --vocab N --out FILE.json|DIR [options] FILE...\n"
    "     dugnad tokenizer encode --tokenizer SPEC [--json] < TEXT\n"
    "     dugnad tokenizer decode --tokenizer SPEC < IDS\n"
    "\n"
    "Trains a byte-level BPE on text files, read as 'dugnad data build' does, and saves it as\n"
    "Hugging Face's tokenizer.json; or turns text into token ids, and ids into text.\n"
    "\n"
    "  --vocab N            tokens, with the 256 bytes and the special ones: 512 to 65536\n"
    "  --out PATH           a .json file, or a folder for tokenizer.json and "
    "tokenizer_config.json\n"
    "  --pattern NAME       how text is cut into words: gpt2 (default) or cl100k\n"
    "  --field NAME         field of a JSON line that holds the text (default text)\n"
    "  --special TOKEN      a token that stands for itself; may be repeated\n"
    "                       (default: <|endoftext|>)\n"
    "  --tokenizer SPEC     bytes, tokenizer.json, vocab.json beside merges.txt, a .tiktoken "
    "file,\n"
    "                       or a folder with one of these\n"
    "  --json               print the result as JSON\n";

const char HELP_TRAIN[] =
    "use: dugnad train --config RUN.yaml --out DIR [options]\n"
    "\n"
    "Trains a run on this machine alone, with the same arithmetic as a run with peers.\n"
    "\n"
    "  --config FILE        the run (docs/run-config.md)\n"
    "  --out DIR            gets steps.jsonl and checkpoints; must not hold a training yet\n"
    "  --steps N            stop after N steps (default: the run's)\n"
    "  --init DIR           begin with the parameters of this Hugging Face folder\n"
    "  --threads N          default: as many as this machine offers\n"
    "  --precision NAME     fp32, bf16, or auto (default): the faster one\n"
    "  --recompute NAME     none (default), or blocks: less memory, about a fifth slower\n"
    "  --pin                keep each thread on one processor\n"
    "  --backend NAME       cpu, bf16 or ref, instead of --precision, to compare them\n"
    "  --json               print the result as JSON\n";
