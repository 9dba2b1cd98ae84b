#include "coordinator/shell/control_proof.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* It is there while anybody serves the run. */
static const char proof_name[] = "lock";

/* Room for one descriptor: the kernel closes what does not fit. */
union control {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(sizeof(int))];
};

int control_proof_open(int folder_fd)
{
    return openat(folder_fd, proof_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
}

ssize_t control_proof_send(int fd, const char *text, size_t size_bytes, int proof_fd)
{
    union control control = {0};
    struct iovec part = {.iov_base = (void *)text, .iov_len = size_bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof proof_fd);
    memcpy(CMSG_DATA(header), &proof_fd, sizeof proof_fd);
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* A path can be held open by who may not read the file, and read by who may not command. */
static bool proves(int fd, int folder_fd)
{
    struct stat shown;
    struct stat ours;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) == O_RDWR &&
           fstat(fd, &shown) == 0 &&
           fstatat(folder_fd, proof_name, &ours, AT_SYMLINK_NOFOLLOW) == 0 &&
           shown.st_dev == ours.st_dev && shown.st_ino == ours.st_ino;
}

ssize_t control_proof_receive(int fd, int folder_fd, char *text, size_t size_bytes_max,
                              bool *out_proven)
{
    union control control = {0};
    struct iovec part = {.iov_base = text, .iov_len = size_bytes_max};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    *out_proven = false;
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0) {
        return got;
    }
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(int))) {
        int shown = -1;
        memcpy(&shown, CMSG_DATA(header), sizeof shown);
        *out_proven = proves(shown, folder_fd);
        (void)close(shown);
    }
    return got;
}
