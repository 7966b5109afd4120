#include "client/download.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/transition.h"
#include "client/call.h"
#include "client/deliver.h"
#include "client/intake.h"
#include "client/origin.h"
#include "client/pipe.h"
#include "client/spool.h"
#include "client/unwrap.h"
#include "codec/deletion_list.h"

enum { LABEL = 160 };

/* The phase of a download (doc/design.md). Most phases have a function of their own below. */
enum phase {
    OPENING_KEY, /* the file's key is being decrypted; nothing is requested yet */
    RECEIVING,   /* an HTTP request (client/call.h) receives the bytes */
    VERIFYING,   /* all bytes have arrived: the whole file is checked */
    REPLAYING,   /* verified delivery: the file is read from the spool and delivered */
    /* The file succeeded, or failed with the error `err`. Data that was decoded before is still
     * delivered. */
    CLOSING,
};

struct bcda__download {
    struct bcda__downloads *set; /* the set that contains this download */
    struct bcda_file *file;
    char label[LABEL]; /* "job 42, file 3 (Patient)", for log lines */
    struct bcda__download *prev, *next;
    int is_to_advance; /* bcda__downloads_advance() still has to continue this download */

    enum phase phase;
    struct bcda_error err;   /* why the file failed; code 0 = the file has not failed */
    struct bcda__secret key; /* key of the file; unset = the file is not encrypted */
    /* the decryption of the file's key on a worker; NULL = none is running */
    struct bcda__unwrap *unwrap;
    struct bcda__expected expected;
    const struct bcda__coding *coding; /* compression of the stored file; NULL = none */

    struct bcda__call *call;
    struct bcda__intake intake;
    struct bcda__spool *spool; /* for verified delivery; NULL = streaming delivery */
    /* Created when the head of the first response arrives, and created again to read the spool. */
    struct bcda__pipe *pipe;
    int replays; /* the pipe reads the spool */
    struct bcda__pipe_sums counted;
    /* The most stored bytes that any attempt has received. Only more bytes than that are
     * progress. */
    int64_t furthest;

    /* Runs the next slice of a replay, and work that a step leaves to the next step. */
    struct bcda__timer next_slice;
    /* Delivers a batch that is not full, after BCDA_OPT_BATCH_DELAY_MS. */
    struct bcda__timer flush;
    struct bcda_batch *batch; /* a batch that is being delivered, or waits to be pulled */
    struct bcda__cursor cursor;
    int delivered; /* the application has received data of the file */
};

static void continue_download(struct bcda__download *d);
static void on_next_slice(void *ctx);
static enum bcda__call_answer take_bytes(struct bcda__download *d);
static int open_call(struct bcda__download *d);

/* The only function that changes `d->phase`. */
static void change_phase(struct bcda__download *d, enum phase to)
{
    static const char *const names[] = {"OPENING_KEY", "RECEIVING", "VERIFYING", "REPLAYING",
                                        "CLOSING"};

    if (d->phase != to)
        BCDA__TRANSITION("download", names[d->phase], names[to]);
    d->phase = to;
}

/* ---- log lines ---- */

/* Names a file by its number and type in the manifest. The URL is not used, because it may contain
 * a secret. */
static void label_file(const char *job, const struct bcda_file *f, char out[LABEL])
{
    const char *type = bcda__type_for_log(f->entry->type, "");

    snprintf(out, LABEL, type[0] ? "%s, file %zu (%s)" : "%s, file %zu%s", job, f->index, type);
}

/* ---- leaving the list ---- */

static void unlink_download(struct bcda__download *d)
{
    if (d->prev)
        d->prev->next = d->next;
    else
        d->set->first = d->next;
    if (d->next)
        d->next->prev = d->prev;
    d->set->open--;
}

/* ---- sums ---- */

/* Adds the time since `began` to a statistic. */
static void add_time(struct bcda__download *d, int stat, int64_t began)
{
    d->set->cx->stat[stat] += bcda__clock_ns() - began;
}

static void count(struct bcda__download *d, enum bcda__sum sum, int64_t n)
{
    if (n)
        d->set->count(d->set->job, d->file, sum, n);
}

/* With workers, the time of the source's peek() is spent reading from the network. Without workers
 * ("inline"), the engine has already read the bytes, and peek() only compares hashes. */
static void count_work(struct bcda__download *d, const struct bcda__pipe_sums *now)
{
    const struct bcda__pipe_sums *old = &d->counted;
    int64_t *stat = d->set->cx->stat;
    int reads = bcda__pipe_is_inline(d->pipe) ? BCDA_STAT_HASH_NS : BCDA_STAT_TRANSPORT_NS;

    stat[d->replays ? BCDA_STAT_SPOOL_NS : reads] += now->peek_ns - old->peek_ns;
    stat[d->replays ? BCDA_STAT_SPOOL_NS : BCDA_STAT_HASH_NS] += now->take_ns - old->take_ns;
    stat[BCDA_STAT_SPOOL_NS] += now->spool_ns - old->spool_ns;
    stat[BCDA_STAT_INFLATE_NS] += now->decoder.inflate - old->decoder.inflate;
    stat[BCDA_STAT_DECRYPT_NS] += now->decoder.decrypt - old->decoder.decrypt;
    stat[BCDA_STAT_PARSE_NS] += now->decoder.parse - old->decoder.parse;
    stat[BCDA_STAT_YAJL_LINES] += now->decoder.yajl_lines - old->decoder.yajl_lines;
    count(d, BCDA__SUM_BAD_LINES, now->decoder.confirmed_bad - old->decoder.confirmed_bad);
}

/* Counts new bytes of the stored file, and the bytes decoded from them. More bytes than ever before
 * are progress. */
static void add_bytes(struct bcda__download *d, int64_t received, int64_t decoded)
{
    count(d, BCDA__SUM_RECEIVED, received);
    count(d, BCDA__SUM_BYTES, decoded);
    if (d->file->sum[BCDA__SUM_RECEIVED] > d->furthest) {
        d->furthest = d->file->sum[BCDA__SUM_RECEIVED];
        if (d->call)
            bcda__call_progress(d->call);
    }
}

/* Adds to all sums what the pipe has done since the last call. Bytes from a spool are not counted,
 * because they were counted when they were received. */
static void update_sums(struct bcda__download *d)
{
    struct bcda__pipe_sums now;
    int64_t used, decoded, skipped;

    if (!d->pipe)
        return;
    bcda__pipe_get_sums(d->pipe, &now);
    count_work(d, &now);
    used = now.used - d->counted.used;
    decoded = now.decoded - d->counted.decoded;
    skipped = now.skipped - d->counted.skipped;
    d->counted = now;
    if (d->replays || !(used || decoded || skipped))
        return;
    if (d->call)
        bcda__call_took(d->call, used + skipped);
    add_bytes(d, used, decoded);
}

static void stop_network(struct bcda__download *d)
{
    bcda__call_free(d->call);
    d->call = NULL;
}

static void drop_pipe(struct bcda__download *d)
{
    if (!d->set->cx->forked)
        update_sums(d);
    bcda__pipe_free(d->pipe);
    d->pipe = NULL;
    memset(&d->counted, 0, sizeof d->counted);
}

static void free_download(struct bcda__download *d)
{
    stop_network(d);
    bcda__unwrap_free(d->unwrap);
    bcda__timer_clear(&d->flush);
    drop_pipe(d);
    bcda__intake_free(&d->intake);
    bcda__spool_free(d->spool);
    bcda__timer_clear(&d->next_slice);
    bcda_batch_unref(d->batch);
    bcda__secret_free(&d->key);
    bcda__err_forget(&d->err);
    bcda__free(d);
}

static void set_verdict(struct bcda__download *d)
{
    struct bcda_file *f = d->file;

    if (!d->err.code) {
        f->verdict =
            f->sum[BCDA__SUM_BAD_LINES] ? BCDA_VERDICT_COMPLETE_BAD_LINES : BCDA_VERDICT_COMPLETE;
        return;
    }
    if (!d->err.file[0])
        bcda__text_show(d->err.file, sizeof d->err.file, f->entry->name);
    f->verdict = BCDA_VERDICT_FAILED;
    f->error = bcda_error_ref(&d->err); /* bcda_error_ref() copies d->err */
}

static void log_verdict(const struct bcda__downloads *set, const struct bcda_file *f)
{
    const struct bcda__log *log = &set->cx->log;
    int64_t bad = f->sum[BCDA__SUM_BAD_LINES];
    char label[LABEL];

    label_file(set->label, f, label);
    if (f->verdict == BCDA_VERDICT_FAILED)
        bcda__log(log, BCDA_LOG_WARNING, "client", "%s: failed: %s", label,
                  bcda_error_string(bcda_error_code(f->error)));
    else if (bad)
        bcda__log(log, BCDA_LOG_WARNING, "client", "%s: complete, with %" PRId64 " invalid line%s",
                  label, bad, bad == 1 ? "" : "s");
    else
        bcda__log(log, BCDA_LOG_INFO, "client", "%s: complete", label);
}

/* Sets and reports the verdict, and frees the download. When this returns, the job may have
 * ended. */
static void conclude_download(struct bcda__download *d)
{
    struct bcda__downloads *set = d->set;
    struct bcda_file *f = d->file;

    set_verdict(d);
    if (!d->err.code)
        bcda__context_adapt(set->cx, 1);
    unlink_download(d);
    free_download(d);
    log_verdict(set, f);
    (void)set->event(set->job, f, BCDA__DOWNLOAD_CONCLUDED, NULL);
}

void bcda__downloads_abort(struct bcda__downloads *set, const struct bcda_error *err)
{
    while (set->first) {
        struct bcda__download *d = set->first;
        struct bcda_file *f = d->file;

        bcda__err_copy(&d->err, err);
        set_verdict(d);
        unlink_download(d);
        free_download(d);
        (void)set->event(set->job, f, BCDA__DOWNLOAD_ABORTED, NULL);
    }
}

/* ---- delivery ---- */

static int is_delivery_interrupted(void *ctx)
{
    const struct bcda__downloads *set = ((struct bcda__download *)ctx)->set;

    return set->is_cancelled || set->cx->closing || set->cx->forked;
}

static int is_job_paused(void *ctx)
{
    return ((struct bcda__download *)ctx)->set->is_paused;
}

static void enter_download_callback(void *ctx)
{
    bcda__context_enter_callback(((struct bcda__download *)ctx)->set->cx);
}

static void leave_download_callback(void *ctx)
{
    bcda__context_leave_callback(((struct bcda__download *)ctx)->set->cx);
}

static void count_delivered(void *ctx, enum bcda__sum sum, int64_t n)
{
    count(ctx, sum, n);
}

/* Ends the download because of the error in d->err. */
static void fail_download(struct bcda__download *d)
{
    stop_network(d);
    if (d->pipe)
        (void)bcda__pipe_disconnect(d->pipe);
    change_phase(d, CLOSING);
}

/* Handles an invalid line that is not tolerated. No later line is delivered. An error of the
 * transfer or of the whole file's checks that d->err already has is kept. If those checks can still
 * fail, the decoder will report the line later. */
static void refuse_line(struct bcda__download *d, const struct bcda_error *err)
{
    int rc;

    bcda_batch_unref(d->batch);
    d->batch = NULL;
    rc = bcda__pipe_refuse_line(d->pipe, err);
    if (!rc || d->err.code)
        return;
    bcda__err_copy(&d->err, err);
    fail_download(d);
}

int bcda__downloads_are_pulled(const struct bcda__downloads *set, enum bcda__file_kind kind)
{
    static const enum bcda__handler handlers[] = {
        [BCDA__FILE_DATA] = BCDA__ON_RESOURCE,
        [BCDA__FILE_DELETED] = BCDA__ON_DELETED,
        [BCDA__FILE_ERRORS] = BCDA__ON_SERVER_ISSUE,
    };

    return set->is_pulled && !set->handlers->at[handlers[kind]];
}

static int is_pulled(const struct bcda__download *d)
{
    return bcda__downloads_are_pulled(d->set, d->file->entry->kind);
}

/* What to do after one step of a download: wait for an event; take another step at once; or
 * nothing, because the download, and perhaps its job, is gone. */
enum next { WAIT, AGAIN, GONE };

/* Keeps where the batch ends, so that its lines can be confirmed. Returns 0 or BCDA_ERR_NOMEM,
 * which fails the file. */
static int keep_mark(struct bcda__download *d)
{
    int rc = d->batch->end.line ? bcda__marks_add(&d->file->marks, &d->batch->end) : 0;

    if (!rc)
        return 0;
    bcda__err_nomem(&d->err);
    bcda_batch_unref(d->batch);
    d->batch = NULL;
    fail_download(d);
    drop_pipe(d);
    return rc;
}

/* Delivers the batch to the callbacks. Returns AGAIN if it was delivered; WAIT if the job is paused
 * or its batches are pulled; GONE if the job has ended, and this download with it. */
static enum next deliver_to_handlers(struct bcda__download *d)
{
    struct bcda__downloads *set = d->set;
    struct bcda__delivery to = {0};
    struct bcda_error err;
    int64_t began;
    int rc, line_failed;

    if (is_pulled(d) || set->is_paused)
        return WAIT;
    if (keep_mark(d))
        return AGAIN;
    to.job = set->job;
    to.handlers = set->handlers;
    to.kind = d->file->entry->kind;
    to.bad_max = bcda__context_option(set->cx, BCDA_OPT_BAD_LINES_MAX);
    to.bad_lines = set->bad_lines;
    to.count = count_delivered;
    to.interrupted = is_delivery_interrupted;
    to.is_paused = is_job_paused;
    to.enter = enter_download_callback;
    to.leave = leave_download_callback;
    to.ctx = d;
    d->delivered = 1;
    bcda__engine_spend(set->cx->engine, d->batch->fill);
    began = bcda__clock_ns();
    rc = bcda__deliver(&to, d->batch, &d->cursor, &line_failed, &err);
    add_time(d, BCDA_STAT_DELIVER_NS, began);
    if (rc == BCDA__HELD) {
        (void)set->event(set->job, d->file, BCDA__DOWNLOAD_PAUSES, NULL);
        return WAIT;
    }
    if (rc < 0 && !line_failed) {
        (void)set->event(set->job, d->file, BCDA__DOWNLOAD_ENDS_JOB, &err);
        return GONE;
    }
    if (line_failed) {
        refuse_line(d, &err);
        return AGAIN;
    }
    bcda__pipe_give_back(d->pipe, d->batch);
    d->batch = NULL;
    return AGAIN;
}

/* Takes a batch from the pipe, to be delivered. Returns 0 if there was no memory, which fails the
 * file. */
static int take_batch(struct bcda__download *d)
{
    int rc = bcda__pipe_take(d->pipe, &d->batch);

    bcda__timer_clear(&d->flush);
    memset(&d->cursor, 0, sizeof d->cursor);
    if (rc) {
        bcda__err_set(&d->err, rc, "%s: %s", d->file->entry->name, bcda_error_string(rc));
        fail_download(d);
        drop_pipe(d);
        return 0;
    }
    d->batch->owner = bcda__files_ref(d->set->files);
    d->batch->owner_unref = bcda__files_unref;
    d->batch->file = d->file;
    d->batch->name = d->file->entry->name;
    return 1;
}

/* ---- the phases ---- */

static enum next fail_of_pipe(struct bcda__download *d)
{
    update_sums(d);
    (void)bcda__pipe_error(d->pipe, &d->err);
    fail_download(d);
    return AGAIN;
}

static enum next run_pipe(struct bcda__download *d)
{
    (void)bcda__pipe_run(d->pipe);
    return bcda__pipe_is_inline(d->pipe) ? AGAIN : WAIT;
}

/* With workers, runs the pipe. Without workers ("inline"), no slice is run here, because the call's
 * event BYTES runs them (take_bytes()). */
static enum next step_receiving(struct bcda__download *d)
{
    enum bcda__pipe_state state = d->pipe ? bcda__pipe_state(d->pipe) : BCDA__PIPE_IDLE;

    if (state == BCDA__PIPE_FAILED)
        return fail_of_pipe(d);
    if (state == BCDA__PIPE_READY && !bcda__pipe_is_inline(d->pipe))
        return run_pipe(d);
    return WAIT;
}

/* The server's response to a range request says that the file ends before `intake.at`, the number
 * of bytes already used. If the decoder finds that the file can end there, that end is accepted.
 * Otherwise the whole file is requested again. */
static enum next accept_end(struct bcda__download *d)
{
    int64_t at = d->intake.end_at;
    int rc;

    if (!bcda__pipe_end_at(d->pipe, at)) {
        d->intake.end_at = -1;
        if (d->spool && bcda__spool_cut(d->spool, at, &d->err))
            fail_download(d);
        return AGAIN;
    }
    bcda__intake_refuse_end(&d->intake);
    d->set->cx->stat[BCDA_STAT_RETRIES]++;
    change_phase(d, RECEIVING);
    rc = open_call(d);
    if (rc)
        fail_download(d);
    return rc ? AGAIN : WAIT;
}

static enum next begin_replay(struct bcda__download *d);

/* Makes all checks of the whole file, after its last byte. */
static enum next check_whole(struct bcda__download *d)
{
    int rc = bcda__pipe_finish(d->pipe, &d->err);

    if (rc == BCDA_ERR_AGAIN) {
        bcda__err_clear(&d->err);
        (void)take_batch(d);
        return AGAIN;
    }
    update_sums(d);
    if (!rc && d->spool && !d->replays)
        return begin_replay(d);
    change_phase(d, CLOSING);
    return AGAIN;
}

static enum next step_verifying(struct bcda__download *d)
{
    switch (bcda__pipe_state(d->pipe)) {
    case BCDA__PIPE_BUSY:
        return WAIT;
    case BCDA__PIPE_READY:
        return run_pipe(d);
    case BCDA__PIPE_FAILED:
        return fail_of_pipe(d);
    case BCDA__PIPE_FULL: /* a worker has finished more batches just now; they are taken first */
        return AGAIN;
    default:
        return d->intake.end_at >= 0 ? accept_end(d) : check_whole(d);
    }
}

/* Without workers ("inline"), one slice is run in each step of the session. */
static enum next step_replaying(struct bcda__download *d)
{
    switch (bcda__pipe_state(d->pipe)) {
    case BCDA__PIPE_BUSY:
        return WAIT;
    case BCDA__PIPE_READY:
        if (!bcda__pipe_is_inline(d->pipe))
            return run_pipe(d);
        if (!d->set->is_paused)
            bcda__timer_set(d->set->cx->engine, &d->next_slice, 0, on_next_slice, d);
        return WAIT;
    case BCDA__PIPE_FAILED:
        return fail_of_pipe(d);
    case BCDA__PIPE_FULL: /* the spool may hold more bytes; the finished batches are taken first */
        return AGAIN;
    case BCDA__PIPE_OVER:
        (void)bcda__pipe_disconnect(d->pipe);
        return AGAIN;
    default:
        return check_whole(d);
    }
}

static enum next step_closing(struct bcda__download *d)
{
    enum bcda__pipe_state state = d->pipe ? bcda__pipe_state(d->pipe) : BCDA__PIPE_IDLE;

    if (state == BCDA__PIPE_BUSY)
        return WAIT;
    if (state == BCDA__PIPE_READY)
        return run_pipe(d);
    update_sums(d);
    if (d->pipe && bcda__pipe_has_batch(d->pipe, 1)) {
        (void)take_batch(d);
        return AGAIN;
    }
    conclude_download(d);
    return GONE;
}

static enum next step_phase(struct bcda__download *d)
{
    switch (d->phase) {
    case RECEIVING:
        return step_receiving(d);
    case VERIFYING:
        return step_verifying(d);
    case REPLAYING:
        return step_replaying(d);
    case CLOSING:
        return step_closing(d);
    default:
        return WAIT;
    }
}

/* Takes a finished batch. Workers may finish batches faster than the application takes them, so the
 * number per step is limited. */
static enum next take_finished(struct bcda__download *d)
{
    if (!bcda__pipe_is_inline(d->pipe) && bcda__engine_is_spent(d->set->cx->engine)) {
        bcda__timer_set(d->set->cx->engine, &d->next_slice, 0, on_next_slice, d);
        return WAIT;
    }
    (void)take_batch(d);
    return AGAIN;
}

/* Does all that can be done without another event. Returns 0 if the download was freed, or if this
 * process is a child of fork(). */
static int settle_download(struct bcda__download *d)
{
    enum next next = AGAIN;

    while (next == AGAIN && !d->set->cx->forked) {
        if (d->batch)
            next = deliver_to_handlers(d);
        else if (d->pipe && bcda__pipe_has_batch(d->pipe, 0))
            next = take_finished(d);
        else
            next = step_phase(d);
    }
    return next == WAIT;
}

static void flush_partial_batch(void *ctx)
{
    struct bcda__download *d = ctx;

    if (d->batch || d->set->is_paused)
        return;
    if (d->pipe && bcda__pipe_has_batch(d->pipe, 1))
        (void)take_batch(d);
    continue_download(d);
}

static void flush_later(struct bcda__download *d)
{
    if (d->pipe && !d->flush.set && !d->set->is_paused && bcda__pipe_has_batch(d->pipe, 1))
        bcda__timer_set(d->set->cx->engine, &d->flush,
                        bcda__context_option(d->set->cx, BCDA_OPT_BATCH_DELAY_MS),
                        flush_partial_batch, d);
}

/* Makes the session watch the transfer's descriptors if the workers found nothing to read. Workers
 * continue to read while a batch waits for the application. A paused job reads nothing. */
static void watch_body(struct bcda__download *d)
{
    enum bcda__pipe_state state;

    if (d->phase != RECEIVING || !d->pipe || d->set->is_paused)
        return;
    state = bcda__pipe_state(d->pipe);
    if (state == BCDA__PIPE_EMPTY || state == BCDA__PIPE_OVER)
        bcda__call_watch(d->call);
}

/* Asks for more bytes. Without workers ("inline"), the decoder may still hold lines that did not
 * fit into a full batch. If all received bytes have been taken, the call sends no further event
 * BYTES, so a timer runs the pipe. */
static void want_more(struct bcda__download *d)
{
    const uint8_t *data;

    bcda__call_wake(d->call);
    if (d->pipe && bcda__pipe_is_inline(d->pipe) && d->intake.transfer &&
        !bcda__transfer_peek(d->intake.transfer, &data) &&
        bcda__pipe_state(d->pipe) == BCDA__PIPE_READY)
        bcda__timer_set(d->set->cx->engine, &d->next_slice, 0, on_next_slice, d);
}

/* Continues as far as possible, then asks for more bytes. */
static void continue_download(struct bcda__download *d)
{
    watch_body(d);
    if (!settle_download(d) || d->set->is_paused || d->phase != RECEIVING || d->batch)
        return;
    flush_later(d);
    want_more(d);
}

/* Without workers ("inline"), no bytes are read while a batch waits for the application. */
static int can_read(const struct bcda__download *d)
{
    return !d->set->is_paused && !d->batch;
}

static void on_next_slice(void *ctx)
{
    struct bcda__download *d = ctx;

    if (d->phase == RECEIVING && d->pipe && bcda__pipe_is_inline(d->pipe)) {
        if (d->intake.transfer && can_read(d) && take_bytes(d) == BCDA__CALL_REPEAT)
            bcda__call_repeat(d->call);
        return;
    }
    if (d->phase == REPLAYING && bcda__pipe_is_inline(d->pipe) && !d->batch)
        (void)bcda__pipe_run(d->pipe);
    continue_download(d);
}

/* Workers have finished a batch, or have nothing more to do. */
static void on_pipe_event(void *ctx)
{
    struct bcda__download *d = ctx;

    update_sums(d);
    if (d->phase == RECEIVING && bcda__pipe_state(d->pipe) == BCDA__PIPE_REPEAT)
        bcda__call_repeat(d->call);
    else if (!d->set->is_paused)
        continue_download(d);
}

/* ---- events of the call ---- */

static int make_download_pipe(struct bcda__download *d, struct bcda_error *err)
{
    struct bcda__context *cx = d->set->cx;
    struct bcda__decoder_options o = {0};

    o.name = d->file->entry->name;
    o.coding = d->coding;
    o.trusted = d->replays;
    o.check_only = d->spool && !d->replays;
    /* a replay reads the spool, which was checked when it was filled */
    o.expected = d->replays ? NULL : &d->expected;
    o.key = (const uint8_t *)d->key.data;
    o.line_max = (size_t)bcda__context_option(cx, BCDA_OPT_LINE_MAX);
    o.depth_max = (int)bcda__context_option(cx, BCDA_OPT_JSON_DEPTH_MAX);
    o.batch_size = (size_t)bcda__context_option(cx, BCDA_OPT_BATCH_SIZE);
    o.fields = d->set->fields;
    o.deletions = d->file->entry->kind == BCDA__FILE_DELETED;
    o.yajl_only = !bcda__context_option(cx, BCDA_OPT_SCANNER);
    o.marks = d->set->marks && !o.check_only;
    o.confirmed = d->file->confirmed.line && !o.check_only ? &d->file->confirmed : NULL;
    return bcda__pipe_new(&d->pipe, bcda__context_workers(cx), d->replays ? NULL : d->spool, &o,
                          on_pipe_event, d, err);
}

static int make_first_pipe(struct bcda__download *d, const struct bcda__transfer *t,
                           struct bcda_error *err)
{
    if (bcda__coding_find(&d->coding, bcda__transfer_header(t, "Content-Encoding")))
        return bcda__err_set(err, BCDA_ERR_HTTP, "a Content-Encoding that nobody asked for");
    d->file->expected = bcda__transfer_content_length(t);
    return make_download_pipe(d, err);
}

/* Verified delivery: all bytes are received and verified, and delivery from the spool begins. */
static enum next begin_replay(struct bcda__download *d)
{
    drop_pipe(d);
    d->replays = 1;
    if (make_download_pipe(d, &d->err)) {
        fail_download(d);
        return AGAIN;
    }
    change_phase(d, REPLAYING);
    bcda__pipe_connect(d->pipe, bcda__spool_source(d->spool));
    return AGAIN;
}

/* If the application has received nothing of the file, discards the bytes received so far, so that
 * they need not be compared with those that follow. Returns 0 or an error code. */
static int restart_if_possible(struct bcda__download *d, struct bcda_error *err)
{
    int rc;

    if (!d->intake.restart || d->delivered || d->batch)
        return 0;
    bcda__timer_clear(&d->flush);
    drop_pipe(d);
    add_bytes(d, -d->file->sum[BCDA__SUM_RECEIVED], -d->file->sum[BCDA__SUM_BYTES]);
    count(d, BCDA__SUM_BAD_LINES, -d->file->sum[BCDA__SUM_BAD_LINES]);
    if (d->spool && (rc = bcda__spool_reset(d->spool, err)))
        return rc;
    rc = bcda__intake_reset(&d->intake);
    return rc ? bcda__err_set(err, rc, "%s", bcda_error_string(rc)) : 0;
}

static void on_ready(void *ctx)
{
    bcda__pipe_wake(((struct bcda__download *)ctx)->pipe);
}

static void connect_body(struct bcda__download *d)
{
    if (bcda__call_channel(d->call))
        bcda__call_hand_over(d->call, on_ready, d);
    bcda__pipe_connect(d->pipe, &d->intake.source);
}

static int take_head(struct bcda__download *d, struct bcda_error *err)
{
    const struct bcda__transfer *t = bcda__call_transfer(d->call);
    int rc;

    /* An HTML page, such as a proxy sends, is never data, whatever its lines look like. */
    if (!d->key.data &&
        bcda__text_starts_nocase(bcda__transfer_header(t, "Content-Type"), "text/html"))
        return bcda__err_set(err, BCDA_ERR_NOT_JSON, "an HTML page came in place of the file");
    rc = restart_if_possible(d, err);
    d->intake.restart = 0;
    if (!rc)
        rc = bcda__intake_head(&d->intake, d->call, err);
    if (!rc && !d->pipe)
        rc = make_first_pipe(d, t, err);
    if (!rc)
        connect_body(d);
    return rc;
}

/* Used without workers ("inline"): runs slices until no bytes are left, or the step's budget is
 * spent. */
static enum bcda__call_answer take_bytes(struct bcda__download *d)
{
    enum bcda__pipe_state state = BCDA__PIPE_READY;
    int ran = 0;

    bcda__timer_clear(&d->next_slice);
    bcda__pipe_wake(d->pipe);
    while (state == BCDA__PIPE_READY && can_read(d) &&
           !(ran && bcda__engine_is_spent(d->set->cx->engine))) {
        bcda__engine_spend(d->set->cx->engine, bcda__pipe_run(d->pipe));
        ran = 1;
        update_sums(d);
        if (!settle_download(d) || d->phase != RECEIVING)
            return BCDA__CALL_GONE;
        state = bcda__pipe_state(d->pipe);
    }
    flush_later(d);
    if (state == BCDA__PIPE_READY && can_read(d))
        want_more(d);
    return state == BCDA__PIPE_REPEAT ? BCDA__CALL_REPEAT : BCDA__CALL_GO;
}

/* The body was cut short. If the server does not support ranges, and the application has received
 * nothing, the file will restart at offset 0, unless something is delivered before that. Until the
 * restart the decoded data is kept; it is delivered if no later attempt brings more. */
static void note_broken_body(struct bcda__download *d)
{
    d->intake.restart =
        !d->delivered && !d->batch && d->pipe && d->intake.ranges != BCDA__RANGES_YES;
    if (d->intake.restart)
        bcda__timer_clear(&d->flush);
}

static enum bcda__call_answer detach_body(struct bcda__download *d)
{
    int lost = d->pipe && bcda__pipe_disconnect(d->pipe);

    bcda__intake_detach(&d->intake);
    if (lost)
        return BCDA__CALL_LOST;
    if (!d->set->cx->forked)
        update_sums(d);
    return BCDA__CALL_GO;
}

static enum bcda__call_answer measure_download(struct bcda__download *d)
{
    int busy = bcda__pipe_was_busy(d->pipe) || d->set->is_paused;

    update_sums(d);
    return busy ? BCDA__CALL_BUSY : BCDA__CALL_GO;
}

static enum bcda__call_answer on_call_event(void *ctx, enum bcda__call_event event,
                                            struct bcda_error *err)
{
    struct bcda__download *d = ctx;
    int rc;

    switch (event) {
    case BCDA__CALL_BEGIN:
        bcda__intake_begin(&d->intake, d->call);
        return BCDA__CALL_GO;
    case BCDA__CALL_HEAD:
        rc = take_head(d, err);
        return rc < 0 ? BCDA__CALL_FAILED : (enum bcda__call_answer)rc;
    case BCDA__CALL_BYTES:
        return take_bytes(d);
    case BCDA__CALL_OVER:
        return (enum bcda__call_answer)bcda__intake_over(&d->intake, err);
    case BCDA__CALL_BROKEN:
        note_broken_body(d);
        return BCDA__CALL_REPEAT;
    case BCDA__CALL_MEASURE:
        return measure_download(d);
    default:
        return detach_body(d);
    }
}

/* Explains the error of a file that the server cuts short every time, perhaps because of a time
 * limit, and that cannot be resumed with ranges. */
static void explain_cuts(struct bcda__download *d)
{
    int code = d->err.code;

    if (d->intake.ranges == BCDA__RANGES_YES || d->furthest == 0 ||
        (code != BCDA_ERR_TRANSFER && code != BCDA_ERR_TRUNCATED && code != BCDA_ERR_STALLED))
        return;
    bcda__err_context(
        &d->err,
        "the server breaks this file off each time (%lld bytes came at most) and does "
        "not let it be resumed; fewer files at once (option \"parallel\") may bring it in "
        "time",
        (long long)d->furthest);
}

/* If the transfer failed after an invalid line that is not tolerated, the error of the file is that
 * of the line. */
static void on_call_end(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *answer,
                        const struct bcda_error *err)
{
    struct bcda__download *d = ctx;

    (void)answer;
    if (verdict == BCDA__FAIL && !(d->pipe && bcda__pipe_refused_line(d->pipe, &d->err))) {
        bcda__err_copy(&d->err, err);
        explain_cuts(d);
    } else if (!d->pipe) { /* not expected: even a 200 without a body has a head */
        bcda__err_set(&d->err, BCDA_ERR_HTTP, "the answer has no head");
    }
    stop_network(d);
    change_phase(d, d->err.code ? CLOSING : VERIFYING);
    (void)settle_download(d);
}

/* ---- the start ---- */

/* The `count` of an error file is not compared with its lines: the specification (Bulk Data Access,
 * output files) leaves open whether it means files, issues or lines. */
static void set_expected(struct bcda__download *d)
{
    const struct bcda__entry *e = d->file->entry;
    int counts =
        bcda__context_option(d->set->cx, BCDA_OPT_CHECK_COUNT) && e->kind != BCDA__FILE_ERRORS;

    d->expected.length = e->length;
    d->expected.count = counts ? e->count : -1;
    d->expected.checksum = e->checksum;
}

static int open_call(struct bcda__download *d)
{
    struct bcda__context *cx = d->set->cx;
    struct bcda__call_spec spec;
    struct bcda__buf url;
    int same, rc;

    bcda__buf_init(&url, 64 * 1024);
    rc = bcda__origin_adopt(cx, d->file->entry->url, &url, &same, &d->err);
    if (rc)
        goto out;
    bcda__call_spec_init(&spec, "file", "GET", url.data);
    bcda__text_copy(spec.about, sizeof spec.about, d->label);
    spec.accept = "application/fhir+ndjson";
    /* The value must be exactly "gzip": from 2020 to 2024 the server recognised nothing else
     * (bcda-api 6.1). Compressing an encrypted file would not make it smaller. */
    if (bcda__context_option(cx, BCDA_OPT_GZIP) && !d->file->entry->key)
        spec.accept_encoding = bcda__coding_gzip.name;
    spec.with_token = d->set->files->manifest->requires_access_token;
    spec.judge = bcda__answer_file;
    spec.adapts = 1;
    spec.retries = d->set->retries;
    spec.event = on_call_event;
    spec.own_channel = bcda__context_workers(cx) != NULL;
    spec.proves_end = d->key.data != NULL;
    spec.end = on_call_end;
    spec.ctx = d;
    rc = bcda__call_new(&d->call, cx, &spec);
    if (rc)
        bcda__err_set(&d->err, rc, "%s", bcda_error_string(rc));
out:
    bcda__buf_free(&url);
    return rc;
}

/* Requests the file, once its key is decrypted: without the key the file would be useless. `rc` is
 * an error before this. */
static void request_file(struct bcda__download *d, int rc)
{
    if (!rc)
        rc = open_call(d);
    if (!rc) {
        change_phase(d, RECEIVING);
        return;
    }
    fail_download(d);
    (void)settle_download(d);
}

static void on_unwrapped_key(void *ctx, int code, const struct bcda_error *err)
{
    struct bcda__download *d = ctx;

    d->set->cx->stat[BCDA_STAT_DECRYPT_NS] += bcda__unwrap_spent(d->unwrap);
    if (code)
        bcda__err_copy(&d->err, err);
    bcda__unwrap_free(d->unwrap);
    d->unwrap = NULL;
    request_file(d, code);
}

/* Decrypts the file's key. Returns 0 if the key is ready, if none is needed, or if
 * on_unwrapped_key() will be called; else an error code. */
static int open_key(struct bcda__download *d)
{
    const struct bcda__entry *e = d->file->entry;
    const bcda_config *config = d->set->cx->config;
    struct bcda__workers *workers;
    uint8_t *key;
    int64_t began;
    int rc;

    if (!e->key)
        return 0;
    if (bcda__secret_set(&d->key, NULL, BCDA__GCM_KEY))
        return bcda__err_nomem(&d->err);
    key = (uint8_t *)d->key.data;
    workers = bcda__context_workers(d->set->cx);
    if (workers) {
        rc = bcda__unwrap_new(&d->unwrap, workers, config, e->key, e->name, key, on_unwrapped_key,
                              d);
        return rc ? bcda__err_nomem(&d->err) : 0;
    }
    began = bcda__clock_ns();
    rc = bcda__config_unwrap(config, e->key, e->name, key, &d->err);
    add_time(d, BCDA_STAT_DECRYPT_NS, began);
    return rc;
}

static int prepare_download(struct bcda__download *d)
{
    const struct bcda__context *cx = d->set->cx;
    int rc = bcda__intake_init(&d->intake);

    if (rc)
        return bcda__err_set(&d->err, rc, "%s", bcda_error_string(rc));
    if (bcda__context_option(cx, BCDA_OPT_DELIVERY) == BCDA_DELIVERY_VERIFIED)
        rc = bcda__spool_new(&d->spool, cx->config->spool_directory, &d->err);
    return rc ? rc : open_key(d);
}

void bcda__download_start(struct bcda__downloads *set, struct bcda_file *file)
{
    struct bcda__download *d = bcda__calloc(1, sizeof *d);
    struct bcda_error err;
    int rc;

    if (!d) {
        bcda__err_nomem(&err);
        (void)set->event(set->job, file, BCDA__DOWNLOAD_ENDS_JOB, &err);
        return;
    }
    d->set = set;
    d->file = file;
    bcda__err_clear(&d->err);
    label_file(set->label, file, d->label);
    set_expected(d);
    d->next = set->first;
    if (d->next)
        d->next->prev = d;
    set->first = d;
    set->open++;
    if (set->event(set->job, file, BCDA__DOWNLOAD_BEGINS, NULL))
        return; /* the job has ended, and freed this download */
    rc = prepare_download(d);
    if (!d->unwrap)
        request_file(d, rc);
}

/* ---- all downloads of a job ---- */

/* Each download is marked first, because the list may change whenever one continues. */
void bcda__downloads_advance(struct bcda__downloads *set)
{
    struct bcda__download *d;

    for (d = set->first; d; d = d->next)
        d->is_to_advance = 1;
    do {
        for (d = set->first; d && !d->is_to_advance; d = d->next)
            ;
        if (d) {
            d->is_to_advance = 0;
            continue_download(d);
        }
    } while (d && !set->cx->forked);
}

static int has_pulled_batch(const struct bcda__download *d)
{
    return d->batch && is_pulled(d);
}

int bcda__downloads_have_batch(const struct bcda__downloads *set)
{
    const struct bcda__download *d;

    for (d = set->first; d; d = d->next)
        if (has_pulled_batch(d))
            return 1;
    return 0;
}

/* Counts the issues or deletions in a batch. Returns 0 or BCDA_ERR_NOMEM. */
static int count_content(struct bcda__download *d, const struct bcda_batch *b)
{
    size_t deletions = 0;
    int rc = 0;

    if (d->file->entry->kind == BCDA__FILE_ERRORS)
        rc = bcda__count_issues(b, count_delivered, d);
    else if (d->file->entry->kind == BCDA__FILE_DELETED)
        rc = bcda__count_deletions(b, &deletions);
    count(d, BCDA__SUM_DELETIONS, (int64_t)deletions);
    return rc;
}

static struct bcda_batch *take_pulled_batch(struct bcda__download *d)
{
    struct bcda_batch *b = d->batch;
    int64_t max = bcda__context_option(d->set->cx, BCDA_OPT_BAD_LINES_MAX);
    size_t fatal = bcda__cut_at_fatal(b, *d->set->bad_lines, max);
    int64_t rows = (int64_t)b->rows;
    struct bcda_error err;

    d->batch = NULL;
    d->delivered = 1;
    if (fatal < b->bad_count) {
        bcda__fatal_line_error(&b->bad[fatal], max, &err);
        refuse_line(d, &err);
        b->bad_count = fatal + 1;
    }
    if (count_content(d, b) && !d->err.code) {
        bcda__err_nomem(&d->err);
        fail_download(d);
    }
    count(d, BCDA__SUM_RESOURCES, rows);
    count(d, BCDA__SUM_BAD_LINES, (int64_t)b->bad_count);
    return b;
}

struct bcda_batch *bcda__downloads_take_batch(struct bcda__downloads *set)
{
    struct bcda__download *d;

    for (d = set->first; d && !has_pulled_batch(d); d = d->next)
        ;
    if (!d)
        return NULL;
    if (!keep_mark(d))
        return take_pulled_batch(d);
    bcda__timer_set(set->cx->engine, &d->next_slice, 0, on_next_slice, d); /* ends the file */
    return NULL;
}
