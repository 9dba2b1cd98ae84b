/* sim_tree - files and folders, each as the running system sees it and as it stands on the medium.
 *
 * A file has the content that a reader gets and the content that survives a power loss; a folder
 * has two tables of names. What makes a name differ between the two is kept in a list of changes,
 * which a sync of the folder empties; a power loss chooses among them.
 *
 * A node is named by its index. One thread. */
#ifndef DUGNAD_TESTS_SIM_SIM_TREE_H
#define DUGNAD_TESTS_SIM_SIM_TREE_H

#include "common/random.h"
#include "tests/sim/sim_image.h"

#include <stdbool.h>
#include <sys/types.h>

enum {
    SIM_NAME_BYTES = 96, /* of one name, with its NUL */
    SIM_SECTOR_BYTES = 512,
    SIM_ROOT = 0
};

#define SIM_NODE_NONE UINT32_MAX

struct sim_name {
    char text[SIM_NAME_BYTES];
    uint32_t node;
};

struct sim_names {
    struct sim_name *items;
    size_t count;
    size_t capacity;
};

struct sim_node {
    bool used;
    bool is_folder;
    bool is_locked;
    mode_t mode;
    uint32_t open_count; /* descriptors */
    uint32_t name_count; /* in tables that are seen */

    /* A file. */
    struct sim_image seen;
    struct sim_image durable;
    size_t clean_bytes; /* so many at the beginning are the same in both */
    /* After a failed sync what is seen may be another thing than what later syncs write. */
    bool is_ghosted;
    struct sim_image written; /* when is_ghosted */

    /* A folder. */
    struct sim_names seen_names;
    struct sim_names durable_names;
};

struct sim_change;

struct sim_tree {
    struct sim_node *nodes;
    size_t capacity;
    struct sim_change *changes; /* oldest first */
    size_t change_count;
    uint64_t call_count; /* the changes of one rename have the same number */
};

/* An empty folder as root. */
void sim_tree_init(struct sim_tree *self);
void sim_tree_deinit(struct sim_tree *self);
/* The same files, without descriptors and locks. */
void sim_tree_copy(const struct sim_tree *from, struct sim_tree *out);

/* The node at a path below the root ("a/b"; "" is the root). SIM_NODE_NONE with errno. */
uint32_t sim_tree_find(const struct sim_tree *self, const char *path);
/* The folder that a path's last name stands in, and that name; SIM_NODE_NONE with errno. */
uint32_t sim_tree_parent(const struct sim_tree *self, const char *path,
                         char out_name[SIM_NAME_BYTES]);
/* SIM_NODE_NONE when the folder does not have the name. */
uint32_t sim_tree_lookup(const struct sim_tree *self, uint32_t folder, const char *name);

/* All three change what is seen; what is durable follows with a sync. Nodes stay where they are
 * until the next sim_tree_make. */
uint32_t sim_tree_make(struct sim_tree *self, uint32_t folder, const char *name, bool is_folder,
                       mode_t mode);
void sim_tree_remove(struct sim_tree *self, uint32_t folder, const char *name);
void sim_tree_move(struct sim_tree *self, const uint32_t folders[2], const char *const names[2]);

void sim_tree_sync_names(struct sim_tree *self, uint32_t folder);

/* What is seen becomes durable as a whole. */
void sim_tree_settle(struct sim_tree *self);

/* What is durable is seen again, with a choice for everything that was not synced. */
void sim_tree_lose_power(struct sim_tree *self, struct random *chance);

/* Descriptors and locks are gone. */
void sim_tree_end_process(struct sim_tree *self);

uint64_t sim_tree_used_bytes(const struct sim_tree *self);

#endif
