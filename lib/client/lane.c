#include "client/lane.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"
#include "client/workers.h"

enum {
    INPUT = 256 * 1024, /* bytes that wait for a worker */
    SLICE = 64 * 1024,  /* of them, what one slice takes at most; it also ends with a full batch */
    READ = 256 * 1024,  /* the same of a source: what was read at once is done with at once */
    FINISHED = 2,       /* batches that wait for the session */
    SPARES = 2,         /* batches to be filled again */
};

struct bcda__lane {
    struct bcda__task task; /* first: a task of this kind is a lane */
    struct bcda__workers *workers;
    struct bcda__decoder *decoder; /* of the session's thread at rest, of the worker in a slice */
    size_t batch_size;
    void (*news)(void *ctx);
    void *ctx;

    /* Under the lock, but for the bytes themselves: the session writes only behind the last, a
     * worker reads only from the first on. */
    uint8_t *input; /* a ring */
    size_t at, len;
    struct bcda_batch *finished[FINISHED]; /* the oldest first */
    int finished_count;
    struct bcda_batch *spare[SPARES];
    int spare_count;
    int inside;    /* behind a full batch the decoder holds more, without more bytes */
    int failed;    /* the decoder has: it is not run any more */
    int stuck;     /* there was no memory to take its full batch: the session tries again */
    int asked;     /* the session waits for the end of a slice */
    int told_rest; /* it knows that a batch is partly filled */
    int64_t bytes; /* decoded */
    struct bcda__lane_spent spent; /* by workers, not taken yet */

    struct bcda__source source; /* `read` NULL = none */
    int dry;                    /* nothing waited there */
    int64_t taken;              /* from it */
    int held;                   /* see bcda__lane_was_held() */

    struct { /* the slice at hand */
        int from_source, dry;
        int64_t read_ns, took_ns;
        size_t len, used;
        struct bcda_batch *spare, *made;
        int rc, full, stuck;
    } slice;
};

static struct bcda__lane *lane_of(struct bcda__task *t)
{
    return (struct bcda__lane *)(void *)t;
}

/* ---- a slice ---- */

static int has_source(const struct bcda__lane *l)
{
    return l->source.read && !l->dry;
}

static int has_work(const struct bcda__lane *l)
{
    return (l->len > 0 || l->inside || has_source(l)) && l->finished_count < FINISHED &&
           !l->failed && !l->stuck;
}

static void begin(struct bcda__task *t)
{
    struct bcda__lane *l = lane_of(t);
    size_t run = INPUT - l->at < l->len ? INPUT - l->at : l->len;

    l->slice.len = run < SLICE ? run : SLICE;
    l->slice.from_source = l->len == 0 && has_source(l);
    l->slice.dry = 0;
    l->slice.read_ns = l->slice.took_ns = 0;
    l->slice.spare = l->spare_count ? l->spare[--l->spare_count] : NULL;
    l->slice.made = NULL;
    l->slice.stuck = 0;
}

/* A piece of the source goes through the decoder. How many bytes there were. */
static size_t run_piece(struct bcda__lane *l, size_t most)
{
    int64_t began = bcda__clock_ns(), read, decoded;
    struct bcda_error err;
    const uint8_t *data;
    size_t used = 0, len = l->source.read(l->source.ctx, &data);

    read = bcda__clock_ns();
    if (len || l->inside)
        l->slice.rc = bcda__decoder_write(l->decoder, len ? data : (const uint8_t *)"",
                                          len < most ? len : most, &used, &err);
    decoded = bcda__clock_ns();
    if (used)
        l->source.took(l->source.ctx, data, used);
    l->slice.used += used;
    l->slice.read_ns += read - began;
    l->slice.took_ns += bcda__clock_ns() - decoded;
    return len;
}

/* Each piece is done with before the next is read: it still lies in the cache then. */
static void run_source(struct bcda__lane *l)
{
    l->slice.used = 0;
    l->slice.rc = 0;
    while (!l->slice.dry && l->slice.used < READ && !l->slice.rc &&
           !bcda__decoder_is_full(l->decoder))
        l->slice.dry = run_piece(l, READ - l->slice.used) == 0;
}

static void run(struct bcda__task *t)
{
    struct bcda__lane *l = lane_of(t);
    struct bcda_error err; /* the decoder keeps its failure, and tells it again when asked */

    bcda__decoder_give_back(l->decoder, l->slice.spare);
    if (l->slice.from_source)
        run_source(l);
    else
        l->slice.rc =
            bcda__decoder_write(l->decoder, l->input + l->at, l->slice.len, &l->slice.used, &err);
    l->slice.full = !l->slice.rc && bcda__decoder_is_full(l->decoder);
    if (l->slice.full)
        l->slice.stuck = bcda__decoder_take(l->decoder, &l->slice.made) != 0;
}

/* A lane that rests with less than a batch is told of, once: the batch must not wait for ever. */
static int tells_rest(struct bcda__lane *l)
{
    if (l->len > 0 || l->inside || l->source.read || l->told_rest ||
        !bcda__decoder_has_batch(l->decoder))
        return 0;
    l->told_rest = 1;
    return 1;
}

/* What the slice has taken is gone from where it came from. */
static void end_bytes(struct bcda__lane *l)
{
    if (l->slice.from_source) {
        l->taken += (int64_t)l->slice.used;
        l->dry = l->slice.dry;
        l->spent.read += l->slice.read_ns;
        l->spent.took += l->slice.took_ns;
    } else {
        l->at = (l->at + l->slice.used) % INPUT;
        l->len -= l->slice.used;
    }
    l->bytes = bcda__decoder_bytes(l->decoder);
    bcda__decoder_take_spent(l->decoder, &l->spent.decoder);
}

static int is_dry_at_rest(const struct bcda__lane *l)
{
    return l->slice.dry || (l->source.read && l->dry && !has_work(l));
}

static int end(struct bcda__task *t)
{
    struct bcda__lane *l = lane_of(t);
    int what = 0;

    end_bytes(l);
    l->inside = l->slice.full;
    l->failed = l->slice.rc != 0;
    l->stuck = l->slice.stuck;
    if (l->slice.made) {
        l->finished[l->finished_count++] = l->slice.made;
        l->told_rest = 0;
    }
    if (l->source.read && !l->dry && !has_work(l))
        l->held = 1;
    /* Also where an earlier slice has found the source dry, and this one decoded what was inside:
     * the session may have looked while this one was under way. */
    if (l->slice.made || l->failed || l->stuck || l->asked || is_dry_at_rest(l) || tells_rest(l))
        what |= BCDA__TASK_NEWS;
    l->asked = 0;
    return what | (has_work(l) ? BCDA__TASK_MORE : 0);
}

static void tell(struct bcda__task *t)
{
    struct bcda__lane *l = lane_of(t);

    l->news(l->ctx); /* the lane may be gone now */
}

static const struct bcda__task_kind decoding = {begin, run, end, tell};

/* ---- making ---- */

int bcda__lane_new(struct bcda__lane **out, struct bcda__workers *workers,
                   const struct bcda__decoder_options *o, void (*news)(void *ctx), void *ctx,
                   struct bcda_error *err)
{
    struct bcda__lane *l = bcda__calloc(1, sizeof *l);
    int rc;

    if (!l)
        return bcda__err_nomem(err);
    l->task.kind = &decoding;
    l->workers = workers;
    l->batch_size = o->batch_size;
    l->news = news;
    l->ctx = ctx;
    rc = bcda__decoder_new(&l->decoder, o, err);
    if (!rc && workers && !(l->input = bcda__alloc(INPUT)))
        rc = bcda__err_nomem(err);
    if (rc) {
        bcda__decoder_free(l->decoder);
        bcda__free(l);
        return rc;
    }
    *out = l;
    return 0;
}

static void drop_finished(struct bcda__lane *l)
{
    while (l->finished_count > 0)
        bcda_batch_unref(l->finished[--l->finished_count]);
}

void bcda__lane_free(struct bcda__lane *l)
{
    if (!l || (l->workers && bcda__task_leave(l->workers, &l->task)))
        return;
    drop_finished(l);
    while (l->spare_count > 0)
        bcda_batch_unref(l->spare[--l->spare_count]);
    bcda__decoder_free(l->decoder);
    if (l->input)
        bcda__wipe(l->input, INPUT); /* of a plain file: patient data */
    bcda__free(l->input);
    bcda__free(l);
}

int bcda__lane_is_inline(const struct bcda__lane *l)
{
    return !l->workers;
}

/* ---- bytes in ---- */

static void schedule(struct bcda__lane *l)
{
    if (has_work(l))
        bcda__task_schedule(l->workers, &l->task);
}

/* At rest, with nothing waiting to be taken: then the decoder itself is asked. */
static int is_bare(const struct bcda__lane *l)
{
    return bcda__task_is_at_rest(&l->task) && l->finished_count == 0;
}

/* Into the free part of the ring, which no worker looks at. */
static void put(struct bcda__lane *l, size_t from, const uint8_t *data, size_t len)
{
    size_t first = INPUT - from < len ? INPUT - from : len;

    memcpy(l->input + from, data, first);
    if (len > first)
        memcpy(l->input, data + first, len - first);
}

/* What was asked for cannot be had before a slice is done. */
static void wait_for_slice(struct bcda__lane *l)
{
    l->asked = 1;
    bcda__task_starve(l->workers, &l->task);
}

static size_t put_some(struct bcda__lane *l, const uint8_t *data, size_t len)
{
    size_t from, n;

    bcda__workers_lock(l->workers);
    from = (l->at + l->len) % INPUT;
    n = INPUT - l->len < len ? INPUT - l->len : len;
    bcda__workers_unlock(l->workers);
    put(l, from, data, n); /* meanwhile the free part can only have grown */
    bcda__workers_lock(l->workers);
    l->len += n;
    schedule(l);
    if (n < len)
        wait_for_slice(l);
    bcda__workers_unlock(l->workers);
    return n;
}

int bcda__lane_write(struct bcda__lane *l, const void *data, size_t len, size_t *used,
                     struct bcda_error *err)
{
    int rc;

    if (!l->workers)
        return bcda__decoder_write(l->decoder, data, len, used, err);
    *used = 0;
    rc = bcda__lane_check(l, err);
    if (!rc)
        *used = put_some(l, data, len);
    return rc;
}

int bcda__lane_has_room(struct bcda__lane *l)
{
    int room;

    if (!l->workers)
        return 1;
    bcda__workers_lock(l->workers);
    room = l->len < INPUT;
    if (!room)
        wait_for_slice(l);
    bcda__workers_unlock(l->workers);
    return room;
}

int bcda__lane_check(struct bcda__lane *l, struct bcda_error *err)
{
    size_t used;
    int failed;

    if (!l->workers)
        return 0;
    bcda__workers_lock(l->workers);
    failed = l->failed && is_bare(l);
    bcda__workers_unlock(l->workers);
    return failed ? bcda__decoder_write(l->decoder, "", 0, &used, err) : 0;
}

int bcda__lane_is_drained(struct bcda__lane *l)
{
    int drained;

    if (!l->workers)
        return 1;
    bcda__workers_lock(l->workers);
    drained = is_bare(l) && ((l->len == 0 && !l->inside) || l->failed || l->stuck);
    if (!drained)
        wait_for_slice(l);
    bcda__workers_unlock(l->workers);
    return drained;
}

int bcda__lane_finish(struct bcda__lane *l, struct bcda_error *err)
{
    return bcda__decoder_finish(l->decoder, err);
}

int bcda__lane_end_at(struct bcda__lane *l, int64_t at)
{
    return bcda__decoder_end_at(l->decoder, at);
}

/* ---- a source ---- */

void bcda__lane_lend(struct bcda__lane *l, const struct bcda__source *source)
{
    bcda__workers_lock(l->workers);
    l->source = *source;
    l->dry = l->held = 0;
    l->task.shared = 1; /* the session has little else to do while workers read as well */
    schedule(l);
    bcda__workers_unlock(l->workers);
}

int bcda__lane_is_dry(struct bcda__lane *l)
{
    int dry;

    bcda__workers_lock(l->workers);
    dry = l->source.read && l->dry && bcda__task_is_at_rest(&l->task);
    bcda__workers_unlock(l->workers);
    return dry;
}

void bcda__lane_go_on(struct bcda__lane *l)
{
    bcda__workers_lock(l->workers);
    l->dry = 0;
    schedule(l);
    bcda__workers_unlock(l->workers);
}

int64_t bcda__lane_taken(struct bcda__lane *l)
{
    int64_t taken;

    bcda__workers_lock(l->workers);
    taken = l->taken;
    bcda__workers_unlock(l->workers);
    return taken;
}

int bcda__lane_was_held(struct bcda__lane *l)
{
    int held;

    bcda__workers_lock(l->workers);
    held = l->held || !l->dry; /* somebody is at it, or waits for his turn */
    l->held = 0;
    bcda__workers_unlock(l->workers);
    return held;
}

int bcda__lane_reclaim(struct bcda__lane *l)
{
    int lost;

    bcda__workers_lock(l->workers);
    bcda__task_stop(l->workers, &l->task);
    lost = bcda__task_is_running(&l->task); /* never, but in a child */
    memset(&l->source, 0, sizeof l->source);
    l->task.shared = l->dry = 0;
    schedule(l);
    bcda__workers_unlock(l->workers);
    return lost;
}

/* ---- batches out ---- */

int bcda__lane_is_full(struct bcda__lane *l)
{
    int full;

    if (!l->workers)
        return bcda__decoder_is_full(l->decoder);
    bcda__workers_lock(l->workers);
    full = l->finished_count > 0 || (is_bare(l) && bcda__decoder_is_full(l->decoder));
    bcda__workers_unlock(l->workers);
    return full;
}

int bcda__lane_has_batch(struct bcda__lane *l)
{
    int any;

    if (!l->workers)
        return bcda__decoder_has_batch(l->decoder);
    bcda__workers_lock(l->workers);
    any = l->finished_count > 0 || (is_bare(l) && bcda__decoder_has_batch(l->decoder));
    if (!any)
        l->told_rest = 0;
    bcda__workers_unlock(l->workers);
    return any;
}

static void pop(struct bcda__lane *l, struct bcda_batch **out)
{
    *out = l->finished[0];
    memmove(l->finished, l->finished + 1, (size_t)--l->finished_count * sizeof l->finished[0]);
}

/* At rest the decoder is ours: what it has, full or not. */
static int take_rest(struct bcda__lane *l, struct bcda_batch **out)
{
    int rc;

    if (l->spare_count > 0)
        bcda__decoder_give_back(l->decoder, l->spare[--l->spare_count]);
    rc = bcda__decoder_take(l->decoder, out);
    if (!rc)
        l->stuck = l->told_rest = 0;
    return rc;
}

int bcda__lane_take(struct bcda__lane *l, struct bcda_batch **out)
{
    int rc = 0;

    if (!l->workers)
        return bcda__decoder_take(l->decoder, out);
    bcda__workers_lock(l->workers);
    if (l->finished_count > 0)
        pop(l, out);
    else
        rc = is_bare(l) ? take_rest(l, out) : BCDA_ERR_END;
    schedule(l);
    bcda__workers_unlock(l->workers);
    return rc;
}

void bcda__lane_give_back(struct bcda__lane *l, struct bcda_batch *b)
{
    if (!l->workers) {
        bcda__decoder_give_back(l->decoder, b);
        return;
    }
    if (bcda__batch_is_shared(b) || b->cap > l->batch_size) {
        bcda_batch_unref(b); /* held by the host, or grown by a long line */
        return;
    }
    bcda__batch_clear(b);
    bcda__workers_lock(l->workers);
    if (l->spare_count < SPARES) {
        l->spare[l->spare_count++] = b;
        b = NULL;
    }
    bcda__workers_unlock(l->workers);
    bcda_batch_unref(b);
}

/* ---- the rest ---- */

void bcda__lane_condemn(struct bcda__lane *l)
{
    if (!l->workers) {
        bcda__decoder_condemn(l->decoder);
        return;
    }
    bcda__workers_lock(l->workers);
    bcda__task_stop(l->workers, &l->task);
    if (bcda__task_is_at_rest(&l->task)) { /* always, but in a child */
        drop_finished(l);
        bcda__decoder_condemn(l->decoder);
        l->stuck = 0;
        schedule(l);
    }
    bcda__workers_unlock(l->workers);
}

int bcda__lane_verifies(const struct bcda__lane *l)
{
    return bcda__decoder_verifies(l->decoder); /* settled when it was made */
}

int64_t bcda__lane_bytes(struct bcda__lane *l)
{
    int64_t bytes;

    if (!l->workers)
        return bcda__decoder_bytes(l->decoder);
    bcda__workers_lock(l->workers);
    bytes = bcda__task_is_at_rest(&l->task) ? bcda__decoder_bytes(l->decoder) : l->bytes;
    bcda__workers_unlock(l->workers);
    return bytes;
}

void bcda__lane_take_spent(struct bcda__lane *l, struct bcda__lane_spent *sum)
{
    if (l->workers)
        bcda__workers_lock(l->workers);
    *sum = l->spent;
    memset(&l->spent, 0, sizeof l->spent);
    if (!l->workers || bcda__task_is_at_rest(&l->task))
        bcda__decoder_take_spent(l->decoder, &sum->decoder);
    if (l->workers)
        bcda__workers_unlock(l->workers);
}
