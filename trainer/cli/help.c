#include "trainer/cli/help.h"

const char HELP_DATA[] =
    "use: dugnad data build --out DIR [options] FILE...\n"
    "\n"
    "Turns text files ('-' is standard input) into token shards and a manifest.\n"
    "\n"
    "  --out DIR            folder to make; must not hold data yet\n"
    "  --tokenizer NAME     bytes (default), or a folder or tokenizer.json made by dugnad\n"
    "  --val-fraction F     share of the text kept for validation (default 0.05)\n"
    "  --shard-tokens N     tokens in a shard file at most (default 67108864)\n"
    "  --seed N             chooses the validation text (default 1)\n"
    "  --json               print the result as JSON\n";

const char HELP_EVAL[] =
    "use: dugnad eval --model DIR --data DIR [options]\n"
    "     dugnad eval --model DIR --text FILE [options]\n"
    "\n"
    "Measures the loss of a model (a Hugging Face folder) on data made by 'dugnad data build',\n"
    "or on a text by the model's own tokenizer.\n"
    "\n"
    "  --model DIR          folder with config.json and model.safetensors\n"
    "  --data DIR           folder with manifest.json\n"
    "  --split NAME         validation (default) or train\n"
    "  --text FILE          a text file; - is standard input\n"
    "  --context T          tokens in a window (default: the model's, at most 1024)\n"
    "  --windows N          windows to measure, spread evenly (default 256, of a text all; 0 is "
    "all)\n"
    "  --threads N          default: as many as this machine offers\n"
    "  --backend NAME       cpu (default) or ref\n"
    "  --json               print the result as JSON\n";

const char HELP_ORACLE[] =
    "use: dugnad oracle grad --model DIR --ids FILE.json --out FILE.safetensors [options]\n"
    "     dugnad oracle train --model DIR --golden FILE.json [options]\n"
    "\n"
    "Computes losses and gradients, or training steps, to compare with another program's.\n"
    "\n"
    "  --model DIR          folder with config.json and model.safetensors\n"
    "  --ids FILE           {\"input_ids\": [[...], ...]}\n"
    "  --out FILE           gets the gradient of the mean loss\n"
    "  --golden FILE        optimizer, learning rates and batches to train with\n"
    "  --backend NAME       cpu (default) or ref\n"
    "  --json               print the result as JSON\n";

const char HELP_SAMPLE[] =
    "use: dugnad sample --model DIR [options]\n"
    "\n"
    "Continues a text with a model (a Hugging Face folder).\n"
    "\n"
    "  --model DIR          folder with config.json, model.safetensors and tokenizer.json\n"
    "  --prompt TEXT        the beginning (default: the model chooses)\n"
    "  --prompt-file FILE   the same from a file; - is standard input\n"
    "  --tokens N           tokens to add at most (default 256)\n"
    "  --temperature F      0 takes the likeliest token always (default 0.8)\n"
    "  --top-k K            draw among the K likeliest tokens (default 0: all)\n"
    "  --top-p P            draw among the likeliest that make up P of the probability (default "
    "1)\n"
    "  --min-p P            draw among those at least P times as likely as the likeliest "
    "(default 0)\n"
    "  --seed S             the same seed gives the same text (default: random, and told)\n"
    "  --stop TEXT          end before this text; may be given 16 times\n"
    "  --count N            samples to make, with seeds S, S + 1, ... (default 1)\n"
    "  --backend NAME       cpu (default) or ref\n"
    "  --json               print a JSON object for each sample\n";

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
    "  --backend NAME       cpu (default) or ref\n"
    "  --json               print the result as JSON\n";
