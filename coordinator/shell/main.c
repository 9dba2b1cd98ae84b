/* dugnad-coordinator - owns a run: hands out work, sums gradients, applies the optimizer. */
#include "common/fault.h"
#include "common/process.h"
#include "coordinator/shell/commands.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "dugnad-coordinator COMMAND [OPTIONS]\n"
    "\n"
    "  init    --config RUN.yaml --dir RUN    make the folder of a new run\n"
    "  serve   --dir RUN [--listen ADDRESS]   serve it until its last step\n"
    "  invite  --dir RUN [--address H:P] [--uses N] [--expires 7d] [--label TEXT] [--out FILE]\n"
    "                                         print a link with which peers join\n"
    "  invites --dir RUN [--json]             list the invites\n"
    "  peers   --dir RUN [--json]             list who ever joined, and who is here\n"
    "  allow   --dir RUN KEY                  let the peer with this key in\n"
    "  ban     --dir RUN KEY [--reason TEXT]  throw it out, for good; unban takes it back\n"
    "  unban   --dir RUN KEY\n"
    "  revoke  --dir RUN KEY|INVITE           end a membership, or an invite\n"
    "  incidents --dir RUN [--json]           list what peers did that they should not\n"
    "  status  --dir RUN [--json]             print where it stands\n"
    "  log     --dir RUN                      print its steps and events as JSON lines\n"
    "  verify  --dir RUN [--json]             prove that nothing was lost or done twice\n"
    "  rebuild-ledger --dir RUN               make ledger.db again from the journal\n"
    "  pause   --dir RUN                      begin no new step; resume goes on\n"
    "  resume  --dir RUN\n"
    "  stop    --dir RUN [--wait SECONDS]     end in order after the step in progress\n"
    "  set     --dir RUN [--learning-rate X] [--target-batch N] [--codec C] [--journal C]\n"
    "                                         change a run that is being served\n"
    "  plan    --dir RUN [--json]             who sums what, over which links, and how fast\n"
    "  trust   --dir RUN KEY                  believe the sums of the peer with this key\n"
    "  untrust --dir RUN KEY                  no longer\n"
    "  fork    --dir RUN --step N --to NEW    a new run that goes on from a step of this one\n"
    "  credit  --dir RUN [--json]             print who computed how much\n"
    "\n"
    "'dugnad-coordinator COMMAND --help' tells more; --version prints the version.\n";

static const struct {
    const char *name;
    enum status (*run)(int argc, char **argv);
} commands[] = {{"init", cmd_init},
                {"serve", cmd_serve},
                {"invite", cmd_invite},
                {"status", cmd_status},
                {"log", cmd_log},
                {"credit", cmd_credit},
                {"pause", cmd_pause},
                {"resume", cmd_resume},
                {"stop", cmd_stop},
                {"set", cmd_set},
                {"plan", cmd_plan},
                {"trust", cmd_trust},
                {"untrust", cmd_untrust},
                {"verify", cmd_verify},
                {"fork", cmd_fork},
                {"rebuild-ledger", cmd_rebuild_ledger},
                {"invites", cmd_invites},
                {"peers", cmd_peers},
                {"allow", cmd_allow},
                {"ban", cmd_ban},
                {"unban", cmd_unban},
                {"revoke", cmd_revoke},
                {"incidents", cmd_incidents}};

static enum status dispatch(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        (void)fputs(help, argc < 2 ? stderr : stdout);
        return argc < 2 ? fault(STATUS_USAGE, "a command is missing") : STATUS_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)puts("dugnad-coordinator " DUGNAD_VERSION);
        return STATUS_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    return fault(STATUS_USAGE, "there is no command '%s'; see 'dugnad-coordinator --help'",
                 argv[1]);
}

int main(int argc, char **argv)
{
    enum status status = process_protect();
    if (status != STATUS_OK) {
        return fault_report("dugnad-coordinator", status);
    }
    if (sodium_init() < 0) {
        return fault_report("dugnad-coordinator",
                            fault(STATUS_OS, "libsodium found no source of random numbers"));
    }
    status = dispatch(argc, argv);
    return status == STATUS_OK ? 0 : fault_report("dugnad-coordinator", status);
}
