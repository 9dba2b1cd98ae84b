#include "tests/sim/sim_disk.h"

#include "common/check.h"
#include "tests/sim/sim_disk_state.h"
#include "tests/sim/sim_file.h"
#include "tests/sim/sim_memory.h"

#include <stdio.h>
#include <string.h>

/* Streams of a seed. */
enum { STREAM_FAULTS = 1, STREAM_LOSS = 2 };

void sim_disk_seed(struct sim_disk *self, uint64_t seed)
{
    random_init(&self->fault_chance, seed, STREAM_FAULTS);
    random_init(&self->loss_chance, seed, STREAM_LOSS);
}

struct sim_disk *sim_disk_new(uint64_t seed)
{
    struct sim_disk *self = sim_memory_new(1, sizeof *self);
    sim_tree_init(&self->tree);
    sim_disk_seed(self, seed);
    return self;
}

static void drop_maps(struct sim_disk *self)
{
    for (size_t i = 0; i < SIM_MAPS_MAX; i++) {
        sim_image_drop(&self->maps[i]);
    }
}

void sim_disk_free(struct sim_disk *self)
{
    if (self != NULL) {
        if (sim_disk_current() == self) {
            sim_disk_use(NULL);
        }
        drop_maps(self);
        sim_tree_deinit(&self->tree);
        sim_memory_free(self);
    }
}

struct sim_disk *sim_disk_copy(const struct sim_disk *self)
{
    struct sim_disk *copy = sim_memory_new(1, sizeof *copy);
    sim_tree_copy(&self->tree, &copy->tree);
    copy->faults = self->faults;
    copy->fault_chance = self->fault_chance;
    copy->loss_chance = self->loss_chance;
    return copy;
}

void sim_disk_set_faults(struct sim_disk *self, const struct sim_disk_faults *faults)
{
    self->faults = *faults;
}

uint64_t sim_disk_call_count(const struct sim_disk *self)
{
    return self->call_count;
}

void sim_disk_crash_at(struct sim_disk *self, uint64_t n, enum sim_disk_moment moment,
                       void (*crash)(void *context), void *context)
{
    CHECK(n == 0 || crash != NULL);
    self->crash_call = n > 0 ? self->call_count + n : 0;
    self->crash_moment = moment;
    self->crash = crash;
    self->crash_context = context;
}

void sim_disk_fail_at(struct sim_disk *self, uint64_t n, int error)
{
    self->fail_call = n > 0 ? self->call_count + n : 0;
    self->fail_error = error;
}

static void end_process(struct sim_disk *self)
{
    memset(self->opens, 0, sizeof self->opens);
    drop_maps(self);
    self->crash_call = 0;
    self->fail_call = 0;
}

void sim_disk_crash(struct sim_disk *self)
{
    end_process(self);
    sim_tree_end_process(&self->tree);
}

void sim_disk_lose_power(struct sim_disk *self)
{
    end_process(self);
    sim_tree_lose_power(&self->tree, &self->loss_chance);
}

void sim_disk_settle(struct sim_disk *self)
{
    sim_tree_settle(&self->tree);
}

/* The node of a name, which is made when it is missing; its names become durable. */
static uint32_t ensure(struct sim_tree *tree, const char *path, bool is_folder)
{
    char name[SIM_NAME_BYTES];
    uint32_t node = sim_tree_find(tree, path);
    if (node != SIM_NODE_NONE) {
        return node;
    }
    uint32_t folder = sim_tree_parent(tree, path, name);
    if (folder != SIM_NODE_NONE) {
        node = sim_tree_make(tree, folder, name, is_folder, is_folder ? 0755 : 0644);
        sim_tree_sync_names(tree, folder);
    }
    return node;
}

bool sim_disk_put(struct sim_disk *self, const char *path, const void *data, size_t size_bytes)
{
    char part[SIM_NAME_BYTES * 8];
    const char *below = sim_disk_below(path);
    int length = below != NULL ? snprintf(part, sizeof part, "%s", below) : -1;
    if (length < 0 || (size_t)length >= sizeof part) {
        return false;
    }
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (ensure(&self->tree, part, true) == SIM_NODE_NONE) {
            return false;
        }
        *slash = '/';
    }
    uint32_t node = ensure(&self->tree, part, false);
    if (node == SIM_NODE_NONE || self->tree.nodes[node].is_folder) {
        return false;
    }
    sim_file_resize(&self->tree.nodes[node], 0);
    sim_file_append(&self->tree.nodes[node], data, size_bytes);
    sim_file_sync(&self->tree.nodes[node]);
    return true;
}

bool sim_disk_rot(struct sim_disk *self, const char *path, uint64_t bit)
{
    const char *below = sim_disk_below(path);
    uint32_t node = below != NULL ? sim_tree_find(&self->tree, below) : SIM_NODE_NONE;
    return node != SIM_NODE_NONE && sim_file_rot(&self->tree.nodes[node], bit);
}

/* A walk over the files of a disk in the order of their names' making. */
struct file_walk {
    const struct sim_tree *tree;
    char *path;
    size_t path_bytes;
    uint64_t skipped; /* files with content before the one to find */
    uint64_t count;
    uint32_t found;
};

static void walk_files(struct file_walk *walk, uint32_t folder)
{
    const struct sim_names *names = &walk->tree->nodes[folder].seen_names;
    size_t length = strlen(walk->path);
    for (size_t i = 0; i < names->count && walk->found == SIM_NODE_NONE; i++) {
        const struct sim_node *node = &walk->tree->nodes[names->items[i].node];
        (void)snprintf(walk->path + length, walk->path_bytes - length, "/%s", names->items[i].text);
        if (node->is_folder) {
            walk_files(walk, names->items[i].node);
        } else if (node->durable.size_bytes > 0 && walk->count++ == walk->skipped) {
            walk->found = names->items[i].node;
        }
    }
    if (walk->found == SIM_NODE_NONE) {
        walk->path[length] = '\0';
    }
}

static void find_file(struct file_walk *walk, uint64_t skipped)
{
    walk->skipped = skipped;
    walk->count = 0;
    walk->found = SIM_NODE_NONE;
    (void)snprintf(walk->path, walk->path_bytes, "%s", SIM_DISK_ROOT);
    walk_files(walk, SIM_ROOT);
}

bool sim_disk_rot_any(struct sim_disk *self, char *out_path, size_t out_bytes)
{
    struct file_walk walk = {.tree = &self->tree, .path = out_path, .path_bytes = out_bytes};
    find_file(&walk, UINT64_MAX);
    if (walk.count == 0) {
        return false;
    }
    find_file(&walk, random_below(&self->loss_chance, walk.count));
    struct sim_node *node = &self->tree.nodes[walk.found];
    return sim_file_rot(node, random_below(&self->loss_chance, node->durable.size_bytes * 8));
}

uint64_t sim_disk_used_bytes(const struct sim_disk *self)
{
    return sim_tree_used_bytes(&self->tree);
}
