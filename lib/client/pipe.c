#include "client/pipe.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/spool.h"
#include "client/workers.h"
#include "net/step.h"

enum {
    FINISHED = 2, /* most finished batches that wait for the session; 1 inline */
    SPARES = 2,   /* most empty batches that are kept to be filled again */
};

/* Why no slice (a bounded piece of decoding work) can run now. */
enum halt { HALT_NONE, HALT_EMPTY, HALT_OVER, HALT_REPEAT, HALT_FAILED };

struct bcda__pipe {
    struct bcda__task task; /* must be first: a pointer to it is cast to the pipe */
    struct bcda__workers *workers;
    struct bcda__decoder *decoder;
    struct bcda__spool *spool;
    struct bcda__source *source; /* NULL = none */
    size_t batch_size;
    void (*notify)(void *ctx);
    void *ctx;

    /* These are protected by the workers' lock: */
    enum halt halt;
    struct bcda_batch *finished[FINISHED]; /* oldest first */
    int finished_count;
    struct bcda_batch *spare[SPARES];
    int spare_count;
    int has_more;  /* the decoder still has bytes after a full batch */
    int no_memory; /* there was no memory to take a full batch: the session retries */
    int was_busy;  /* workers stopped reading for a reason other than an empty source */
    struct bcda__pipe_sums sums;
    struct bcda_error err; /* the error, if `halt` is HALT_FAILED */

    struct { /* the slice that is running */
        enum halt halt;
        size_t moved, used;
        int64_t skipped;
        struct bcda_batch *spare, *made;
        int has_more, no_memory;
        int64_t peek_ns, take_ns, spool_ns;
    } slice;
};

static struct bcda__pipe *pipe_of_task(struct bcda__task *t)
{
    return (struct bcda__pipe *)(void *)t;
}

static void lock_pipe(struct bcda__pipe *p)
{
    if (p->workers)
        bcda__workers_lock(p->workers);
}

static void unlock_pipe(struct bcda__pipe *p)
{
    if (p->workers)
        bcda__workers_unlock(p->workers);
}

static int has_place_for_batch(const struct bcda__pipe *p)
{
    return !p->no_memory && p->finished_count < (p->workers ? FINISHED : 1);
}

static int can_run_slice(const struct bcda__pipe *p)
{
    return (p->source || p->has_more) && p->halt == HALT_NONE && has_place_for_batch(p);
}

static int is_pipe_at_rest(const struct bcda__pipe *p)
{
    return !p->workers || bcda__task_is_at_rest(&p->task);
}

/* ---- a slice ---- */

static void begin_slice(struct bcda__task *t)
{
    struct bcda__pipe *p = pipe_of_task(t);

    memset(&p->slice, 0, sizeof p->slice);
    p->slice.spare = p->spare_count ? p->spare[--p->spare_count] : NULL;
    p->slice.has_more = p->has_more;
}

static void add_lap(int64_t *since, int64_t *sum)
{
    int64_t now = bcda__clock_ns();

    *sum += now - *since;
    *since = now;
}

static enum bcda__source_state peek_source(struct bcda__pipe *p, const uint8_t **data, size_t *len)
{
    int64_t since = bcda__clock_ns(), before;
    enum bcda__source_state state;

    *data = (const uint8_t *)"";
    *len = 0;
    if (!p->source)
        return BCDA__SOURCE_EMPTY;
    before = p->source->skipped;
    state = p->source->peek(p->source, data, len, &p->err);
    p->slice.skipped += p->source->skipped - before;
    p->slice.moved += (size_t)(p->source->skipped - before);
    add_lap(&since, &p->slice.peek_ns);
    if (!*len)
        *data = (const uint8_t *)"";
    return state;
}

/* Removes bytes from the source after the decoder has used them, and adds them to the spool.
 * Returns 0 or an error code. */
static int take_from_source(struct bcda__pipe *p, const uint8_t *data, size_t used)
{
    int64_t since = bcda__clock_ns();
    int rc = 0;

    if (!used)
        return 0;
    if (p->spool) {
        rc = bcda__spool_add(p->spool, data, used, &p->err);
        add_lap(&since, &p->slice.spool_ns);
    }
    p->source->take(p->source, data, used);
    p->slice.used += used;
    p->slice.moved += used;
    add_lap(&since, &p->slice.take_ns);
    return rc;
}

static enum halt halt_of_state(enum bcda__source_state state)
{
    static const enum halt halts[] = {
        [BCDA__SOURCE_BYTES] = HALT_NONE,    [BCDA__SOURCE_EMPTY] = HALT_EMPTY,
        [BCDA__SOURCE_OVER] = HALT_OVER,     [BCDA__SOURCE_REPEAT] = HALT_REPEAT,
        [BCDA__SOURCE_FAILED] = HALT_FAILED,
    };

    return halts[state];
}

/* Decodes one run of the source's bytes. Each run is decoded before the next is read, while it is
 * still in the processor's cache. Bytes that the decoder still holds are decoded even if the source
 * has none. */
static enum halt run_piece(struct bcda__pipe *p)
{
    const uint8_t *data;
    size_t len, used, left;
    enum bcda__source_state state = peek_source(p, &data, &len);
    int rc, failed;

    if (state == BCDA__SOURCE_FAILED || (!len && !p->slice.has_more))
        return halt_of_state(state);
    left = p->slice.moved < BCDA__SLICE_BYTES ? BCDA__SLICE_BYTES - p->slice.moved : 1;
    rc = bcda__decoder_write(p->decoder, data, len < left ? len : left, &used, &p->err);
    p->slice.has_more = !rc && bcda__decoder_is_full(p->decoder);
    failed = take_from_source(p, data, used) || rc;
    if (failed)
        return HALT_FAILED;
    return p->slice.has_more ? HALT_NONE : halt_of_state(state);
}

static void run_slice(struct bcda__task *t)
{
    struct bcda__pipe *p = pipe_of_task(t);

    bcda__decoder_give_back(p->decoder, p->slice.spare);
    while (!p->slice.halt && p->slice.moved < BCDA__SLICE_BYTES &&
           !bcda__decoder_is_full(p->decoder))
        p->slice.halt = run_piece(p);
    if (p->slice.halt != HALT_FAILED && bcda__decoder_is_full(p->decoder))
        p->slice.no_memory = bcda__decoder_take(p->decoder, &p->slice.made) != 0;
}

static void add_slice_to_sums(struct bcda__pipe *p)
{
    p->sums.used += (int64_t)p->slice.used;
    p->sums.skipped += p->slice.skipped;
    p->sums.decoded = bcda__decoder_bytes(p->decoder);
    p->sums.peek_ns += p->slice.peek_ns;
    p->sums.take_ns += p->slice.take_ns;
    p->sums.spool_ns += p->slice.spool_ns;
    bcda__decoder_take_spent(p->decoder, &p->sums.decoder);
}

static int end_slice(struct bcda__task *t)
{
    struct bcda__pipe *p = pipe_of_task(t);
    int more;

    add_slice_to_sums(p);
    p->halt = p->slice.halt;
    p->has_more = p->slice.has_more;
    p->no_memory = p->slice.no_memory;
    if (p->slice.made)
        p->finished[p->finished_count++] = p->slice.made;
    more = can_run_slice(p);
    p->was_busy |= !more && p->halt == HALT_NONE;
    return (p->slice.made || !more ? BCDA__TASK_REPORT : 0) | (more ? BCDA__TASK_MORE : 0);
}

static void notify_of_slice(struct bcda__task *t)
{
    struct bcda__pipe *p = pipe_of_task(t);

    p->notify(p->ctx); /* the callback may have freed the pipe */
}

static const struct bcda__task_kind slice_kind = {begin_slice, run_slice, end_slice,
                                                  notify_of_slice};

/* To be called with the lock held. */
static void schedule_slice(struct bcda__pipe *p)
{
    if (p->workers && can_run_slice(p))
        bcda__task_schedule(p->workers, &p->task);
}

size_t bcda__pipe_run(struct bcda__pipe *p)
{
    if (p->workers) {
        lock_pipe(p);
        schedule_slice(p);
        unlock_pipe(p);
        return 0;
    }
    if (!can_run_slice(p))
        return 0;
    begin_slice(&p->task);
    run_slice(&p->task);
    (void)end_slice(&p->task);
    return p->slice.moved;
}

/* ---- creation and end ---- */

int bcda__pipe_new(struct bcda__pipe **out, struct bcda__workers *workers,
                   struct bcda__spool *spool, const struct bcda__decoder_options *o,
                   void (*notify)(void *ctx), void *ctx, struct bcda_error *err)
{
    struct bcda__pipe *p = bcda__calloc(1, sizeof *p);
    int rc;

    if (!p)
        return bcda__err_nomem(err);
    rc = bcda__decoder_new(&p->decoder, o, err);
    if (rc) {
        bcda__free(p);
        return rc;
    }
    bcda__err_clear(&p->err);
    p->task.kind = &slice_kind;
    p->workers = workers;
    p->spool = spool;
    p->batch_size = o->batch_size;
    p->notify = notify;
    p->ctx = ctx;
    *out = p;
    return 0;
}

static void drop_finished_batches(struct bcda__pipe *p)
{
    while (p->finished_count > 0)
        bcda_batch_unref(p->finished[--p->finished_count]);
}

void bcda__pipe_free(struct bcda__pipe *p)
{
    if (!p || (p->workers && bcda__task_leave(p->workers, &p->task)))
        return;
    drop_finished_batches(p);
    while (p->spare_count > 0)
        bcda_batch_unref(p->spare[--p->spare_count]);
    bcda__decoder_free(p->decoder);
    bcda__err_forget(&p->err);
    bcda__free(p);
}

int bcda__pipe_is_inline(const struct bcda__pipe *p)
{
    return !p->workers;
}

/* ---- the source ---- */

/* To be called with the lock held and the task at rest. When a source ends, the decoder stays open,
 * because another source may continue the file. */
static void set_source(struct bcda__pipe *p, struct bcda__source *source)
{
    p->source = source;
    p->was_busy = 0;
    /* While there is a source, the session's thread may run slices too. */
    p->task.shared = source != NULL;
    if (p->halt != HALT_FAILED)
        p->halt = HALT_NONE;
    schedule_slice(p);
}

void bcda__pipe_connect(struct bcda__pipe *p, struct bcda__source *source)
{
    lock_pipe(p);
    set_source(p, source);
    unlock_pipe(p);
}

int bcda__pipe_disconnect(struct bcda__pipe *p)
{
    int lost = 0;

    if (!p->source)
        return 0;
    lock_pipe(p);
    if (p->workers) {
        bcda__task_stop(p->workers, &p->task);
        /* true in a child of fork() only: a worker of the parent was running the task */
        lost = bcda__task_is_running(&p->task);
    }
    set_source(p, NULL);
    unlock_pipe(p);
    return lost;
}

void bcda__pipe_wake(struct bcda__pipe *p)
{
    lock_pipe(p);
    if (p->halt == HALT_EMPTY)
        p->halt = HALT_NONE;
    schedule_slice(p);
    unlock_pipe(p);
}

/* ---- state ---- */

static enum bcda__pipe_state find_pipe_state(const struct bcda__pipe *p)
{
    static const enum bcda__pipe_state states[] = {
        [HALT_NONE] = BCDA__PIPE_READY,    [HALT_EMPTY] = BCDA__PIPE_EMPTY,
        [HALT_OVER] = BCDA__PIPE_OVER,     [HALT_REPEAT] = BCDA__PIPE_REPEAT,
        [HALT_FAILED] = BCDA__PIPE_FAILED,
    };

    if (!is_pipe_at_rest(p))
        return BCDA__PIPE_BUSY;
    if (!has_place_for_batch(p))
        return BCDA__PIPE_FULL;
    if (p->halt == HALT_NONE && !p->source && !p->has_more)
        return BCDA__PIPE_IDLE;
    return states[p->halt];
}

enum bcda__pipe_state bcda__pipe_state(struct bcda__pipe *p)
{
    enum bcda__pipe_state state;

    lock_pipe(p);
    state = find_pipe_state(p);
    unlock_pipe(p);
    return state;
}

int bcda__pipe_was_busy(struct bcda__pipe *p)
{
    int busy;

    lock_pipe(p);
    busy = p->was_busy || p->halt != HALT_EMPTY;
    p->was_busy = 0;
    unlock_pipe(p);
    return busy;
}

int bcda__pipe_error(const struct bcda__pipe *p, struct bcda_error *err)
{
    bcda__err_copy(err, &p->err);
    return err->code;
}

/* ---- batches ---- */

/* Whether the next batch to take is the one that the decoder is filling: no slice runs or is
 * queued, and no finished batch waits. */
static int is_decoder_next(const struct bcda__pipe *p)
{
    return is_pipe_at_rest(p) && p->finished_count == 0;
}

int bcda__pipe_has_batch(struct bcda__pipe *p, int partly)
{
    int any;

    lock_pipe(p);
    any = p->finished_count > 0 ||
          (is_decoder_next(p) && (p->no_memory || partly) && bcda__decoder_has_batch(p->decoder));
    unlock_pipe(p);
    return any;
}

static int take_from_decoder(struct bcda__pipe *p, struct bcda_batch **out)
{
    int rc;

    if (!is_decoder_next(p))
        return BCDA_ERR_END;
    if (p->spare_count > 0)
        bcda__decoder_give_back(p->decoder, p->spare[--p->spare_count]);
    rc = bcda__decoder_take(p->decoder, out);
    if (!rc)
        p->no_memory = 0;
    return rc;
}

int bcda__pipe_take(struct bcda__pipe *p, struct bcda_batch **out)
{
    int rc = 0;

    lock_pipe(p);
    if (p->finished_count > 0) {
        *out = p->finished[0];
        memmove(p->finished, p->finished + 1, (size_t)--p->finished_count * sizeof p->finished[0]);
    } else {
        rc = take_from_decoder(p, out);
    }
    schedule_slice(p);
    unlock_pipe(p);
    return rc;
}

void bcda__pipe_give_back(struct bcda__pipe *p, struct bcda_batch *b)
{
    if (bcda__batch_is_shared(b) || b->cap > p->batch_size) {
        /* This batch is not reused: the application keeps it, or a long line has made it larger. */
        bcda_batch_unref(b);
        return;
    }
    bcda__batch_clear(b);
    lock_pipe(p);
    if (p->spare_count < SPARES) {
        p->spare[p->spare_count++] = b;
        b = NULL;
    }
    unlock_pipe(p);
    bcda_batch_unref(b);
}

/* ---- the end of the file ---- */

int bcda__pipe_finish(struct bcda__pipe *p, struct bcda_error *err)
{
    return bcda__decoder_finish(p->decoder, err);
}

int bcda__pipe_end_at(struct bcda__pipe *p, int64_t at)
{
    return bcda__decoder_end_at(p->decoder, at);
}

int bcda__pipe_refuse_line(struct bcda__pipe *p, const struct bcda_error *err)
{
    int rc = err->code;

    lock_pipe(p);
    if (p->workers)
        bcda__task_stop(p->workers, &p->task);
    if (is_pipe_at_rest(p)) { /* always true, except in a child of fork() */
        drop_finished_batches(p);
        rc = bcda__decoder_refuse_line(p->decoder, err);
        p->no_memory = 0;
        if (!rc)
            schedule_slice(p);
    }
    unlock_pipe(p);
    return rc;
}

int bcda__pipe_refused_line(struct bcda__pipe *p, struct bcda_error *err)
{
    return bcda__decoder_refused_line(p->decoder, err);
}

/* ---- sums ---- */

void bcda__pipe_get_sums(struct bcda__pipe *p, struct bcda__pipe_sums *out)
{
    lock_pipe(p);
    /* bcda__pipe_finish() also decodes, outside of any slice. Its sums are added here. */
    if (is_pipe_at_rest(p)) {
        p->sums.decoded = bcda__decoder_bytes(p->decoder);
        bcda__decoder_take_spent(p->decoder, &p->sums.decoder);
    }
    *out = p->sums;
    unlock_pipe(p);
}
