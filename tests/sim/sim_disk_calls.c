/* The functions of common/disk.h on the disk in use. All of them stand here, beside sim_disk_use:
 * who links that gets them all, and common/disk.c stays out. */
#include "common/check.h"
#include "common/disk.h"
#include "tests/sim/real_disk.h"
#include "tests/sim/sim_disk_state.h"
#include "tests/sim/sim_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Descriptors of the real system are below. */
enum { FD_FIRST = 1 << 20 };

static struct sim_disk *current;

struct sim_disk *sim_disk_current(void)
{
    return current;
}

void sim_disk_use(struct sim_disk *self)
{
    current = self;
}

const char *sim_disk_below(const char *path)
{
    size_t length = strlen(SIM_DISK_ROOT);
    bool is_ours =
        strncmp(path, SIM_DISK_ROOT, length) == 0 && (path[length] == '/' || path[length] == '\0');
    return is_ours ? path + length : NULL;
}

static bool fail(int error)
{
    errno = error;
    return false;
}

static struct sim_disk *in_use(void)
{
    CHECK(sim_disk_current() != NULL);
    return sim_disk_current();
}

static bool happens(struct sim_disk *self, double share)
{
    return share > 0.0 && random_uniform(&self->fault_chance) < share;
}

static void crash(const struct sim_disk *self)
{
    self->crash(self->crash_context);
    abort(); /* it must not return */
}

static bool crashes_now(const struct sim_disk *self, enum sim_disk_moment moment)
{
    return self->crash_call != 0 && self->crash_call == self->call_count &&
           self->crash_moment == moment;
}

/* Stands before everything that changes the disk: counts it, and ends or fails what is planned to.
 */
static bool begin_call(struct sim_disk *self, bool is_write)
{
    self->call_count++;
    if (crashes_now(self, SIM_DISK_BEFORE) || (!is_write && crashes_now(self, SIM_DISK_MIDDLE))) {
        crash(self);
    }
    return self->fail_call != self->call_count || fail(self->fail_error);
}

/* Stands behind it. */
static bool end_call(const struct sim_disk *self)
{
    if (crashes_now(self, SIM_DISK_AFTER)) {
        crash(self);
    }
    return true;
}

static struct sim_open *opened(int fd)
{
    struct sim_disk *self = in_use();
    CHECK(fd >= FD_FIRST && fd < FD_FIRST + SIM_OPENS_MAX);
    struct sim_open *open = &self->opens[fd - FD_FIRST];
    CHECK(open->used);
    return open;
}

static struct sim_node *node_of(int fd)
{
    return &in_use()->tree.nodes[opened(fd)->node];
}

static int find_free_open(const struct sim_disk *self)
{
    for (int i = 0; i < SIM_OPENS_MAX; i++) {
        if (!self->opens[i].used) {
            return i;
        }
    }
    errno = EMFILE;
    return -1;
}

static bool is_full(const struct sim_disk *self)
{
    uint64_t capacity = self->faults.capacity_bytes;
    return capacity != 0 && sim_tree_used_bytes(&self->tree) >= capacity;
}

/* Makes a file or folder; its node, or SIM_NODE_NONE with errno. */
static uint32_t make(struct sim_disk *self, const char *path, bool is_folder, mode_t mode)
{
    char name[SIM_NAME_BYTES];
    uint32_t folder = sim_tree_parent(&self->tree, path, name);
    if (folder == SIM_NODE_NONE) {
        errno = errno == EBUSY ? EEXIST : errno;
        return SIM_NODE_NONE;
    }
    if (sim_tree_lookup(&self->tree, folder, name) != SIM_NODE_NONE) {
        errno = EEXIST;
        return SIM_NODE_NONE;
    }
    if (!begin_call(self, false)) {
        return SIM_NODE_NONE;
    }
    if (is_full(self)) {
        errno = ENOSPC;
        return SIM_NODE_NONE;
    }
    uint32_t node = sim_tree_make(&self->tree, folder, name, is_folder, mode);
    (void)end_call(self);
    return node;
}

/* The file to open; SIM_NODE_NONE with errno. */
static uint32_t find_to_open(struct sim_disk *self, const char *below, enum disk_open how,
                             mode_t mode)
{
    uint32_t node = SIM_NODE_NONE;
    if (how != DISK_CREATE) {
        node = sim_tree_find(&self->tree, below);
    }
    if (how == DISK_CREATE || (how == DISK_LOCK && node == SIM_NODE_NONE && errno == ENOENT)) {
        return make(self, below, false, mode);
    }
    if (node != SIM_NODE_NONE && self->tree.nodes[node].is_folder && how != DISK_READ &&
        how != DISK_READ_ITSELF) {
        errno = EISDIR;
        return SIM_NODE_NONE;
    }
    return node;
}

int disk_open(const char *path, enum disk_open how, mode_t mode)
{
    const char *below = sim_disk_below(path);
    if (below == NULL) {
        return how == DISK_READ || how == DISK_READ_ITSELF ? real_disk_open(path, how, mode)
                                                           : (errno = EROFS, -1);
    }
    struct sim_disk *self = in_use();
    int free_open = find_free_open(self);
    uint32_t node = free_open >= 0 ? find_to_open(self, below, how, mode) : SIM_NODE_NONE;
    if (node == SIM_NODE_NONE) {
        return -1;
    }
    if (how == DISK_LOCK && self->tree.nodes[node].is_locked) {
        errno = EWOULDBLOCK;
        return -1;
    }
    self->tree.nodes[node].is_locked |= how == DISK_LOCK;
    self->tree.nodes[node].open_count++;
    self->opens[free_open] = (struct sim_open){.used = true, .node = node, .how = how};
    return FD_FIRST + free_open;
}

bool disk_close(int fd)
{
    if (fd < FD_FIRST) {
        return real_disk_close(fd);
    }
    struct sim_open *open = opened(fd);
    struct sim_node *node = node_of(fd);
    node->open_count--;
    node->is_locked = node->is_locked && open->how != DISK_LOCK;
    open->used = false;
    return true;
}

int64_t disk_size(int fd)
{
    if (fd < FD_FIRST) {
        return real_disk_size(fd);
    }
    const struct sim_node *node = node_of(fd);
    if (node->is_folder) {
        errno = EINVAL;
        return -1;
    }
    return (int64_t)node->seen.size_bytes;
}

bool disk_is_private(int fd)
{
    return fd < FD_FIRST ? real_disk_is_private(fd) : (node_of(fd)->mode & 077U) == 0;
}

bool disk_read(int fd, uint64_t offset, void *out, size_t size_bytes)
{
    if (fd < FD_FIRST) {
        return real_disk_read(fd, offset, out, size_bytes);
    }
    const struct sim_node *node = node_of(fd);
    if (node->is_folder) {
        return fail(EISDIR);
    }
    if (happens(in_use(), in_use()->faults.read)) {
        return fail(EIO);
    }
    if (offset > node->seen.size_bytes || size_bytes > node->seen.size_bytes - offset) {
        return fail(ENODATA);
    }
    if (size_bytes > 0) {
        memcpy(out, sim_image_data(&node->seen) + offset, size_bytes);
    }
    return true;
}

bool disk_write(int fd, const void *data, size_t size_bytes)
{
    if (fd < FD_FIRST) {
        return fail(EROFS);
    }
    struct sim_disk *self = in_use();
    struct sim_node *node = node_of(fd);
    enum disk_open how = opened(fd)->how;
    if (how != DISK_CREATE && how != DISK_APPEND) {
        return fail(EBADF);
    }
    if (size_bytes == 0) {
        return true;
    }
    int error = 0;
    size_t part = size_bytes;
    if (!begin_call(self, true)) {
        error = errno;
    } else if (happens(self, self->faults.write)) {
        error = EIO;
    }
    if (error != 0 || crashes_now(self, SIM_DISK_MIDDLE)) {
        part = (size_t)random_below(&self->fault_chance, size_bytes + 1);
    }
    uint64_t room = disk_free_bytes(SIM_DISK_ROOT);
    if (part > room) {
        part = (size_t)room;
        error = error != 0 ? error : ENOSPC;
    }
    sim_file_append(node, data, part);
    if (crashes_now(self, SIM_DISK_MIDDLE)) {
        crash(self);
    }
    (void)end_call(self);
    return error == 0 || fail(error);
}

static enum sim_file_loss choose_loss(struct sim_disk *self)
{
    static const enum sim_file_loss losses[] = {SIM_FILE_KEPT, SIM_FILE_DROPPED, SIM_FILE_GHOST};
    return losses[random_below(&self->fault_chance, self->faults.ghosts ? 3 : 2)];
}

static bool sync_node(struct sim_disk *self, struct sim_node *node)
{
    bool fine = begin_call(self, false);
    if (!fine || happens(self, self->faults.sync)) {
        int error = fine ? EIO : errno;
        sim_file_fail_sync(node, choose_loss(self));
        return fail(error);
    }
    sim_file_sync(node);
    return true;
}

bool disk_sync(int fd)
{
    struct sim_disk *self = in_use();
    if (fd < FD_FIRST) {
        return fail(EROFS);
    }
    return sync_node(self, node_of(fd)) && end_call(self);
}

bool disk_refresh(int fd)
{
    struct sim_disk *self = in_use();
    if (fd < FD_FIRST) {
        return fail(EROFS);
    }
    struct sim_node *node = node_of(fd);
    if (!sync_node(self, node)) {
        return false;
    }
    sim_file_refresh(node);
    return end_call(self);
}

/* A path below the root; NULL with errno for one that cannot be changed. */
static const char *below_to_change(const char *path)
{
    const char *below = sim_disk_below(path);
    errno = below == NULL ? EROFS : errno;
    return below;
}

bool disk_truncate(const char *path, uint64_t size_bytes)
{
    const char *below = below_to_change(path);
    struct sim_disk *self = in_use();
    uint32_t node = below != NULL ? sim_tree_find(&self->tree, below) : SIM_NODE_NONE;
    if (node == SIM_NODE_NONE) {
        return false;
    }
    size_t before = self->tree.nodes[node].seen.size_bytes;
    if (self->tree.nodes[node].is_folder) {
        return fail(EISDIR);
    }
    if (size_bytes == before) {
        return true;
    }
    if (!begin_call(self, false)) {
        return false;
    }
    if (size_bytes > before && size_bytes - before > disk_free_bytes(SIM_DISK_ROOT)) {
        return fail(ENOSPC);
    }
    sim_file_resize(&self->tree.nodes[node], (size_t)size_bytes);
    return end_call(self);
}

/* Whether a node may take the place of another, as rename(2) says. */
static bool may_replace(const struct sim_tree *tree, uint32_t node, uint32_t replaced)
{
    if (replaced == SIM_NODE_NONE) {
        return true;
    }
    if (tree->nodes[node].is_folder != tree->nodes[replaced].is_folder) {
        return fail(tree->nodes[replaced].is_folder ? EISDIR : ENOTDIR);
    }
    return tree->nodes[replaced].seen_names.count == 0 || fail(ENOTEMPTY);
}

bool disk_rename(const char *from, const char *to)
{
    const char *below[2] = {below_to_change(from), below_to_change(to)};
    struct sim_disk *self = in_use();
    char names[2][SIM_NAME_BYTES];
    uint32_t folders[2];
    for (size_t i = 0; i < 2; i++) {
        folders[i] =
            below[i] != NULL ? sim_tree_parent(&self->tree, below[i], names[i]) : SIM_NODE_NONE;
        if (folders[i] == SIM_NODE_NONE) {
            return false;
        }
    }
    uint32_t node = sim_tree_lookup(&self->tree, folders[0], names[0]);
    uint32_t replaced = sim_tree_lookup(&self->tree, folders[1], names[1]);
    size_t length = strlen(below[0]);
    if (node == SIM_NODE_NONE) {
        return fail(ENOENT);
    }
    if (node == replaced) {
        return true;
    }
    if (self->tree.nodes[node].is_folder && strncmp(below[0], below[1], length) == 0 &&
        below[1][length] == '/') {
        return fail(EINVAL);
    }
    if (!may_replace(&self->tree, node, replaced) || !begin_call(self, false)) {
        return false;
    }
    sim_tree_move(&self->tree, folders, (const char *const[2]){names[0], names[1]});
    return end_call(self);
}

bool disk_rename_new(const char *from, const char *to)
{
    return disk_kind_of(to) == DISK_MISSING ? disk_rename(from, to) : fail(EEXIST);
}

/* Unlinks a file, or removes an empty folder. */
static bool remove_name(const char *path, bool is_folder)
{
    char name[SIM_NAME_BYTES];
    const char *below = below_to_change(path);
    struct sim_disk *self = in_use();
    uint32_t folder = below != NULL ? sim_tree_parent(&self->tree, below, name) : SIM_NODE_NONE;
    if (folder == SIM_NODE_NONE) {
        return false;
    }
    uint32_t node = sim_tree_lookup(&self->tree, folder, name);
    if (node == SIM_NODE_NONE) {
        return fail(ENOENT);
    }
    if (self->tree.nodes[node].is_folder != is_folder) {
        return fail(is_folder ? ENOTDIR : EISDIR);
    }
    if (self->tree.nodes[node].seen_names.count > 0) {
        return fail(ENOTEMPTY);
    }
    if (!begin_call(self, false)) {
        return false;
    }
    sim_tree_remove(&self->tree, folder, name);
    return end_call(self);
}

bool disk_unlink(const char *path)
{
    return remove_name(path, false);
}

bool disk_remove_folder(const char *path)
{
    return remove_name(path, true);
}

bool disk_make_folder(const char *path, mode_t mode)
{
    const char *below = sim_disk_below(path);
    if (below == NULL) {
        return fail(real_disk_kind_of(path) == DISK_MISSING ? EROFS : EEXIST);
    }
    return make(in_use(), below, true, mode) != SIM_NODE_NONE;
}

bool disk_sync_folder(const char *path)
{
    const char *below = below_to_change(path);
    struct sim_disk *self = in_use();
    uint32_t node = below != NULL ? sim_tree_find(&self->tree, below) : SIM_NODE_NONE;
    if (node == SIM_NODE_NONE) {
        return false;
    }
    if (!self->tree.nodes[node].is_folder) {
        return fail(ENOTDIR);
    }
    if (!begin_call(self, false)) {
        return false;
    }
    if (happens(self, self->faults.sync_folder)) {
        return fail(EIO);
    }
    sim_tree_sync_names(&self->tree, node);
    return end_call(self);
}

enum disk_kind disk_kind_of(const char *path)
{
    const char *below = sim_disk_below(path);
    if (below == NULL) {
        return real_disk_kind_of(path);
    }
    const struct sim_tree *tree = &in_use()->tree;
    uint32_t node = sim_tree_find(tree, below);
    return node == SIM_NODE_NONE         ? DISK_MISSING
           : tree->nodes[node].is_folder ? DISK_FOLDER
                                         : DISK_FILE;
}

bool disk_list(const char *path, bool (*visit)(void *context, const char *name), void *context)
{
    const char *below = sim_disk_below(path);
    if (below == NULL) {
        return real_disk_list(path, visit, context);
    }
    struct sim_disk *self = in_use();
    uint32_t folder = sim_tree_find(&self->tree, below);
    if (folder == SIM_NODE_NONE) {
        return false;
    }
    if (!self->tree.nodes[folder].is_folder) {
        return fail(ENOTDIR);
    }
    if (happens(self, self->faults.read)) {
        return fail(EIO);
    }
    for (size_t i = 0; i < self->tree.nodes[folder].seen_names.count;) {
        char name[SIM_NAME_BYTES];
        memcpy(name, self->tree.nodes[folder].seen_names.items[i].text, sizeof name);
        if (!visit(context, name)) {
            return true;
        }
        /* The visitor may have removed the name. */
        const struct sim_names *names = &self->tree.nodes[folder].seen_names;
        i += i < names->count && strcmp(names->items[i].text, name) == 0 ? 1 : 0;
    }
    return true;
}

const uint8_t *disk_map(int fd, size_t size_bytes)
{
    if (fd < FD_FIRST) {
        return real_disk_map(fd, size_bytes);
    }
    struct sim_disk *self = in_use();
    const struct sim_node *node = node_of(fd);
    errno = 0;
    if (size_bytes == 0) {
        return NULL;
    }
    CHECK(size_bytes <= node->seen.size_bytes);
    if (happens(self, self->faults.read)) {
        errno = EIO;
        return NULL;
    }
    for (size_t i = 0; i < SIM_MAPS_MAX; i++) {
        if (self->maps[i].block == NULL) {
            self->maps[i] = sim_image_hold(&node->seen);
            return sim_image_data(&self->maps[i]);
        }
    }
    errno = ENOMEM;
    return NULL;
}

void disk_unmap(const uint8_t *data, size_t size_bytes)
{
    struct sim_disk *self = sim_disk_current();
    for (size_t i = 0; data != NULL && self != NULL && i < SIM_MAPS_MAX; i++) {
        if (sim_image_data(&self->maps[i]) == data) {
            sim_image_drop(&self->maps[i]);
            return;
        }
    }
    real_disk_unmap(data, size_bytes);
}

uint64_t disk_free_bytes(const char *path)
{
    const char *below = sim_disk_below(path);
    const struct sim_disk *self = sim_disk_current();
    if (below == NULL || self == NULL || self->faults.capacity_bytes == 0 ||
        self->faults.free_unknown) {
        return UINT64_MAX;
    }
    uint64_t used = sim_tree_used_bytes(&self->tree);
    uint64_t capacity = self->faults.capacity_bytes;
    return used < capacity ? capacity - used : 0;
}
