/*
 * What the client tests share: a server in this process, a session on a clock that the test owns,
 * and a record of everything that the callbacks received. The server is the sandbox, which behaves
 * as BCDA does, or a scripted server, which plays a script.
 *
 * No test waits for time: when nothing is in progress, the clock moves to the next timer. The
 * fixture fails a test that breaks a rule: a callback outside run, step and free; a callback after
 * done; data outside of its file.
 */
#ifndef BCDA_TESTS_FIXTURE_H
#define BCDA_TESTS_FIXTURE_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

#include "bcda/bcda.h"
#include "client/config.h"
#include "client/entry.h"
#include "client/session.h"
#include "sandbox.h"
#include "scripted_server.h"
#include "suite.h"

/* A call that gives 0. */
#define ck_assert_ok(call) ck_assert_int_eq(call, 0)
/* The sandbox's options: SANDBOX(.era = "2019-04", .files = 4) */
#define SANDBOX(...) (&(struct sandbox_options){__VA_ARGS__})

/* How the application takes resources: by one of two callbacks, or by bcda_job_next(). */
enum delivery_way { BY_RESOURCE, BY_BATCH, BY_PULL };

/* The callback that a hook is called from, and the object that the hook gets. */
enum where {
    AT_STATE,    /* NULL */
    AT_BEGIN,    /* bcda_file */
    AT_END,      /* bcda_file */
    AT_RESOURCE, /* bcda_resource */
    AT_BATCH,    /* bcda_batch */
    AT_BAD_LINE, /* bcda_bad_line */
    AT_ISSUE,    /* bcda_issue */
    AT_PROGRESS, /* NULL */
    AT_DONE,     /* NULL; the result is not used */
    AT_COUNT
};

struct run;
/* Gives the result of the callback. The object is recorded only with BCDA_CONTINUE. */
typedef int (*hook_fn)(struct run *r, enum where where, void *object);

struct got {
    size_t file; /* its index in the manifest */
    char *json, *line, *type, *id, *full_url, *updated;
    size_t json_len, line_len;
    int64_t number, offset;
    int provisional;
};

struct got_bad {
    size_t file;
    int code;
    int64_t number, offset, length;
    char *bytes;      /* NULL = not kept */
    size_t resources; /* how many resources of the job came before it */
};

struct got_issue {
    int severity, index;
    char *code, *text;
};

struct got_file {
    int begins, ends, verdict;
};

enum { FILES_MAX = 64, STATES_MAX = 16 };

struct run {
    struct fixture *fixture;
    bcda_job *job; /* a reference of the test's */
    enum delivery_way way;
    hook_fn hook;
    void *arg; /* the hook's own */
    struct got *got;
    size_t count;
    struct got_bad *bad;
    size_t bad_count;
    struct got_issue *issues;
    size_t issue_count;
    struct got_file files[FILES_MAX];
    int states[STATES_MAX];
    size_t state_count;
    int progress, done, result;
    int drained;              /* BY_PULL: bcda_job_next() gave BCDA_ERR_END */
    int destroyed[AT_COUNT];  /* how often the destroy of each registration ran */
    bcda_batch *batches[256]; /* with `hold` */
    size_t batch_count;
    int hold; /* keep a reference to every batch */
    struct run *next;
};

struct fixture {
    struct sandbox *sandbox;        /* NULL with a scripted server */
    struct scripted_server *server; /* NULL with a sandbox */
    bcda_config *config;
    bcda_session *session;
    bcda_export *x;
    struct run *runs;
    int64_t now;         /* the clock: milliseconds, monotonic and wall alike */
    int64_t max_jump;    /* the clock does not move to a timer that is farther away */
    int jump_open;       /* the clock moves while transfers are open, too, once no bytes arrive */
    int stay;            /* the clock does not move by itself */
    int use_run;         /* bcda_session_run() in place of the descriptor and step */
    int inside;          /* run, step or free is on the stack */
    int fds;             /* open descriptors when the session was made */
    unsigned worked;     /* steps that did something */
    int vain;            /* steps in a row that did nothing, though the descriptor was readable */
    int64_t timer_at;    /* real time before which the last step's timer cannot expire */
    char token[2048];    /* the last token: no text may contain it */
    int64_t quiet_since; /* real time in seconds since when nothing comes; 0 = something came */
    const char *const *secrets; /* NULL, or what else no text may contain; ends with NULL */
    int no_log;                 /* fixture_config() sets no log callback */
};

/* ---- opening ---- */

/* Starts a sandbox with TLS and keep_plain. `o` may be NULL. */
void fixture_open_sandbox(struct fixture *fx, const struct sandbox_options *o);
void fixture_open_sandbox_http(struct fixture *fx, const struct sandbox_options *o);
/* Starts a scripted server. Its answers are added before the session is made. */
void fixture_open_scripted(struct fixture *fx, int tls);
void fixture_open_scripted_with(struct fixture *fx, const struct scripted_options *o);
void fixture_init(struct fixture *fx); /* without a server */
/* A config for that server: URL (API version 1), credentials, CA, clock, log; the sandbox's private
 * key. */
bcda_config *fixture_config(struct fixture *fx); /* the one that is there already, or a new one */
bcda_config *fixture_config_version(struct fixture *fx, int version);
/* A config for a server elsewhere, with the credentials of the scripted server. */
bcda_config *fixture_config_at(struct fixture *fx, const char *origin, const char *ca_file);
void fixture_set(struct fixture *fx, int option, int64_t value); /* of fixture_config() */
void fixture_add_key(struct fixture *fx); /* the scripted server's private key, to the config */
void fixture_set_verified(struct fixture *fx, const char *folder); /* with its spool there */
/* Makes the session and frees the config. Without a config: fixture_config(). Without an export:
 * one of level Patient. */
void fixture_session(struct fixture *fx);
/* A session against a sandbox: the three steps above. */
void fixture_setup(struct fixture *fx, const struct sandbox_options *o, int version);
/* One encrypted file of 50 lines and some 400 kB, in two batches (era 2019-04). */
void fixture_setup_one_file(struct fixture *fx);
/* Something for every callback: an error file, warnings, an invalid line that is tolerated. */
void fixture_setup_everything(struct fixture *fx);
void fixture_fault(struct fixture *fx, const char *spec); /* of the sandbox */
/* Replaces the export; the types end with NULL. */
void fixture_export(struct fixture *fx, int level, ...);
/* ExplanationOfBenefit, at the level that the server of this era has for it. */
void fixture_export_eob(struct fixture *fx, const char *era);

/* ---- what the scripted server answers ---- */

/* Patients p<first>, p<first + 1> and so on, a line each. */
void fixture_add_patients(struct buf *b, size_t first, size_t count);
void fixture_reply_patients(struct fixture *fx, const char *match, size_t first, size_t count);
/* /data/a.ndjson, b.ndjson and c.ndjson, all of Patient and not encrypted. */
extern const struct scripted_entry fixture_files[3];
/* Two of them with 3 patients each, and the job that leads to them. */
void fixture_reply_two_files(struct fixture *fx);
/* A job that is done at once with so many files, /data/0.ndjson and so on. */
void fixture_export_many(struct fixture *fx, size_t n, const char *key_hex);

/* ---- running ---- */

/* A run with its handlers, not started; and started. */
struct run *fixture_run_new(struct fixture *fx, enum delivery_way way, hook_fn hook, void *arg);
bcda_handlers *fixture_handlers(struct run *r);
struct run *fixture_start(struct fixture *fx, enum delivery_way way);
struct run *fixture_start_hook(struct fixture *fx, enum delivery_way way, hook_fn hook, void *arg);
/* A run that is started and finished. Without a session: fixture_session(). */
struct run *fixture_run(struct fixture *fx, enum delivery_way way);
struct run *fixture_run_hook(struct fixture *fx, enum delivery_way way, hook_fn hook, void *arg);
/* The URL may be a path at the scripted server. */
struct run *fixture_attach(struct fixture *fx, enum delivery_way way, const char *url, hook_fn hook,
                           void *arg);
struct run *fixture_restore(struct fixture *fx, enum delivery_way way, const char *saved);
/* One step of the session, or the clock moves to the next timer. 0: nothing happened, and nothing
 * will without the test. */
int fixture_step(struct fixture *fx);
void fixture_finish(struct fixture *fx); /* until every run is done */
void fixture_idle(struct fixture *fx);   /* until a step does nothing */
void fixture_until_state(struct fixture *fx, struct run *r, int state);
void fixture_until_count(struct fixture *fx, struct run *r, size_t count);
#define fixture_until(fx, condition)                                              \
    do {                                                                          \
        while (!(condition))                                                      \
            ck_assert_msg(fixture_step(fx), "stuck before this: %s", #condition); \
    } while (0)
/* Steps while there is something to do now, without moving the clock. */
void fixture_drain(struct fixture *fx);
void fixture_advance(struct fixture *fx, int64_t ms);
/* Calls the public function of that row of the table (client/entry.h) with valid arguments. */
int fixture_call(struct fixture *fx, enum bcda__entry_point point, bcda_job *job);
void fixture_bare_step(struct fixture *fx); /* bcda_session_step(), and nothing else */
void fixture_free_session(struct fixture *fx);
/* Frees the session, and checks that done and destroys ran once and that no descriptor is left. */
void fixture_end(struct fixture *fx);
void fixture_close(struct fixture *fx); /* also stops the server */

/* ---- checks ---- */

/* The job is complete, and each of its data files is byte for byte what the sandbox made. */
void fixture_check_export(struct run *r);
/* The resources of one file, against the file the sandbox made: all of them, or the first ones. */
size_t fixture_check_file(struct run *r, const bcda_file *file, int whole);
/* Done once with this code; the error's code, text, retryability are consistent and name the file
 * where there is one. Returns the error. */
const bcda_error *fixture_check_failed(struct run *r, int code);
/* The job is done with this code. */
void fixture_check_result(const struct run *r, int code);
void fixture_check_came(const struct run *r, size_t count); /* with 0 and so many resources */
/* The resources of this file are those of fixture_add_patients(), each once and in order. */
void fixture_check_patients(const struct run *r, size_t file, size_t first, size_t count);
/* The text contains no secret and no patient data. */
void fixture_check_text(struct fixture *fx, const char *text);
void fixture_check_error(struct fixture *fx, const bcda_error *e);
int64_t fixture_stat(struct fixture *fx, int stat);
const bcda_file *fixture_file(struct run *r, const char *type, unsigned index);
/* The bare resource within a line; finds it on its own. */
const char *fixture_unwrap(const char *line, size_t len, size_t *out_len);
int fixture_count_fds(void);
char *fixture_read(const char *path, size_t *len);

#endif
