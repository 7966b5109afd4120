/* The soak test: 200 files of 1 to 20 MB in one job, once without faults and once with a random
 * fault in every third response. The client must deliver each file completely and only once; hashes
 * of the original files show whether it does. */
#include "bench.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EOB "ExplanationOfBenefit"

enum { FILES = 200, LEAST = 1000000, MOST = 20000000, EVERY = 3, READY_S = 300 };

struct file {
    EVP_MD_CTX *ctx;
    uint8_t hash[32]; /* SHA-256 of the file's bytes */
    int64_t bytes;
    int begins, ends, verdict, matched;
};

static struct fixture fx;
static struct shown shown;
static struct file got[FILES], made[FILES];
static const char *names[FILES];
static int done, result;

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- hashes ---- */

static void begin_hash(struct file *f)
{
    f->ctx = EVP_MD_CTX_new();
    ck_assert_msg(f->ctx && EVP_DigestInit_ex(f->ctx, EVP_sha256(), NULL) == 1, "no hash");
}

static void add_hash(struct file *f, const void *data, size_t len)
{
    f->bytes += (int64_t)len;
    ck_assert_msg(EVP_DigestUpdate(f->ctx, data, len) == 1, "no hash");
}

static void end_hash(struct file *f)
{
    ck_assert_msg(EVP_DigestFinal_ex(f->ctx, f->hash, NULL) == 1, "no hash");
    EVP_MD_CTX_free(f->ctx);
    f->ctx = NULL;
}

static void hash_file(struct file *f, const char *path)
{
    static char block[1 << 18];
    FILE *in = path ? fopen(path, "rb") : NULL;
    size_t n;

    ck_assert_msg(in != NULL, "a plain file is missing");
    begin_hash(f);
    while ((n = fread(block, 1, sizeof block, in)) > 0)
        add_hash(f, block, n);
    fclose(in);
    end_hash(f);
}

/* ---- the job's callbacks ---- */

static int on_batch(bcda_job *job, bcda_batch *batch, void *userdata)
{
    struct file *f = &got[bcda_file_index(bcda_batch_file(batch))];
    size_t i, len;

    (void)job;
    (void)userdata;
    for (i = 0; i < bcda_batch_count(batch); i++) {
        const char *line = bcda_resource_line(bcda_batch_resource(batch, i), &len);

        add_hash(f, line, len);
        add_hash(f, "\n", 1);
    }
    return BCDA_CONTINUE;
}

static int on_file(bcda_job *job, const bcda_file *file, int event, void *userdata)
{
    struct file *f = &got[bcda_file_index(file)];

    (void)job;
    (void)userdata;
    if (event == BCDA_FILE_BEGIN) {
        f->begins++;
        begin_hash(f);
        return BCDA_CONTINUE;
    }
    f->ends++;
    f->verdict = bcda_file_verdict(file);
    end_hash(f);
    return BCDA_CONTINUE;
}

static void on_done(bcda_job *job, int code, void *userdata)
{
    (void)job;
    (void)userdata;
    done++;
    result = code;
}

/* ---- a run ---- */

static void open_server(uint64_t seed)
{
    struct sandbox_options o = {0};

    o.era = "2019-04";
    o.seed = seed;
    o.files = o.patients = FILES;
    o.claims = 1;
    o.file_bytes = LEAST;
    o.file_bytes_max = MOST;
    fixture_open_sandbox(&fx, &o);
    fx.no_log = 1; /* open_session() sets shown_log() */
}

static void open_session(void)
{
    fixture_config(&fx);
    ck_assert_ok(bcda_config_set_log(fx.config, BCDA_LOG_DEBUG, shown_log, &shown, NULL));
    fixture_session(&fx);
}

/* Attaches to the export job at `url` on the server. If `url` is NULL, starts a new one. */
static bcda_job *start(const char *url)
{
    bcda_handlers *handlers = NULL;
    bcda_export *x = NULL;
    bcda_job *job = NULL;

    memset(got, 0, sizeof got);
    done = 0;
    ck_assert_msg(bcda_handlers_new(&handlers) == 0 &&
                      bcda_export_new(&x, BCDA_LEVEL_RESOURCE) == 0 &&
                      bcda_export_add_type(x, EOB) == 0 &&
                      bcda_handlers_on_batch(handlers, on_batch, NULL, NULL) == 0 &&
                      bcda_handlers_on_file(handlers, on_file, NULL, NULL) == 0 &&
                      bcda_handlers_on_done(handlers, on_done, NULL, NULL) == 0,
                  "no handlers");
    ck_assert_msg((url ? bcda_job_attach(fx.session, url, x, handlers, &job)
                       : bcda_job_start(fx.session, x, handlers, &job)) == 0,
                  "no job");
    bcda_handlers_free(handlers);
    bcda_export_free(x);
    return job;
}

/* Waits until the server has generated all files, which takes real time. If the test went on
 * before that, the client's simulated clock would run ahead of the server. */
static void wait_for_files(void)
{
    double until = seconds() + READY_S;
    struct timespec t = {0, 20000000};

    while (!sandbox_file_name(fx.sandbox, EOB, FILES - 1) && seconds() < until)
        nanosleep(&t, NULL);
    ck_assert_msg(sandbox_file_name(fx.sandbox, EOB, FILES - 1) != NULL,
                  "the server does not become ready");
}

struct figures {
    double seconds, waited; /* real time, and time on the client's clock */
    int64_t wire, requests, retries;
};

static void drive(const bcda_job *job, struct figures *f)
{
    double begun = seconds();
    int64_t clock = fx.now;

    while (!done)
        ck_assert_msg(fixture_step(&fx) || done, "the job runs, and no event will come");
    ck_assert_msg(result == BCDA_OK, "%s", bcda_error_text(bcda_job_error(job)));
    f->seconds = seconds() - begun;
    f->waited = (double)(fx.now - clock) / 1000;
    ck_assert_msg(bcda_session_stat(fx.session, BCDA_STAT_BYTES_WIRE, &f->wire) == 0 &&
                      bcda_session_stat(fx.session, BCDA_STAT_REQUESTS, &f->requests) == 0 &&
                      bcda_session_stat(fx.session, BCDA_STAT_RETRIES, &f->retries) == 0,
                  "no figures");
}

static int64_t check(const bcda_job *job)
{
    int64_t bytes = 0;
    size_t i, k;

    ck_assert_msg(bcda_job_file_count(job) == FILES && bcda_job_files_ended(job) == FILES,
                  "not all files were received");
    for (i = 0; i < FILES; i++)
        made[i].matched = 0;
    for (i = 0; i < FILES; i++) {
        const char *name = bcda_file_name(bcda_job_file(job, i));

        ck_assert_msg(got[i].begins == 1 && got[i].ends == 1 &&
                          got[i].verdict == BCDA_VERDICT_COMPLETE,
                      "a file is not complete");
        for (k = 0; k < FILES && strcmp(names[k], name) != 0; k++)
            ;
        ck_assert_msg(k < FILES && !made[k].matched++,
                      "a file is not one of the server, or was delivered twice");
        ck_assert_msg(got[i].bytes == made[k].bytes && memcmp(got[i].hash, made[k].hash, 32) == 0,
                      "a file is not the one that the server generated");
        bytes += got[i].bytes;
    }
    return bytes;
}

static void close_session(bcda_job *job)
{
    bcda_job_unref(job);
    fixture_end(&fx);
}

static void remember_files(void)
{
    unsigned i;

    for (i = 0; i < FILES; i++) {
        names[i] = sandbox_file_name(fx.sandbox, EOB, i);
        hash_file(&made[i], sandbox_plain_file(fx.sandbox, EOB, i));
        ck_assert_msg(made[i].bytes >= LEAST && made[i].bytes < MOST + LEAST,
                      "a file has a wrong size");
    }
}

static void check_shown(const struct files *files)
{
    const char *found = secrets_find(fx.sandbox, &shown, NULL);
    ssize_t n = files->log >= 0 ? write(files->log, shown.text, shown.len) : 0;

    ck_assert_msg(n >= 0, "cannot write the log");
    ck_assert_msg(!found, "%s", found ? found : "");
}

void soak(const struct files *files, uint64_t seed)
{
    struct figures clean, faulty;
    int64_t bytes;
    unsigned faults;
    bcda_job *job;
    char *url;

    open_server(seed);
    open_session();
    job = start(NULL);
    while (bcda_job_state(job) != BCDA_JOB_RUNNING)
        ck_assert_msg(fixture_step(&fx), "no event will come, and the job does not run");
    wait_for_files();
    remember_files();
    drive(job, &clean);
    bytes = check(job);
    url = strdup(bcda_job_url(job));
    close_session(job);

    sandbox_set_random_faults(fx.sandbox, seed, EVERY);
    open_session();
    job = start(url);
    drive(job, &faulty);
    check(job);
    faults = sandbox_count(fx.sandbox, "random");
    close_session(job);
    free(url);
    check_shown(files);
    printf("soak, seed %llu: %d files, %lld MB, all complete, each resource once, by hash\n",
           (unsigned long long)seed, FILES, (long long)bytes / 1000000);
    printf("  without faults: %.1f s, %lld requests, %lld MB received\n", clean.seconds,
           (long long)clean.requests, (long long)clean.wire / 1000000);
    printf("  with %u faults: %.1f s (%.2f times), %lld requests, %lld MB received, and %.0f s of "
           "waiting on the client's clock\n",
           faults, faulty.seconds, faulty.seconds / clean.seconds, (long long)faulty.requests,
           (long long)faulty.wire / 1000000, faulty.waited);
    fixture_close(&fx);
    shown_free(&shown);
}
