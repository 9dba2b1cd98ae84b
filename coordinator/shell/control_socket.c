#include "coordinator/shell/control_socket.h"

#include "common/fault.h"
#include "common/log.h"
#include "coordinator/shell/control_proof.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 8, ASKER_WAIT_MS = 500, ANSWER_WAIT_MS = 60000, REFUSED_LOG_MS = 1000 };

/* The first byte of an answer; behind that of a refusal stand the two digits of its exit code. */
static const char answer_done = '+';
static const char answer_refused = '-';
enum { CODE_DIGITS = 2, ANSWER_BYTES_MAX = 1 + CODE_DIGITS + CONTROL_REPLY_BYTES_MAX };

struct control_socket {
    int fd;
    int folder_fd;                  /* the run's */
    int waiting_fd;                 /* of one whose answer is not there yet; -1: none */
    struct control_request waiting; /* what it asked */
    uint64_t refused_ms;            /* when a refusal was last told; 0: never */
};

/* A socket's name has room for some hundred bytes, a run's path may be longer: it is reached
 * through the open folder. */
static void set_address(struct sockaddr_un *out, int folder_fd)
{
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    (void)snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/control.sock", folder_fd);
}

static int open_folder(const char *run_path)
{
    return open(run_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int open_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static void limit_wait(int fd, int wait_ms)
{
    const struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000L};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
}

static bool listen_here(struct control_socket *self)
{
    struct sockaddr_un address;
    set_address(&address, self->folder_fd);
    (void)unlinkat(self->folder_fd, "control.sock", 0);
    return bind(self->fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
           fchmodat(self->folder_fd, "control.sock", S_IRUSR | S_IWUSR, 0) == 0 &&
           listen(self->fd, BACKLOG) == 0 && fcntl(self->fd, F_SETFL, O_NONBLOCK) == 0;
}

enum status control_socket_new(const char *run_path, struct control_socket **out)
{
    *out = NULL;
    struct control_socket *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to serve the run");
    }
    self->waiting_fd = -1;
    self->folder_fd = open_folder(run_path);
    self->fd = open_socket();
    if (self->folder_fd < 0 || self->fd < 0 || !listen_here(self)) {
        enum status status = fault(STATUS_CANNOT_CREATE, "cannot listen on %s/control.sock: %s",
                                   run_path, strerror(errno));
        control_socket_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void control_socket_free(struct control_socket *self)
{
    if (self == NULL) {
        return;
    }
    if (self->fd >= 0) {
        (void)close(self->fd);
    }
    if (self->waiting_fd >= 0) {
        (void)close(self->waiting_fd);
    }
    if (self->folder_fd >= 0) {
        (void)unlinkat(self->folder_fd, "control.sock", 0);
        (void)close(self->folder_fd);
    }
    free(self);
}

int control_socket_fd(const struct control_socket *self)
{
    return self->fd;
}

static void answer(int fd, enum status status, const char *text)
{
    char line[ANSWER_BYTES_MAX];
    int length = status == STATUS_OK ? snprintf(line, sizeof line, "%c%s", answer_done, text)
                                     : snprintf(line, sizeof line, "%c%02d%s", answer_refused,
                                                status_exit_code(status), text);
    size_t size_bytes = length < (int)sizeof line ? (size_t)length : sizeof line - 1;
    if (send(fd, line, size_bytes, MSG_NOSIGNAL) < 0) {
        log_warn("control", "not_answered", "reason=\"%s\"", strerror(errno));
    }
}

/* Told at most once a second: somebody may go on trying. */
static void refuse(struct control_socket *self, int fd, uint64_t now_ms)
{
    answer(fd, STATUS_REFUSED,
           "only who may write the run's folder may command it; use a dugnad-coordinator of the "
           "same release");
    if (self->refused_ms == 0 || now_ms - self->refused_ms >= REFUSED_LOG_MS) {
        self->refused_ms = now_ms;
        log_warn("control", "refused", "reason=\"it did not show that the run is its own\"");
    }
}

/* Reads what a new one asks; closes a silent one. -1: there is none. */
static int take_asker(struct control_socket *self, uint64_t now_ms, struct control_request *out)
{
    char text[CONTROL_REQUEST_BYTES_MAX];
    bool proven = false;
    int fd = accept4(self->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    limit_wait(fd, ASKER_WAIT_MS);
    ssize_t got = control_proof_receive(fd, self->folder_fd, text, sizeof text, &proven);
    if (got > 0 && proven && control_decode(text, (size_t)got, out) == STATUS_OK) {
        return fd;
    }
    if (got > 0 && !proven) {
        refuse(self, fd, now_ms);
    } else if (got > 0) {
        answer(fd, STATUS_BAD_DATA, fault_text());
    }
    (void)close(fd);
    return -1;
}

/* Errors: AGAIN; those that end the run. */
static enum status serve(int fd, const struct control_request *request, struct server *server,
                         uint64_t now_ms)
{
    char reply[CONTROL_REPLY_BYTES_MAX];
    enum status asked = server_control(server, request, now_ms, reply);
    if (asked == STATUS_AGAIN) {
        return STATUS_AGAIN;
    }
    answer(fd, asked, asked == STATUS_OK ? reply : fault_text());
    (void)close(fd);
    return asked == STATUS_IO || asked == STATUS_NO_MEMORY ? asked : STATUS_OK;
}

static enum status serve_waiting(struct control_socket *self, struct server *server,
                                 uint64_t now_ms)
{
    if (self->waiting_fd < 0) {
        return STATUS_OK;
    }
    enum status status = serve(self->waiting_fd, &self->waiting, server, now_ms);
    if (status == STATUS_AGAIN) {
        return STATUS_OK;
    }
    self->waiting_fd = -1;
    return status;
}

/* Who waits for the step in progress, which may take for ever while nobody computes, must not keep
 * others from resuming or stopping the run. */
static enum status serve_new(struct control_socket *self, struct server *server, uint64_t now_ms)
{
    struct control_request request;
    int fd = take_asker(self, now_ms, &request);
    if (fd < 0) {
        return STATUS_OK;
    }
    if (self->waiting_fd >= 0 && request.command == CONTROL_SET) {
        answer(fd, STATUS_UNAVAILABLE,
               "other settings wait for the step in progress; ask again when it is over");
        (void)close(fd);
        return STATUS_OK;
    }
    enum status status = serve(fd, &request, server, now_ms);
    if (status == STATUS_AGAIN) {
        self->waiting_fd = fd;
        self->waiting = request;
        return STATUS_OK;
    }
    return status;
}

enum status control_socket_serve(struct control_socket *self, struct server *server,
                                 uint64_t now_ms)
{
    enum status status = serve_waiting(self, server, now_ms);
    return status == STATUS_OK ? serve_new(self, server, now_ms) : status;
}

/* Who asks ends with the same exit code whether a coordinator serves the run or not. */
static enum status refused(const char *text)
{
    int code = 0;
    for (int i = 0; i < CODE_DIGITS; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return fault(STATUS_REFUSED, "%s", text);
        }
        code = code * 10 + (text[i] - '0');
    }
    for (int i = STATUS_OK + 1; i < STATUS_COUNT; i++) {
        if (status_exit_code((enum status)i) == code) {
            return fault((enum status)i, "%s", text + CODE_DIGITS);
        }
    }
    return fault(STATUS_REFUSED, "%s", text + CODE_DIGITS);
}

/* `set` is answered when the step in progress is over, however long that takes. */
static enum status exchange(int fd, int proof_fd, const char *text, bool patient, char *reply)
{
    char line[ANSWER_BYTES_MAX];
    limit_wait(fd, patient ? 0 : ANSWER_WAIT_MS);
    ssize_t sent = control_proof_send(fd, text, strlen(text), proof_fd);
    ssize_t got = sent >= 0 ? recv(fd, line, sizeof line - 1, 0) : -1;
    if (got <= 0) {
        return fault(STATUS_UNAVAILABLE, "the coordinator did not answer; look at its log");
    }
    line[got] = '\0';
    if (line[0] != answer_done) {
        return refused(line + 1);
    }
    (void)snprintf(reply, CONTROL_REPLY_BYTES_MAX, "%.*s", CONTROL_REPLY_BYTES_MAX - 1, line + 1);
    return STATUS_OK;
}

static enum status connect_and_ask(const char *run_path, int folder_fd, int fd, const char *text,
                                   bool patient, char *reply)
{
    struct sockaddr_un address;
    set_address(&address, folder_fd);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        return fault(STATUS_UNAVAILABLE,
                     "nobody serves %s; start it with 'dugnad-coordinator serve --dir %s'",
                     run_path, run_path);
    }
    int proof_fd = control_proof_open(folder_fd);
    if (proof_fd < 0) {
        return fault(STATUS_REFUSED,
                     "cannot open %s/lock for writing: %s; only who may write the run's folder may "
                     "command it",
                     run_path, strerror(errno));
    }
    enum status status = exchange(fd, proof_fd, text, patient, reply);
    (void)close(proof_fd);
    return status;
}

enum status control_socket_ask(const char *run_path, const struct control_request *request,
                               char reply[CONTROL_REPLY_BYTES_MAX])
{
    char *text = NULL;
    enum status status = control_encode(request, &text);
    if (status != STATUS_OK) {
        return status;
    }
    int folder_fd = open_folder(run_path);
    int fd = open_socket();
    if (folder_fd < 0) {
        status = fault(STATUS_NO_INPUT, "%s cannot be opened: %s", run_path, strerror(errno));
    } else if (fd < 0) {
        status = fault(STATUS_OS, "no socket could be made: %s", strerror(errno));
    } else {
        status =
            connect_and_ask(run_path, folder_fd, fd, text, request->command == CONTROL_SET, reply);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (folder_fd >= 0) {
        (void)close(folder_fd);
    }
    free(text);
    return status;
}
