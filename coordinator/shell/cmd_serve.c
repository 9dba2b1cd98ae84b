#include "common/clock.h"
#include "common/cores.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/open_files.h"
#include "common/secret.h"
#include "common/slices.h"
#include "coordinator/server/server.h"
#include "coordinator/shell/commands.h"
#include "coordinator/shell/control_socket.h"

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

enum { FILES_NEEDED = 24 }; /* with nobody there */

static const char help[] =
    "dugnad-coordinator serve --dir RUN [--listen tcp://0.0.0.0:7700]\n"
    "                         [--listen-bulk tcp://0.0.0.0:7701] [--threads N] [--log text|json]\n"
    "\n"
    "Serves a run until its last step. Peers join with a link from 'dugnad-coordinator invite'.\n"
    "Ctrl-C or SIGTERM writes a checkpoint and ends; the next serve goes on from it.\n"
    "  --listen ADDRESS       where peers connect (tcp://0.0.0.0:7700; port 0 takes a free one)\n"
    "  --listen-bulk ADDRESS  where they send and fetch chunks (the port after that one)\n"
    "  --threads N            threads that sum gradients and run the optimizer (the machine's\n"
    "                         cores)\n"
    "  --log FORMAT           text (logfmt) or json, on stderr\n";

/* *out_help: only help was asked for and printed. */
static enum status parse(int argc, char **argv, const char **out_path, struct server_options *out,
                         bool *out_help)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"listen", required_argument, NULL, 'l'},
                                            {"listen-bulk", required_argument, NULL, 'b'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"log", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    enum status status = STATUS_OK;
    for (int option;
         status == STATUS_OK && (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd':
            *out_path = optarg;
            break;
        case 'l':
            out->listen = optarg;
            break;
        case 'b':
            out->listen_bulk = optarg;
            break;
        case 't':
            status = command_threads(optarg, &out->thread_count);
            break;
        case 'o':
            status = log_set_format(optarg);
            break;
        case 'h':
            (void)fputs(help, stdout);
            *out_help = true;
            return STATUS_OK;
        default:
            return fault(STATUS_USAGE, "see 'dugnad-coordinator serve --help'");
        }
    }
    if (status == STATUS_OK && *out_path == NULL) {
        status = fault(STATUS_USAGE, "serve needs --dir RUN");
    }
    return status == STATUS_OK ? command_end(argc, argv, optind) : status;
}

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = request_stop};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

static enum status loop(struct server *server, struct control_socket *control)
{
    enum status status = STATUS_OK;
    bool over = false;
    catch_signals();
    while (status == STATUS_OK && !over && stop_requested == 0) {
        uint64_t now_ms = clock_now_ms();
        status = server_turn(server, now_ms, &over);
        if (status == STATUS_OK) {
            status = control_socket_serve(control, server, now_ms);
        }
        if (status == STATUS_OK && !over) {
            server_wait(server, control_socket_fd(control));
        }
    }
    /* Not after an error: the state may be half done. */
    return status == STATUS_OK ? server_stop(server, clock_now_ms()) : status;
}

static enum status serve(struct run_dir *run, const struct server_options *options)
{
    struct server *server = NULL;
    struct control_socket *control = NULL;
    enum status status = server_new(run, options, &server);
    if (status == STATUS_OK) {
        status = control_socket_new(run->path, &control);
    }
    if (status == STATUS_OK) {
        status = loop(server, control);
    }
    control_socket_free(control);
    server_free(server);
    return status;
}

enum status cmd_serve(int argc, char **argv)
{
    const char *path = NULL;
    bool helped = false;
    struct server_options options = {.listen = "tcp://0.0.0.0:7700",
                                     .thread_count = cores_usable(SLICES_THREADS_MAX)};
    enum status status = parse(argc, argv, &path, &options, &helped);
    if (status != STATUS_OK || helped) {
        return status;
    }
    struct run_dir run;
    status = open_files_prepare(FILES_NEEDED); /* before one is lacking somewhere else */
    if (status != STATUS_OK) {
        return status;
    }
    status = run_dir_open(path, &run);
    if (status == STATUS_OK && !secret_all_locked()) {
        log_warn("serve", "key_not_locked", "%s", SECRET_NOT_LOCKED_ADVICE);
    }
    if (status == STATUS_OK) {
        status = serve(&run, &options);
        run_dir_close(&run);
    }
    return status;
}
