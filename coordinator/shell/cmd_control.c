/* pause, resume, stop and set: one command line each, the same door. */
#include "common/fault.h"
#include "coordinator/shell/commands.h"
#include "coordinator/shell/control_socket.h"
#include "trainer/run/run_config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STOP_WAIT_MS_DEFAULT = 60000 };

static const char help_pause[] =
    "dugnad-coordinator pause --dir RUN\n"
    "\n"
    "The step in progress is finished and committed; no new one begins until 'resume'. Peers stay\n"
    "connected. A paused run stays paused when its coordinator is started again.\n";
static const char help_resume[] = "dugnad-coordinator resume --dir RUN\n"
                                  "\n"
                                  "Goes on after 'pause'.\n";
static const char help_stop[] =
    "dugnad-coordinator stop --dir RUN [--wait SECONDS]\n"
    "\n"
    "The step in progress is committed, a checkpoint written, and the coordinator ends. A step "
    "that\n"
    "takes longer than --wait (60) is left for the next serve: its peers keep their work.\n";
static const char help_set[] =
    "dugnad-coordinator set --dir RUN [--learning-rate X] [--target-batch N]\n"
    "                       [--codec fp32|bf16|mx8|mx4] [--journal fp32|bf16|mx8]\n"
    "\n"
    "Changes a run that is being served, from its next step on. The change is written to the "
    "journal,\n"
    "so every replay makes it at the same step.\n"
    "  --learning-rate X  the schedule's peak\n"
    "  --target-batch N   samples in a step\n"
    "  --codec CODEC      precision of gradients and updates on the wire\n"
    "  --journal CODEC    precision of the mean gradient that the optimizer is given\n";

static enum status parse_number(const char *name, const char *text, double min, double max,
                                double *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtod(text, &end);
    bool fine = end != text && *end == '\0' && errno == 0 && *out >= min && *out <= max;
    return fine ? STATUS_OK
                : fault(STATUS_USAGE, "%s takes a number from %g to %g, not %s", name, min, max,
                        text);
}

static enum status take_option(int option, struct control_request *request)
{
    double number = 0.0;
    enum status status = STATUS_OK;
    struct live_settings *settings = &request->settings;
    switch (option) {
    case 'r':
        request->has_learning_rate = true;
        return parse_number("--learning-rate", optarg, RUN_LEARNING_RATE_MIN, RUN_LEARNING_RATE_MAX,
                            &settings->learning_rate);
    case 'b':
        request->has_target_batch = true;
        status = parse_number("--target-batch", optarg, 1, RUN_TARGET_BATCH_MAX, &number);
        settings->target_batch = (uint32_t)number;
        return status == STATUS_OK && number != (double)settings->target_batch
                   ? fault(STATUS_USAGE, "--target-batch takes a whole number, not %s", optarg)
                   : status;
    case 'c':
        request->has_codec = true;
        return codec_from_name(optarg, &settings->codec);
    case 'j':
        request->has_mean_codec = true;
        return codec_mean_from_name(optarg, &settings->mean_codec);
    case 'w':
        status = parse_number("--wait", optarg, 0, CONTROL_WAIT_MS_MAX / 1000.0, &number);
        request->wait_ms = (uint64_t)(number * 1000.0);
        return status;
    default:
        return STATUS_USAGE;
    }
}

static const struct option dir_options[] = {
    {"dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
static const struct option stop_options[] = {{"dir", required_argument, NULL, 'd'},
                                             {"wait", required_argument, NULL, 'w'},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};
static const struct option set_options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"learning-rate", required_argument, NULL, 'r'},
                                            {"target-batch", required_argument, NULL, 'b'},
                                            {"codec", required_argument, NULL, 'c'},
                                            {"journal", required_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};

static enum status ask(int argc, char **argv, const struct option *options, const char *help,
                       struct control_request *request)
{
    const char *path = NULL;
    char reply[CONTROL_REPLY_BYTES_MAX];
    enum status status = STATUS_OK;
    for (int option;
         status == STATUS_OK && (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'h') {
            (void)fputs(help, stdout);
            return STATUS_OK;
        }
        if (option == '?') {
            return fault(STATUS_USAGE, "see 'dugnad-coordinator %s --help'", argv[0]);
        }
        if (option == 'd') {
            path = optarg;
        } else {
            status = take_option(option, request);
        }
    }
    if (status == STATUS_OK && path == NULL) {
        status = fault(STATUS_USAGE, "%s needs --dir RUN", argv[0]);
    }
    if (status == STATUS_OK) {
        status = command_end(argc, argv, optind);
    }
    if (status == STATUS_OK) {
        status = control_socket_ask(path, request, reply);
    }
    if (status == STATUS_OK) {
        (void)puts(reply);
    }
    return status;
}

enum status cmd_pause(int argc, char **argv)
{
    struct control_request request = {.command = CONTROL_PAUSE};
    return ask(argc, argv, dir_options, help_pause, &request);
}

enum status cmd_resume(int argc, char **argv)
{
    struct control_request request = {.command = CONTROL_RESUME};
    return ask(argc, argv, dir_options, help_resume, &request);
}

enum status cmd_stop(int argc, char **argv)
{
    struct control_request request = {.command = CONTROL_STOP, .wait_ms = STOP_WAIT_MS_DEFAULT};
    return ask(argc, argv, stop_options, help_stop, &request);
}

enum status cmd_set(int argc, char **argv)
{
    struct control_request request = {.command = CONTROL_SET};
    return ask(argc, argv, set_options, help_set, &request);
}
