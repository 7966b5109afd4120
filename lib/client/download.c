#include "client/download.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/lane.h"
#include "client/origin.h"
#include "client/resume.h"
#include "client/spool.h"
#include "client/unwrap.h"

enum { LABEL = 160 };

struct bcda__download {
    bcda_job *job;
    struct bcda_file *file;
    char label[LABEL]; /* "job 42, file 3 (Patient)", for log lines */
    struct bcda__download *prev, *next;
    int mark;

    struct bcda__secret key;     /* of the file; unset = plain */
    struct bcda__unwrap *unwrap; /* it is being opened */
    struct bcda__expected expected;
    int gzip;
    struct bcda__call *call;
    struct bcda__lane *lane;
    struct bcda__channel *channel;   /* lent to the lane with its transfer; NULL = nothing is */
    struct bcda__transfer *lent;     /* that transfer */
    int64_t lent_from, lent_counted; /* of the bytes that the lane takes itself */
    struct bcda__resume resume;      /* of the lane while something is lent to it */
    int64_t furthest; /* of the stored bytes, over all tries: only more than that is progress */
    struct bcda__spool *spool; /* verified delivery: what came waits here; NULL = streaming */
    int second;                /* it is verified, and is read once more for delivery */
    struct bcda__timer turn;   /* of that reading, and of what a step has left to the next */
    struct bcda__timer flush;  /* lines do not wait for ever for their batch to fill */
    struct bcda_batch *batch;  /* on its way to the host */
    struct bcda__cursor cursor;
    int delivered; /* the host has seen something of the file */
    int afresh;    /* the next answer begins it anew, unless it has by then */

    int ended; /* nothing more comes from the network */
    int code;  /* why the file failed */
    struct bcda_error err;
    int condemned;  /* a bad line failed the file, whose end is still read for its check */
    int checked;    /* that check was made */
    int64_t end_at; /* where a range has named the end, before what came; -1 = it has not */
};

static void go_on(struct bcda__download *d);
static void next_turn(void *ctx);
static void begin_second_pass(struct bcda__download *d);
static int open_call(struct bcda__download *d);

/* ---- log lines ---- */

/* Its number and type, as the manifest has them: no URL, and so no secret that one might hold. */
static void label_file(const bcda_job *job, const struct bcda_file *f, char out[LABEL])
{
    const char *type = bcda__job_type_for_log(f->entry->type, "");

    snprintf(out, LABEL, type[0] ? "%s, file %zu (%s)" : "%s, file %zu%s", job->label, f->index,
             type);
}

/* ---- the end ---- */

static void unlink_download(struct bcda__download *d)
{
    if (d->prev)
        d->prev->next = d->next;
    else
        d->job->downloads = d->next;
    if (d->next)
        d->next->prev = d->prev;
    d->job->open--;
}

/* What its decoding has taken. */
static void count_time(struct bcda__download *d)
{
    int64_t *stat = d->job->s->stat;
    struct bcda__lane_spent spent;

    if (!d->lane)
        return;
    bcda__lane_take_spent(d->lane, &spent);
    stat[BCDA_STAT_TRANSPORT_NS] += spent.read;
    stat[BCDA_STAT_HASH_NS] += spent.took;
    stat[BCDA_STAT_INFLATE_NS] += spent.decoder.inflate;
    stat[BCDA_STAT_DECRYPT_NS] += spent.decoder.decrypt;
    stat[BCDA_STAT_PARSE_NS] += spent.decoder.parse;
}

/* What has gone by since `began` went for this. */
static void add_time(struct bcda__download *d, int stat, int64_t began)
{
    d->job->s->stat[stat] += bcda__clock_ns() - began;
}

static void drop_lane(struct bcda__download *d)
{
    count_time(d);
    bcda__lane_free(d->lane);
    d->lane = NULL;
}

static void free_download(struct bcda__download *d)
{
    bcda__call_free(d->call);
    bcda__unwrap_free(d->unwrap);
    bcda__timer_clear(&d->flush);
    drop_lane(d);
    bcda__resume_free(&d->resume);
    bcda__spool_free(d->spool);
    bcda__timer_clear(&d->turn);
    bcda_batch_unref(d->batch);
    bcda__secret_free(&d->key);
    bcda__err_forget(&d->err);
    bcda__free(d);
}

static void set_verdict(struct bcda__download *d)
{
    struct bcda_file *f = d->file;

    if (!d->code) {
        f->verdict = f->bad_lines ? BCDA_VERDICT_COMPLETE_BAD_LINES : BCDA_VERDICT_COMPLETE;
        return;
    }
    if (!d->err.file[0])
        bcda__text_show(d->err.file, sizeof d->err.file, f->entry->name);
    f->verdict = BCDA_VERDICT_FAILED;
    f->error = bcda_error_ref(&d->err); /* a copy */
}

static void log_verdict(const bcda_job *job, const struct bcda_file *f)
{
    const struct bcda__log *log = &job->s->log;
    char label[LABEL];

    label_file(job, f, label);
    if (f->verdict == BCDA_VERDICT_FAILED)
        bcda__log(log, BCDA_LOG_WARNING, "client", "%s: failed: %s", label,
                  bcda_error_string(bcda_error_code(f->error)));
    else if (f->bad_lines)
        bcda__log(log, BCDA_LOG_WARNING, "client", "%s: complete, with %" PRId64 " invalid line%s",
                  label, f->bad_lines, f->bad_lines == 1 ? "" : "s");
    else
        bcda__log(log, BCDA_LOG_INFO, "client", "%s: complete", label);
}

/* The verdict is told and the download gone. The job may have ended when it returns. */
static void conclude(struct bcda__download *d)
{
    bcda_job *job = d->job;
    struct bcda_file *f = d->file;

    set_verdict(d);
    if (!d->code)
        bcda__session_adapt(job->s, 1);
    unlink_download(d);
    free_download(d);
    log_verdict(job, f);
    bcda__job_file_ended(job, f);
}

void bcda__download_abort(struct bcda__download *d, const struct bcda_error *err)
{
    bcda_job *job = d->job;
    struct bcda_file *f = d->file;

    d->code = err->code;
    bcda__err_copy(&d->err, err);
    set_verdict(d);
    job->files_ended++;
    unlink_download(d);
    free_download(d);
    (void)bcda__job_tell_file(job, f,
                              BCDA_FILE_END); /* ended already: its answer changes nothing */
}

/* ---- delivery ---- */

static int interrupted(void *ctx)
{
    const struct bcda__download *d = ctx;

    return d->job->cancel_wanted || d->job->s->closing || d->job->s->forked;
}

static int is_paused(void *ctx)
{
    return ((struct bcda__download *)ctx)->job->paused;
}

static void enter(void *ctx)
{
    bcda__session_enter_callback(((struct bcda__download *)ctx)->job->s);
}

static void leave(void *ctx)
{
    bcda__session_leave_callback(((struct bcda__download *)ctx)->job->s);
}

/* The stored file has come so far. */
static void advance(struct bcda__download *d, int64_t received)
{
    d->job->received += received - d->file->received;
    d->file->received = received;
    if (received > d->furthest) {
        d->furthest = received;
        bcda__call_progress(d->call);
    }
}

/* What the lane has taken by itself since. */
static void count_lent(struct bcda__download *d, int64_t taken)
{
    int64_t n = taken - d->lent_counted;

    if (!n)
        return;
    d->lent_counted = taken;
    d->job->s->stat[BCDA_STAT_BYTES_WIRE] += n;
    advance(d, d->file->received + n);
}

static void count(struct bcda__download *d)
{
    bcda_job *job = d->job;
    int64_t bytes = d->lane ? bcda__lane_bytes(d->lane) : 0;

    if (d->channel)
        count_lent(d, bcda__lane_taken(d->lane));
    job->bytes += bytes - d->file->bytes;
    job->s->stat[BCDA_STAT_BYTES_DECODED] += bytes - d->file->bytes;
    d->file->bytes = bytes;
    count_time(d);
    bcda__job_touch(job);
}

/* Sums of the job and the session: what error files hold are reports of the server, not data. */
static void count_resources(struct bcda__download *d, int64_t rows)
{
    if (d->file->entry->is_error)
        return;
    d->job->resources += rows;
    d->job->s->stat[BCDA_STAT_RESOURCES] += rows;
}

/* A bad line that is not borne. Where the end of the file can tell whether the bytes were altered,
 * it is still read; what was already found out is kept for the case that they were not. */
static void fail_line(struct bcda__download *d, const struct bcda_error *err)
{
    bcda_batch_unref(d->batch);
    d->batch = NULL;
    bcda__lane_condemn(d->lane);
    if (d->code) /* what the transfer or the check of the whole has said stays */
        return;
    d->code = err->code;
    bcda__err_copy(&d->err, err);
    if (bcda__lane_verifies(d->lane) && !d->checked)
        d->condemned = 1;
    else
        d->ended = 1;
}

/* Whether the host takes the batches of this file. What the server reports comes to its handler, if
 * there is one, also where the data is pulled. */
static int is_pulled(const struct bcda__download *d)
{
    return d->job->pull &&
           !(d->file->entry->is_error && d->job->handlers.at[BCDA__ON_SERVER_ISSUE]);
}

/* Gives the batch to the host. 1: given. 0: it waits (pause, or the pull door). -1: the job has
 * ended, and this download is gone. */
static int deliver(struct bcda__download *d)
{
    bcda_job *job = d->job;
    struct bcda__delivery to = {0};
    int64_t before = d->file->resources, began;
    struct bcda_error err;
    int rc, line_failed;

    if (is_pulled(d) || job->paused)
        return 0;
    to.job = job;
    to.handlers = &job->handlers;
    to.is_error = d->file->entry->is_error;
    to.bad_max = bcda__session_option(job->s, BCDA_OPT_BAD_LINES_MAX);
    to.resources = &d->file->resources;
    to.bad_file = &d->file->bad_lines;
    to.bad_all = &job->bad_lines;
    to.issues = job->issues;
    to.interrupted = interrupted;
    to.is_paused = is_paused;
    to.enter = enter;
    to.leave = leave;
    to.ctx = d;
    d->delivered = 1;
    bcda__engine_spend(job->s->engine, d->batch->fill);
    began = bcda__clock_ns();
    rc = bcda__deliver(&to, d->batch, &d->cursor, &line_failed, &err);
    add_time(d, BCDA_STAT_DELIVER_NS, began);
    count_resources(d, d->file->resources - before);
    if (rc == BCDA__HELD) {
        if (!job->paused)
            bcda__session_poke(job->s); /* its places are free for other jobs */
        job->paused = 1;
        return 0;
    }
    if (rc < 0 && !line_failed) {
        bcda__job_end(job, rc, &err);
        return -1;
    }
    if (line_failed) {
        fail_line(d, &err);
        return 1;
    }
    bcda__lane_give_back(d->lane, d->batch);
    d->batch = NULL;
    return 1;
}

/* What the decoder has gathered becomes the batch at hand. 0 or a code. */
static int take(struct bcda__download *d)
{
    int rc = bcda__lane_take(d->lane, &d->batch);

    bcda__timer_clear(&d->flush);
    memset(&d->cursor, 0, sizeof d->cursor);
    if (rc)
        return bcda__err_set(&d->err, rc, "%s: %s", d->file->entry->name, bcda_error_string(rc));
    d->batch->owner = bcda__files_ref(d->job->files);
    d->batch->owner_unref = bcda__files_unref;
    d->batch->file = d->file;
    d->batch->name = d->file->entry->name;
    return 0;
}

static void stop_network(struct bcda__download *d)
{
    bcda__call_free(d->call);
    d->call = NULL;
    d->ended = 1;
}

static void fail(struct bcda__download *d, int code)
{
    d->code = code;
    stop_network(d);
}

/* 1 where a batch is at hand now; 0 where there is none, or no memory for it, which fails the file.
 */
static int take_rest(struct bcda__download *d)
{
    int rc;

    if (!bcda__lane_has_batch(d->lane))
        return 0;
    rc = take(d);
    if (rc)
        fail(d, rc);
    return !rc;
}

/* All checks of the whole file, once its bytes are here. 1: a batch must be given first. */
static int check_whole(struct bcda__download *d)
{
    struct bcda_error err;
    int rc = bcda__lane_finish(d->lane, &err);

    if (rc == BCDA_ERR_AGAIN)
        return 1;
    d->checked = 1;
    if (rc) { /* altered bytes say more than the bad line they made */
        d->code = rc;
        bcda__err_copy(&d->err, &err);
    }
    return 0;
}

/* What a worker has met since. 1: it failed the file. */
static int find_failure(struct bcda__download *d)
{
    struct bcda_error err;
    int rc = d->lane ? bcda__lane_check(d->lane, &err) : 0;

    if (!rc)
        return 0;
    bcda__err_copy(&d->err, &err);
    fail(d, rc);
    return 1;
}

/* The file ends before what has come, if it can end there. 1: it cannot. 0 or a code. */
static int cut_at(struct bcda__download *d, int64_t at, struct bcda_error *err)
{
    if (bcda__lane_end_at(d->lane, at))
        return 1;
    return d->spool ? bcda__spool_cut(d->spool, at, err) : 0;
}

/* The same during the response that named the end. 0 also where it shows only once all that
 * came is decoded: see accept_end(). */
static int end_file_at(struct bcda__download *d, int64_t at, struct bcda_error *err)
{
    int rc;

    if (d->batch || bcda__lane_is_full(d->lane) || !bcda__lane_is_drained(d->lane)) {
        d->end_at = at;
        return 0;
    }
    rc = cut_at(d, at, err);
    if (rc > 0)
        d->resume.ranges = 0; /* no place where this file can end: see it whole */
    return rc;
}

/* Whether the file can end where a range has said. 0: it cannot, and is asked for whole; or a batch
 * must be given first. */
static int accept_end(struct bcda__download *d)
{
    int64_t at = d->end_at;
    size_t used;
    int rc;

    if (at < 0 || (d->code && !d->condemned))
        return 1;
    rc = bcda__lane_write(d->lane, "", 0, &used, &d->err); /* what still waits inside */
    if (!rc && bcda__lane_is_full(d->lane))
        return 0;
    d->end_at = -1;
    if (!rc)
        rc = cut_at(d, at, &d->err);
    if (rc < 0) {
        d->code = rc;
        d->condemned = 0;
    }
    if (rc <= 0)
        return 1;
    d->resume.ranges = 0;
    rc = open_call(d);
    if (rc)
        d->code = rc;
    else
        d->ended = 0;
    return 0;
}

/* Does what can be done without more bytes. 0: this download, or the whole job, is gone, or this is
 * a child. */
static int settle(struct bcda__download *d)
{
    while (!d->job->s->forked) {
        if (d->batch) {
            int given = deliver(d);

            if (given <= 0)
                return given == 0;
            continue;
        }
        if (d->lane && bcda__lane_is_full(d->lane)) {
            if (!bcda__lane_is_inline(d->lane) && bcda__engine_is_spent(d->job->s->engine)) {
                bcda__timer_set(d->job->s->engine, &d->turn, 0, next_turn, d);
                return 1; /* workers may make batches faster than the host takes them */
            }
            if (take_rest(d))
                continue;
        }
        if (!d->ended && !find_failure(d))
            return 1;
        if (!d->lane) {
            conclude(d);
            return 0;
        }
        if (!bcda__lane_is_drained(d->lane))
            return 1; /* its news comes */
        if (!accept_end(d))
            continue;
        if (!d->code || d->condemned) {
            int first = check_whole(d);

            d->condemned = 0;
            if (first && take_rest(d))
                continue;
        }
        if (d->spool && !d->second && !d->code) {
            begin_second_pass(d);
            continue;
        }
        count(d);
        if (take_rest(d))
            continue;
        conclude(d);
        return 0;
    }
    return 0;
}

static void flush(void *ctx)
{
    struct bcda__download *d = ctx;

    if (d->batch || d->job->paused)
        return;
    (void)take_rest(d);
    go_on(d);
}

static void flush_later(struct bcda__download *d)
{
    if (d->lane && !d->flush.set && !d->job->paused && bcda__lane_has_batch(d->lane))
        bcda__timer_set(d->job->s->engine, &d->flush,
                        bcda__session_option(d->job->s, BCDA_OPT_BATCH_DELAY_MS), flush, d);
}

/* Workers can go on while a batch waits for the host; inline there is nothing to gain. */
static int takes_bytes(const struct bcda__download *d)
{
    return !d->job->paused && (!d->batch || !bcda__lane_is_inline(d->lane));
}

/* The lane has found nothing to read. A paused job reads nothing. */
static void wait_for_bytes(struct bcda__download *d)
{
    if (!d->channel || d->job->paused || !bcda__lane_is_dry(d->lane))
        return;
    if (!bcda__transfer_is_over(d->lent))
        bcda__channel_rest(d->channel); /* which ends the transfer where that cannot be done */
    if (bcda__transfer_is_over(d->lent))
        bcda__call_reclaim(d->call); /* tells the end, in this step or the next */
}

/* Settles, and asks for more bytes. */
static void go_on(struct bcda__download *d)
{
    wait_for_bytes(d);
    if (!settle(d) || d->job->paused || !d->lane || d->ended)
        return;
    if (!takes_bytes(d))
        return;
    if (d->second) {
        if (!d->batch && bcda__lane_has_room(d->lane))
            bcda__timer_set(d->job->s->engine, &d->turn, 0, next_turn, d);
        return;
    }
    if (!d->call)
        return;
    if (!d->batch)
        flush_later(d);
    bcda__call_wake(d->call);
}

/* Workers have done something: a batch, room, a failure, the end. */
static void on_news(void *ctx)
{
    struct bcda__download *d = ctx;

    if (!d->second) /* the first pass has counted them */
        count(d);
    if (!d->job->paused)
        go_on(d);
}

void bcda__download_advance(struct bcda__download *d)
{
    go_on(d);
}

/* ---- what the call tells ---- */

static int is_gzip(const char *encoding)
{
    return bcda__text_equal_nocase(encoding, strlen(encoding), "gzip") ||
           bcda__text_equal_nocase(encoding, strlen(encoding), "x-gzip");
}

static int make_decoder(struct bcda__download *d, struct bcda_error *err)
{
    const bcda_session *s = d->job->s;
    struct bcda__decoder_options o = {0};

    o.name = d->file->entry->name;
    o.gzip = d->gzip;
    o.trusted = d->second;
    o.check_only = d->spool && !d->second;
    o.expected = d->second ? NULL : &d->expected; /* that was checked in the first pass */
    o.key = (const uint8_t *)d->key.data;
    o.line_max = (size_t)bcda__session_option(s, BCDA_OPT_LINE_MAX);
    o.depth_max = (int)bcda__session_option(s, BCDA_OPT_JSON_DEPTH_MAX);
    o.batch_size = (size_t)bcda__session_option(s, BCDA_OPT_BATCH_SIZE);
    o.fields = d->job->fields;
    return bcda__lane_new(&d->lane, bcda__session_workers(d->job->s), &o, on_news, d, err);
}

static int open_decoder(struct bcda__download *d, const struct bcda__transfer *t,
                        struct bcda_error *err)
{
    const char *encoding = bcda__transfer_header(t, "Content-Encoding");

    d->gzip = is_gzip(encoding);
    if (encoding[0] && !d->gzip && !bcda__text_equal_nocase(encoding, strlen(encoding), "identity"))
        return bcda__err_set(err, BCDA_ERR_HTTP, "a Content-Encoding that nobody asked for");
    d->file->expected = bcda__transfer_content_length(t);
    return make_decoder(d, err);
}

static int64_t on_from(void *ctx, const char **if_range)
{
    struct bcda__download *d = ctx;

    *if_range = d->resume.validator;
    return bcda__resume_begin(&d->resume);
}

/* The whole file comes again. Where the host has seen nothing of what came before, that is
 * forgotten and need not be compared. 0 or a code. */
static int begin_afresh(struct bcda__download *d, struct bcda_error *err)
{
    int rc;

    d->afresh = 0;
    if (d->delivered || d->batch)
        return 0;
    d->job->received -= d->file->received;
    d->job->bytes -= d->file->bytes;
    d->job->s->stat[BCDA_STAT_BYTES_DECODED] -= d->file->bytes;
    d->file->received = d->file->bytes = 0;
    bcda__timer_clear(&d->flush);
    drop_lane(d);
    if (d->spool && (rc = bcda__spool_reset(d->spool, err)))
        return rc;
    rc = bcda__resume_reset(&d->resume);
    return rc ? bcda__err_set(err, rc, "%s", bcda_error_string(rc)) : 0;
}

static int on_head(void *ctx, struct bcda__call *call, struct bcda_error *err)
{
    struct bcda__download *d = ctx;
    const struct bcda__transfer *t = bcda__call_transfer(call);
    int64_t end;
    int rc = 0;

    /* A page of something in between is no data, however its lines would be judged. */
    if (!d->key.data &&
        bcda__text_starts_nocase(bcda__transfer_header(t, "Content-Type"), "text/html"))
        return bcda__err_set(err, BCDA_ERR_NOT_JSON, "an HTML page came in place of the file");
    if (d->afresh && (rc = begin_afresh(d, err)))
        return rc;
    rc = bcda__resume_head(&d->resume, t, &end, err);
    if (rc == BCDA__RESUME_WHOLE)
        return BCDA__CALL_WHOLE;
    if (rc == BCDA__RESUME_DONE)
        return BCDA__CALL_DONE;
    if (rc == BCDA__RESUME_ENDS) {
        rc = end_file_at(d, end, err);
        return rc < 0 ? rc : rc ? BCDA__CALL_WHOLE : BCDA__CALL_DONE;
    }
    if (rc < 0 || d->lane)
        return rc;
    return open_decoder(d, t, err);
}

/* What came before is passed over. 1: there are bytes for the decoder. 0: *result is the answer. */
static int pass_over(struct bcda__download *d, const uint8_t *data, size_t len, size_t *at,
                     size_t *result)
{
    int64_t began = bcda__clock_ns();
    struct bcda_error err;
    size_t n;
    int rc;

    do {
        rc = bcda__resume_pass(&d->resume, data + *at, len - *at, &n, &err);
        *at += n;
    } while (rc == BCDA__RESUME_GO && n > 0);
    add_time(d, BCDA_STAT_HASH_NS, began);
    if (rc == BCDA__RESUME_GO) {
        *result = len;
        return *at < len;
    }
    *result = BCDA__CALL_REPEAT;
    if (rc < 0) {
        bcda__err_copy(&d->err, &err);
        fail(d, rc);
        (void)settle(d);
        *result = BCDA__CALL_GONE;
    }
    return 0;
}

static void took(struct bcda__download *d, const uint8_t *data, size_t len)
{
    int64_t began = bcda__clock_ns();

    bcda__resume_took(&d->resume, data, len);
    add_time(d, BCDA_STAT_HASH_NS, began);
    advance(d, d->resume.at);
}

static int spool(struct bcda__download *d, const uint8_t *data, size_t len)
{
    int64_t began = bcda__clock_ns();
    int rc = bcda__spool_add(d->spool, data, len, &d->err);

    add_time(d, BCDA_STAT_SPOOL_NS, began);
    return rc;
}

static int unspool(struct bcda__download *d, const uint8_t **data, size_t *len)
{
    int64_t began = bcda__clock_ns();
    int rc = bcda__spool_peek(d->spool, data, len, &d->err);

    add_time(d, BCDA_STAT_SPOOL_NS, began);
    return rc;
}

static size_t on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct bcda__download *d = ctx;
    size_t total = 0, used, result;
    int rc = 0;

    if (!pass_over(d, data, len, &total, &result))
        return result;
    while (takes_bytes(d) && (total == 0 || !bcda__engine_is_spent(d->job->s->engine))) {
        rc = bcda__lane_write(d->lane, data + total, len - total, &used, &d->err);
        if (!rc && d->spool)
            rc = spool(d, data + total, used);
        took(d, data + total, used);
        bcda__engine_spend(d->job->s->engine, used);
        total += used;
        if (!rc && (d->batch || !bcda__lane_is_full(d->lane)))
            break;
        if (!rc)
            rc = take(d);
        if (rc)
            fail(d, rc);
        if (!settle(d))
            return BCDA__CALL_GONE;
        if (d->ended)
            return BCDA__CALL_GONE; /* the batch of a failed file waits for the host */
    }
    count(d);
    flush_later(d);
    return total;
}

/* ---- what the lane reads by itself ---- */

static size_t source_read(void *ctx, const uint8_t **data)
{
    return bcda__channel_read(((struct bcda__download *)ctx)->channel, data);
}

static void source_took(void *ctx, const uint8_t *data, size_t len)
{
    struct bcda__download *d = ctx;

    bcda__resume_took(&d->resume, data, len);
    bcda__transfer_take(d->lent, len);
}

static void on_ready(void *ctx)
{
    bcda__lane_go_on(((struct bcda__download *)ctx)->lane);
}

/* Not before what came in earlier tries is passed over. */
static int on_lend(void *ctx, struct bcda__channel *channel, struct bcda__transfer *t)
{
    struct bcda__download *d = ctx;
    struct bcda__source source = {source_read, source_took, d};

    if (d->resume.phase != BCDA__TAKE || d->code || d->ended)
        return 0;
    d->channel = channel;
    d->lent = t;
    d->lent_from = d->lent_counted = bcda__lane_taken(d->lane);
    bcda__channel_lend(channel, t, on_ready, d);
    bcda__lane_lend(d->lane, &source);
    return 1;
}

static int64_t on_lent_bytes(void *ctx, int *held)
{
    struct bcda__download *d = ctx;

    *held = bcda__lane_was_held(d->lane) || d->job->paused;
    return bcda__lane_taken(d->lane) - d->lent_from;
}

static int on_reclaim(void *ctx)
{
    struct bcda__download *d = ctx;
    int lost = bcda__lane_reclaim(d->lane);

    if (!lost && !d->job->s->forked)
        count(d);
    d->channel = NULL;
    d->lent = NULL;
    return lost;
}

static int on_more(void *ctx, struct bcda_error *err)
{
    struct bcda__download *d = ctx;
    int64_t end;
    int rc = bcda__resume_end(&d->resume, &end, err);

    return rc == BCDA__RESUME_ENDS ? end_file_at(d, end, err) : rc == BCDA__RESUME_MORE;
}

/* The body broke off. Where it cannot be gone on with, and the host has seen nothing of it, it
 * simply begins again, unless the host sees something of it meanwhile. Until then what came stays:
 * should no other try bring more, it is delivered. */
static int on_broke(void *ctx)
{
    struct bcda__download *d = ctx;

    d->afresh = !d->delivered && !d->batch && d->lane && !d->resume.ranges;
    if (d->afresh)
        bcda__timer_clear(&d->flush);
    return 1;
}

/* ---- verified delivery ---- */

enum { PIECES_A_TURN = 16 };

/* What was verified is read from the spool, some pieces a turn, through a decoder of its own. */
static void read_spool(struct bcda__download *d)
{
    const uint8_t *data;
    size_t len = 1, used;
    int rc = 0, i;

    for (i = 0; !rc && len && !d->batch && i < PIECES_A_TURN; i++) {
        rc = unspool(d, &data, &len);
        if (rc || !len)
            break;
        rc = bcda__lane_write(d->lane, data, len, &used, &d->err);
        bcda__spool_take(d->spool, used);
        if (!rc && bcda__lane_is_full(d->lane))
            rc = take(d);
        if (used < len && !d->batch)
            break; /* its news comes */
    }
    if (rc)
        d->code = rc;
    d->ended = rc || !len;
    go_on(d);
}

static void next_turn(void *ctx)
{
    struct bcda__download *d = ctx;

    if (d->second && !d->ended && !d->batch)
        read_spool(d);
    else
        go_on(d);
}

/* The network is done with the file, and its bytes are verified. */
static void begin_second_pass(struct bcda__download *d)
{
    int rc;

    drop_lane(d);
    d->second = 1;
    rc = make_decoder(d, &d->err);
    if (rc) {
        fail(d, rc);
        return;
    }
    d->ended = 0;
    bcda__timer_set(d->job->s->engine, &d->turn, 0, next_turn, d);
}

/* A server that always breaks off, perhaps at its time limit, and cannot be gone on with. */
static void explain_cuts(struct bcda__download *d)
{
    int code = d->err.code;

    if (d->resume.ranges || d->furthest == 0 ||
        (code != BCDA_ERR_TRANSFER && code != BCDA_ERR_TRUNCATED && code != BCDA_ERR_STALLED))
        return;
    bcda__err_context(
        &d->err,
        "the server breaks this file off each time (%lld bytes came at most) and does "
        "not let it be resumed; fewer files at once (option \"parallel\") may bring it in "
        "time",
        (long long)d->furthest);
}

static void on_end(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *answer,
                   const struct bcda_error *err)
{
    struct bcda__download *d = ctx;

    (void)answer;
    if (verdict != BCDA__OK && (!d->code || !d->condemned)) {
        d->code = err->code;
        bcda__err_copy(&d->err, err);
        explain_cuts(d);
    }
    if (verdict != BCDA__OK)
        d->condemned = 0; /* its end never came: the bad line is what is known */
    stop_network(d);
    if (!d->lane && !d->code) /* a 200 without a body has no data, but a head */
        d->code = bcda__err_set(&d->err, BCDA_ERR_HTTP, "the answer has no head");
    (void)settle(d);
}

/* ---- the beginning ---- */

/* Of error files the count is not to be relied on: whether it means files, issues or lines is open
 * (Bulk Data, output files). */
static void set_expected(struct bcda__download *d)
{
    const struct bcda__entry *e = d->file->entry;
    int counts = bcda__session_option(d->job->s, BCDA_OPT_CHECK_COUNT) && !e->is_error;

    d->expected.length = e->length;
    d->expected.count = counts ? e->count : -1;
    d->expected.checksum = e->checksum;
}

static int open_call(struct bcda__download *d)
{
    bcda_session *s = d->job->s;
    struct bcda__call_spec spec = {0};
    struct bcda__buf url;
    int same, rc;

    bcda__buf_init(&url, 64 * 1024);
    rc = bcda__origin_adopt(s, d->file->entry->url, &url, &same, &d->err);
    if (rc)
        goto out;
    spec.what = "file";
    spec.about = d->label;
    spec.method = "GET";
    spec.url = url.data;
    spec.accept = "application/fhir+ndjson";
    /* One header that is exactly "gzip": in 2020 to 2024 nothing else was heard (bcda-api 6.1). An
     * encrypted file does not shrink. */
    if (bcda__session_option(s, BCDA_OPT_GZIP) && !d->file->entry->key)
        spec.accept_encoding = "gzip";
    spec.with_token = d->job->files->manifest->requires_access_token;
    spec.judge = bcda__answer_file;
    spec.body_max = (size_t)bcda__session_option(s, BCDA_OPT_ANSWER_MAX);
    spec.head = on_head;
    spec.data = on_data;
    spec.proves_end = d->key.data != NULL;
    spec.adapts = 1;
    spec.retries = &d->job->retries;
    spec.from = on_from;
    spec.more = on_more;
    spec.broke = on_broke;
    if (bcda__session_workers(s) && !d->spool) { /* what is spooled passes through here */
        spec.lend = on_lend;
        spec.lent_bytes = on_lent_bytes;
        spec.reclaim = on_reclaim;
    }
    spec.end = on_end;
    spec.ctx = d;
    rc = bcda__call_new(&d->call, s, &spec);
    if (rc)
        bcda__err_set(&d->err, rc, "%s", bcda_error_string(rc));
out:
    bcda__buf_free(&url);
    return rc;
}

/* Nothing is asked for before its key is there: a file without would come in vain. */
static void ask_for_file(struct bcda__download *d, int rc)
{
    if (!rc)
        rc = open_call(d);
    if (!rc)
        return;
    fail(d, rc);
    conclude(d);
}

static void on_key(void *ctx, int code, const struct bcda_error *err)
{
    struct bcda__download *d = ctx;

    d->job->s->stat[BCDA_STAT_DECRYPT_NS] += bcda__unwrap_spent(d->unwrap);
    if (code)
        bcda__err_copy(&d->err, err);
    bcda__unwrap_free(d->unwrap);
    d->unwrap = NULL;
    ask_for_file(d, code);
}

/* 0: it is there, or on_key() will come. */
static int open_key(struct bcda__download *d)
{
    const struct bcda__entry *e = d->file->entry;
    const bcda_config *config = d->job->s->config;
    struct bcda__workers *workers;
    uint8_t *key;
    int64_t began;
    int rc;

    if (!e->key)
        return 0;
    if (bcda__secret_set(&d->key, NULL, BCDA__GCM_KEY))
        return bcda__err_nomem(&d->err);
    key = (uint8_t *)d->key.data;
    workers = bcda__session_workers(d->job->s);
    if (workers) {
        rc = bcda__unwrap_new(&d->unwrap, workers, config, e->key, e->name, key, on_key, d);
        return rc ? bcda__err_nomem(&d->err) : 0;
    }
    began = bcda__clock_ns();
    rc = bcda__config_unwrap(config, e->key, e->name, key, &d->err);
    add_time(d, BCDA_STAT_DECRYPT_NS, began);
    return rc;
}

void bcda__download_start(bcda_job *job, struct bcda_file *file)
{
    struct bcda__download *d = bcda__calloc(1, sizeof *d);
    struct bcda_error err;
    int rc;

    if (!d) {
        bcda__job_end(job, bcda__err_nomem(&err), &err);
        return;
    }
    d->job = job;
    d->file = file;
    d->end_at = -1;
    bcda__err_clear(&d->err);
    label_file(job, file, d->label);
    set_expected(d);
    d->next = job->downloads;
    if (d->next)
        d->next->prev = d;
    job->downloads = d;
    job->open++;
    if (bcda__job_tell_file(job, file, BCDA_FILE_BEGIN))
        return; /* the job has ended, and with it this */
    rc = bcda__resume_init(&d->resume);
    if (rc)
        bcda__err_set(&d->err, rc, "%s", bcda_error_string(rc));
    if (!rc && bcda__session_option(job->s, BCDA_OPT_DELIVERY) == BCDA_DELIVERY_VERIFIED)
        rc = bcda__spool_new(&d->spool, job->s->config->spool_directory, &d->err);
    if (!rc)
        rc = open_key(d);
    if (!d->unwrap)
        ask_for_file(d, rc);
}

struct bcda__download *bcda__download_next(const struct bcda__download *d)
{
    return d->next;
}

int bcda__download_has_batch(const struct bcda__download *d)
{
    return d->batch && is_pulled(d);
}

struct bcda_batch *bcda__download_take_batch(struct bcda__download *d)
{
    struct bcda_batch *b = d->batch;
    int64_t max = bcda__session_option(d->job->s, BCDA_OPT_BAD_LINES_MAX);
    size_t fatal = bcda__cut_at_fatal(b, d->job->bad_lines, max);
    int64_t rows = (int64_t)b->rows, bad;
    struct bcda_error err;

    d->batch = NULL;
    d->delivered = 1;
    if (fatal < b->bad_count) {
        bcda__fatal_line_error(&b->bad[fatal], max, &err);
        fail_line(d, &err);
        b->bad_count = fatal + 1;
    }
    bad = (int64_t)b->bad_count;
    if (d->file->entry->is_error && bcda__count_issues(b, d->job->issues) && !d->code)
        fail(d, bcda__err_nomem(&d->err));
    d->file->resources += rows;
    d->file->bad_lines += bad;
    d->job->bad_lines += bad;
    count_resources(d, rows);
    return b;
}

void bcda__download_mark(struct bcda__download *d, int mark)
{
    d->mark = mark;
}

int bcda__download_is_marked(const struct bcda__download *d)
{
    return d->mark;
}
