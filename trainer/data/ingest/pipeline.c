#include "trainer/data/ingest/pipeline.h"

#include "common/check.h"
#include "common/fault.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct text_piece piece;
    struct piece_tokens tokens;
    bool is_end;         /* no piece: the text ends here */
    bool is_done;        /* encoded, or failed */
    enum status status;  /* how reading, then encoding, went */
    char *why;           /* the sentence of a failure, owned; NULL: none */
    size_t budget_bytes; /* what it takes of PIPELINE_TEXT_MAX */
};

struct pipeline {
    struct pipeline_options options;
    struct text_source *source; /* the reader's */
    atomic_bool stop;
    pthread_t reader;
    pthread_t workers[PIPELINE_THREADS_MAX];
    size_t worker_count; /* that were started */
    bool has_reader;

    pthread_mutex_t lock; /* of all below, and of a slot's is_done */
    pthread_cond_t has_room;
    pthread_cond_t has_work;
    pthread_cond_t has_result;
    /* Pieces are numbered; number n lies in slot n % slot_count. released <= taken <= read. */
    uint64_t read;     /* pieces that were read */
    uint64_t taken;    /* pieces that a worker took */
    uint64_t released; /* pieces that the caller is done with */
    bool is_lent;      /* the caller has piece number `released` */
    bool reader_ended;
    size_t text_bytes; /* in pieces on their way */
    size_t slot_count;
    struct slot slots[]; /* (slot_count) */
};

/* The sentence is the thread's own: it must travel to the caller. */
static void keep_failure(struct slot *slot, enum status status)
{
    slot->status = status;
    slot->why = status == STATUS_OK ? NULL : strdup(fault_text());
}

static void lock(struct pipeline *self)
{
    CHECK(pthread_mutex_lock(&self->lock) == 0);
}

static void unlock(struct pipeline *self)
{
    CHECK(pthread_mutex_unlock(&self->lock) == 0);
}

static void wait_for(struct pipeline *self, pthread_cond_t *condition)
{
    CHECK(pthread_cond_wait(condition, &self->lock) == 0);
}

static void wake(pthread_cond_t *condition)
{
    CHECK(pthread_cond_broadcast(condition) == 0);
}

/* Waits for an empty slot; NULL when the pipeline stops. */
static struct slot *wait_for_slot(struct pipeline *self)
{
    lock(self);
    while (self->read - self->released == self->slot_count && !atomic_load(&self->stop)) {
        wait_for(self, &self->has_room);
    }
    struct slot *slot =
        atomic_load(&self->stop) ? NULL : &self->slots[self->read % self->slot_count];
    unlock(self);
    return slot;
}

/* Hands a slot on; a piece waits until the ones before it leave it room. */
static void publish(struct pipeline *self, struct slot *slot)
{
    lock(self);
    while (self->text_bytes > 0 && slot->budget_bytes > PIPELINE_TEXT_MAX - self->text_bytes &&
           !atomic_load(&self->stop)) {
        wait_for(self, &self->has_room);
    }
    self->text_bytes += slot->budget_bytes;
    self->read++;
    wake(&self->has_work);
    unlock(self);
}

static void *read_pieces(void *argument)
{
    struct pipeline *self = argument;
    bool found = true;
    enum status status = STATUS_OK;
    while (found && status == STATUS_OK) {
        struct slot *slot = wait_for_slot(self);
        if (slot == NULL) {
            break;
        }
        status = text_source_next(self->source, &slot->piece, &found);
        slot->is_end = status == STATUS_OK && !found;
        slot->is_done = false;
        slot->budget_bytes = status == STATUS_OK && found ? slot->piece.length : 0;
        keep_failure(slot, status);
        publish(self, slot);
    }
    lock(self);
    self->reader_ended = true;
    wake(&self->has_work);
    unlock(self);
    return NULL;
}

/* Waits for a piece to encode; NULL when none will come. */
static struct slot *wait_for_work(struct pipeline *self)
{
    struct slot *slot = NULL;
    lock(self);
    while (self->taken == self->read && !self->reader_ended && !atomic_load(&self->stop)) {
        wait_for(self, &self->has_work);
    }
    if (self->taken < self->read && !atomic_load(&self->stop)) {
        slot = &self->slots[self->taken++ % self->slot_count];
    }
    unlock(self);
    return slot;
}

static void *encode_pieces(void *argument)
{
    struct pipeline *self = argument;
    for (;;) {
        struct slot *slot = wait_for_work(self);
        if (slot == NULL) {
            return NULL;
        }
        if (slot->status == STATUS_OK && !slot->is_end) {
            keep_failure(slot, piece_encode(&self->options.encoder, &slot->piece, &slot->tokens));
        }
        lock(self);
        slot->is_done = true;
        wake(&self->has_result);
        unlock(self);
    }
}

static enum status start_threads(struct pipeline *self)
{
    self->has_reader = pthread_create(&self->reader, NULL, read_pieces, self) == 0;
    while (self->has_reader && self->worker_count < self->options.threads &&
           pthread_create(&self->workers[self->worker_count], NULL, encode_pieces, self) == 0) {
        self->worker_count++;
    }
    return self->worker_count == self->options.threads
               ? STATUS_OK
               : fault(STATUS_OS, "cannot start %zu threads; use fewer with --threads",
                       self->options.threads);
}

static size_t safe_length(const void *context, const uint8_t *text, size_t length)
{
    return tokenizer_safe_length(context, text, length);
}

enum status pipeline_new(const struct pipeline_options *options, struct pipeline **out)
{
    CHECK(options->threads > 0 && options->threads <= PIPELINE_THREADS_MAX);
    *out = NULL;
    size_t slot_count = PIPELINE_SLOTS(options->threads);
    struct pipeline *self = calloc(1, sizeof(*self) + slot_count * sizeof(self->slots[0]));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to build data");
    }
    self->options = *options;
    self->slot_count = slot_count;
    atomic_init(&self->stop, false);
    CHECK(pthread_mutex_init(&self->lock, NULL) == 0);
    CHECK(pthread_cond_init(&self->has_room, NULL) == 0);
    CHECK(pthread_cond_init(&self->has_work, NULL) == 0);
    CHECK(pthread_cond_init(&self->has_result, NULL) == 0);
    struct text_source_options source = {.files = options->files,
                                         .file_count = options->file_count,
                                         .format = options->format,
                                         .piece_bytes = options->piece_bytes,
                                         .safe_length = safe_length,
                                         .safe_context = options->encoder.tokenizer,
                                         .stop = &self->stop};
    enum status status = text_source_new(&source, &self->source);
    if (status == STATUS_OK) {
        status = start_threads(self);
    }
    if (status != STATUS_OK) {
        pipeline_free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

/* A long line needs much memory once; it is not kept for the pieces to come. */
static void empty_slot(const struct pipeline *self, struct slot *slot)
{
    piece_tokens_deinit(&slot->tokens);
    if (slot->piece.room > 2 * self->options.piece_bytes) {
        text_piece_deinit(&slot->piece);
    }
}

static void release(struct pipeline *self)
{
    struct slot *slot = &self->slots[self->released % self->slot_count];
    empty_slot(self, slot);
    lock(self);
    self->text_bytes -= slot->budget_bytes;
    self->released++;
    wake(&self->has_room);
    unlock(self);
    self->is_lent = false;
}

enum status pipeline_next(struct pipeline *self, struct pipeline_piece *out, bool *out_found)
{
    *out_found = false;
    if (self->is_lent) {
        release(self);
    }
    struct slot *slot = &self->slots[self->released % self->slot_count];
    lock(self);
    while (self->released == self->read || !slot->is_done) {
        wait_for(self, &self->has_result);
    }
    unlock(self);
    if (slot->status != STATUS_OK) {
        return fault(slot->status, "%s", slot->why != NULL ? slot->why : "");
    }
    if (slot->is_end) {
        return STATUS_OK;
    }
    self->is_lent = true;
    *out_found = true;
    *out = (struct pipeline_piece){.ids = slot->tokens.ids,
                                   .count = slot->tokens.count,
                                   .text_bytes = slot->tokens.text_bytes,
                                   .input_bytes = slot->piece.input_bytes};
    return STATUS_OK;
}

static void stop_threads(struct pipeline *self)
{
    lock(self);
    atomic_store(&self->stop, true);
    wake(&self->has_room);
    wake(&self->has_work);
    unlock(self);
    if (self->has_reader) {
        CHECK(pthread_join(self->reader, NULL) == 0);
    }
    for (size_t i = 0; i < self->worker_count; i++) {
        CHECK(pthread_join(self->workers[i], NULL) == 0);
    }
}

void pipeline_free(struct pipeline *self)
{
    if (self == NULL) {
        return;
    }
    stop_threads(self);
    for (size_t i = 0; i < self->slot_count; i++) {
        text_piece_deinit(&self->slots[i].piece);
        piece_tokens_deinit(&self->slots[i].tokens);
        free(self->slots[i].why);
    }
    text_source_free(self->source);
    (void)pthread_cond_destroy(&self->has_result);
    (void)pthread_cond_destroy(&self->has_work);
    (void)pthread_cond_destroy(&self->has_room);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}
