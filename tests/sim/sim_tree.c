#include "tests/sim/sim_tree.h"

#include "common/check.h"
#include "tests/sim/sim_file.h"
#include "tests/sim/sim_memory.h"

#include <errno.h>
#include <string.h>

enum {
    NODES_FIRST = 64,
    DEPTH_MAX = 32,
    CHANGES_MAX = 256, /* the kernel writes older names by itself */
    HALF_A_RENAME_IN = 16
};

/* One name in one folder: what it will stand for. */
struct sim_change {
    uint64_t call;
    uint32_t folder;
    uint32_t node; /* SIM_NODE_NONE: the name goes */
    char name[SIM_NAME_BYTES];
};

static struct sim_name *names_find(const struct sim_names *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->items[i].text, name) == 0) {
            return &self->items[i];
        }
    }
    return NULL;
}

static void names_remove(struct sim_names *self, const char *name)
{
    struct sim_name *found = names_find(self, name);
    if (found != NULL) {
        size_t index = (size_t)(found - self->items);
        self->count--;
        memmove(found, found + 1, (self->count - index) * sizeof *found);
    }
}

static void names_set(struct sim_names *self, const char *name, uint32_t node)
{
    if (node == SIM_NODE_NONE) {
        names_remove(self, name);
        return;
    }
    struct sim_name *found = names_find(self, name);
    if (found == NULL) {
        if (self->count == self->capacity) {
            self->capacity = self->capacity * 2 + 4;
            self->items = sim_memory_resize(self->items, self->capacity, sizeof *self->items);
        }
        found = &self->items[self->count++];
        memset(found, 0, sizeof *found);
        memcpy(found->text, name, strlen(name));
    }
    found->node = node;
}

static void names_copy(const struct sim_names *from, struct sim_names *out)
{
    *out = (struct sim_names){.count = from->count, .capacity = from->count};
    if (from->count > 0) {
        out->items = sim_memory_new(from->count, sizeof *out->items);
        memcpy(out->items, from->items, from->count * sizeof *out->items);
    }
}

static void names_drop(struct sim_names *self)
{
    sim_memory_free(self->items);
    *self = (struct sim_names){0};
}

static void drop_node(struct sim_node *node)
{
    sim_file_drop(node);
    names_drop(&node->seen_names);
    names_drop(&node->durable_names);
    *node = (struct sim_node){.used = false};
}

void sim_tree_init(struct sim_tree *self)
{
    *self = (struct sim_tree){.capacity = NODES_FIRST};
    self->nodes = sim_memory_new(NODES_FIRST, sizeof *self->nodes);
    self->changes = sim_memory_new(CHANGES_MAX, sizeof *self->changes);
    self->nodes[SIM_ROOT] =
        (struct sim_node){.used = true, .is_folder = true, .mode = 0755, .name_count = 1};
}

void sim_tree_deinit(struct sim_tree *self)
{
    for (size_t i = 0; i < self->capacity; i++) {
        drop_node(&self->nodes[i]);
    }
    sim_memory_free(self->nodes);
    sim_memory_free(self->changes);
    *self = (struct sim_tree){0};
}

void sim_tree_copy(const struct sim_tree *from, struct sim_tree *out)
{
    *out = *from;
    out->nodes = sim_memory_new(from->capacity, sizeof *out->nodes);
    out->changes = sim_memory_new(CHANGES_MAX, sizeof *out->changes);
    memcpy(out->changes, from->changes, from->change_count * sizeof *out->changes);
    for (size_t i = 0; i < from->capacity; i++) {
        const struct sim_node *node = &from->nodes[i];
        struct sim_node *copy = &out->nodes[i];
        if (!node->used) {
            continue;
        }
        *copy = *node;
        copy->seen = sim_image_hold(&node->seen);
        copy->durable = sim_image_hold(&node->durable);
        copy->written = sim_image_hold(&node->written);
        names_copy(&node->seen_names, &copy->seen_names);
        names_copy(&node->durable_names, &copy->durable_names);
    }
    sim_tree_end_process(out);
}

void sim_tree_end_process(struct sim_tree *self)
{
    for (size_t i = 0; i < self->capacity; i++) {
        self->nodes[i].open_count = 0;
        self->nodes[i].is_locked = false;
    }
}

uint64_t sim_tree_used_bytes(const struct sim_tree *self)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < self->capacity; i++) {
        const struct sim_node *node = &self->nodes[i];
        sum += node->name_count > 0 || node->open_count > 0 ? node->seen.size_bytes : 0;
    }
    return sum;
}

uint32_t sim_tree_lookup(const struct sim_tree *self, uint32_t folder, const char *name)
{
    const struct sim_name *found = names_find(&self->nodes[folder].seen_names, name);
    return found != NULL ? found->node : SIM_NODE_NONE;
}

/* Length of the first name of a path; *out_next is where the rest begins. */
static size_t first_name(const char *path, const char **out_next)
{
    path += strspn(path, "/");
    size_t length = strcspn(path, "/");
    *out_next = path;
    return length;
}

static uint32_t none(int error)
{
    errno = error;
    return SIM_NODE_NONE;
}

/* Follows the names of path(length). */
static uint32_t walk(const struct sim_tree *self, const char *path, size_t length)
{
    uint32_t above[DEPTH_MAX] = {SIM_ROOT};
    size_t depth = 0;
    const char *end = path + length;
    const char *name = path;
    for (size_t bytes = first_name(path, &name); bytes > 0 && name < end;
         bytes = first_name(name + bytes, &name)) {
        char text[SIM_NAME_BYTES] = {0};
        if (!self->nodes[above[depth]].is_folder) {
            return none(ENOTDIR);
        }
        if (bytes >= sizeof text || depth + 1 == DEPTH_MAX) {
            return none(ENAMETOOLONG);
        }
        memcpy(text, name, bytes);
        if (strcmp(text, "..") == 0) {
            depth -= depth > 0 ? 1 : 0;
        } else if (strcmp(text, ".") != 0) {
            uint32_t found = sim_tree_lookup(self, above[depth], text);
            if (found == SIM_NODE_NONE) {
                return none(ENOENT);
            }
            above[++depth] = found;
        }
    }
    return above[depth];
}

uint32_t sim_tree_find(const struct sim_tree *self, const char *path)
{
    return walk(self, path, strlen(path));
}

uint32_t sim_tree_parent(const struct sim_tree *self, const char *path,
                         char out_name[SIM_NAME_BYTES])
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') {
        end--;
    }
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') {
        begin--;
    }
    size_t length = end - begin;
    memset(out_name, 0, SIM_NAME_BYTES);
    if (length >= SIM_NAME_BYTES) {
        return none(ENAMETOOLONG);
    }
    memcpy(out_name, path + begin, length);
    if (length == 0 || strcmp(out_name, ".") == 0 || strcmp(out_name, "..") == 0) {
        return none(EBUSY);
    }
    uint32_t folder = walk(self, path, begin);
    return folder == SIM_NODE_NONE || self->nodes[folder].is_folder ? folder : none(ENOTDIR);
}

static void count_name(struct sim_tree *self, uint32_t node, bool is_more)
{
    if (node != SIM_NODE_NONE && is_more) {
        self->nodes[node].name_count++;
    } else if (node != SIM_NODE_NONE) {
        self->nodes[node].name_count--;
    }
}

static void apply(struct sim_tree *self, const struct sim_change *change)
{
    names_set(&self->nodes[change->folder].durable_names, change->name, change->node);
}

static void drop_first_changes(struct sim_tree *self, size_t count)
{
    self->change_count -= count;
    memmove(self->changes, self->changes + count, self->change_count * sizeof *self->changes);
}

/* The older half, and no half of a rename. */
static void write_back(struct sim_tree *self)
{
    size_t count = 0;
    uint64_t last = self->changes[self->change_count / 2].call;
    while (count < self->change_count && self->changes[count].call <= last) {
        apply(self, &self->changes[count++]);
    }
    drop_first_changes(self, count);
}

/* Changes a name as it is seen, and notes that for the medium. */
static void set_name(struct sim_tree *self, uint32_t folder, const char *name, uint32_t node)
{
    struct sim_names *names = &self->nodes[folder].seen_names;
    count_name(self, sim_tree_lookup(self, folder, name), false);
    count_name(self, node, true);
    names_set(names, name, node);
    if (self->change_count == CHANGES_MAX) {
        write_back(self);
    }
    struct sim_change *change = &self->changes[self->change_count++];
    *change = (struct sim_change){.call = self->call_count, .folder = folder, .node = node};
    memcpy(change->name, name, strlen(name));
}

static void mark(bool *reached, uint32_t *queue, size_t *count, uint32_t node)
{
    if (node != SIM_NODE_NONE && !reached[node]) {
        reached[node] = true;
        queue[(*count)++] = node;
    }
}

static void mark_names(const struct sim_names *names, bool *reached, uint32_t *queue, size_t *count)
{
    for (size_t i = 0; i < names->count; i++) {
        mark(reached, queue, count, names->items[i].node);
    }
}

/* Forgets the changes in folders that are gone. */
static void drop_dead_changes(struct sim_tree *self, const bool *reached)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->change_count; i++) {
        if (reached[self->changes[i].folder]) {
            self->changes[kept++] = self->changes[i];
        }
    }
    self->change_count = kept;
}

/* Drops the nodes that nothing leads to; how many are left. */
static size_t collect(struct sim_tree *self)
{
    bool *reached = sim_memory_new(self->capacity, sizeof *reached);
    uint32_t *queue = sim_memory_new(self->capacity, sizeof *queue);
    size_t count = 0;
    mark(reached, queue, &count, SIM_ROOT);
    for (size_t i = 0; i < self->change_count; i++) {
        mark(reached, queue, &count, self->changes[i].node);
    }
    for (uint32_t i = 0; i < self->capacity; i++) {
        if (self->nodes[i].open_count > 0) {
            mark(reached, queue, &count, i);
        }
    }
    for (size_t i = 0; i < count; i++) {
        mark_names(&self->nodes[queue[i]].seen_names, reached, queue, &count);
        mark_names(&self->nodes[queue[i]].durable_names, reached, queue, &count);
    }
    drop_dead_changes(self, reached);
    for (size_t i = 0; i < self->capacity; i++) {
        if (!reached[i]) {
            drop_node(&self->nodes[i]);
        }
    }
    sim_memory_free(reached);
    sim_memory_free(queue);
    return count;
}

static uint32_t find_unused(const struct sim_tree *self)
{
    for (uint32_t i = 0; i < self->capacity; i++) {
        if (!self->nodes[i].used) {
            return i;
        }
    }
    return SIM_NODE_NONE;
}

static uint32_t take_unused(struct sim_tree *self)
{
    uint32_t found = find_unused(self);
    if (found != SIM_NODE_NONE) {
        return found;
    }
    if (collect(self) > self->capacity / 2) {
        size_t before = self->capacity;
        self->capacity = before * 2;
        self->nodes = sim_memory_resize(self->nodes, self->capacity, sizeof *self->nodes);
        memset(self->nodes + before, 0, before * sizeof *self->nodes);
    }
    return find_unused(self);
}

uint32_t sim_tree_make(struct sim_tree *self, uint32_t folder, const char *name, bool is_folder,
                       mode_t mode)
{
    uint32_t node = take_unused(self);
    self->nodes[node] = (struct sim_node){.used = true, .is_folder = is_folder, .mode = mode};
    self->call_count++;
    set_name(self, folder, name, node);
    return node;
}

void sim_tree_remove(struct sim_tree *self, uint32_t folder, const char *name)
{
    self->call_count++;
    set_name(self, folder, name, SIM_NODE_NONE);
}

void sim_tree_move(struct sim_tree *self, const uint32_t folders[2], const char *const names[2])
{
    uint32_t node = sim_tree_lookup(self, folders[0], names[0]);
    CHECK(node != SIM_NODE_NONE);
    self->call_count++;
    set_name(self, folders[1], names[1], node);
    set_name(self, folders[0], names[0], SIM_NODE_NONE);
}

void sim_tree_sync_names(struct sim_tree *self, uint32_t folder)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->change_count; i++) {
        if (self->changes[i].folder == folder) {
            apply(self, &self->changes[i]);
        } else {
            self->changes[kept++] = self->changes[i];
        }
    }
    self->change_count = kept;
}

void sim_tree_settle(struct sim_tree *self)
{
    for (size_t i = 0; i < self->change_count; i++) {
        apply(self, &self->changes[i]);
    }
    self->change_count = 0;
    for (size_t i = 0; i < self->capacity; i++) {
        if (self->nodes[i].used && !self->nodes[i].is_folder) {
            sim_file_sync(&self->nodes[i]);
        }
    }
}

/* Which changes had reached the medium: those up to some moment, or any, whole calls mostly. */
static void choose_names(struct sim_tree *self, struct random *chance)
{
    uint64_t first = self->change_count > 0 ? self->changes[0].call : 0;
    bool is_ordered = random_below(chance, 2) == 0;
    uint64_t moment = first + random_below(chance, self->call_count + 2 - first);
    for (size_t i = 0; i < self->change_count;) {
        const struct sim_change *change = &self->changes[i];
        bool is_rename = i + 1 < self->change_count && change[1].call == change->call;
        bool done = is_ordered ? change->call < moment : random_below(chance, 2) == 0;
        if (is_rename && !is_ordered && random_below(chance, HALF_A_RENAME_IN) == 0) {
            apply(self, &change[random_below(chance, 2)]);
        } else if (done) {
            apply(self, change);
            if (is_rename) {
                apply(self, change + 1);
            }
        }
        i += is_rename ? 2 : 1;
    }
    self->change_count = 0;
}

/* A folder stands in one place: the check of a file system drops another name of it. */
static void drop_second_names(struct sim_tree *self)
{
    bool *reached = sim_memory_new(self->capacity, sizeof *reached);
    uint32_t *queue = sim_memory_new(self->capacity, sizeof *queue);
    size_t count = 0;
    mark(reached, queue, &count, SIM_ROOT);
    for (size_t i = 0; i < count; i++) {
        struct sim_names *names = &self->nodes[queue[i]].durable_names;
        for (size_t j = 0; j < names->count;) {
            uint32_t node = names->items[j].node;
            if (self->nodes[node].is_folder && reached[node]) {
                names_remove(names, names->items[j].text);
            } else {
                mark(reached, queue, &count, node);
                j++;
            }
        }
    }
    sim_memory_free(reached);
    sim_memory_free(queue);
}

void sim_tree_lose_power(struct sim_tree *self, struct random *chance)
{
    sim_tree_end_process(self);
    choose_names(self, chance);
    drop_second_names(self);
    for (size_t i = 0; i < self->capacity; i++) {
        struct sim_node *node = &self->nodes[i];
        node->name_count = i == SIM_ROOT ? 1 : 0;
        names_drop(&node->seen_names);
        names_copy(&node->durable_names, &node->seen_names);
        if (node->used && !node->is_folder) {
            sim_file_lose_power(node, chance);
        }
    }
    (void)collect(self);
    for (size_t i = 0; i < self->capacity; i++) {
        const struct sim_names *names = &self->nodes[i].seen_names;
        for (size_t j = 0; j < names->count; j++) {
            count_name(self, names->items[j].node, true);
        }
    }
}
