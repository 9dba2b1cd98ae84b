/* help - the commands of `dugnad` and what their --help prints. */
#ifndef DUGNAD_TRAINER_CLI_HELP_H
#define DUGNAD_TRAINER_CLI_HELP_H

extern const char HELP_BENCH[];
extern const char HELP_DATA[];
extern const char HELP_EVAL[];
extern const char HELP_EXPORT[];
extern const char HELP_IMPORT[];
extern const char HELP_ORACLE[];
extern const char HELP_SAMPLE[];
extern const char HELP_TOKENIZER[];
extern const char HELP_TRAIN[];
extern const char HELP_TRIAL[];

#endif
