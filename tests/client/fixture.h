/*
 * What the client tests share: a server in this process, a session whose clock the test controls,
 * and a record of everything that the callbacks received. The server is either the sandbox, which
 * behaves as BCDA does, or a scripted server, which follows a script.
 *
 * No test waits for time to pass: when nothing is in progress, the clock moves to the next timer.
 * The fixture lets a test fail if the library calls a callback outside of run, step and free, calls
 * one after the `done` callback, or delivers data of a file before its begin or after its end.
 */
#ifndef BCDA_TESTS_FIXTURE_H
#define BCDA_TESTS_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "bcda/bcda.h"
#include "client/config.h"
#include "client/entry.h"
#include "client/session.h"
#include "sandbox.h"
#include "scripted_server.h"
#include "suite.h"

/* Asserts that a call returns 0. */
#define ck_assert_ok(call) ck_assert_int_eq(call, 0)
/* A pointer to sandbox options, for example SANDBOX(.era = "2019-04", .files = 4). `era` is the
 * version of the BCDA server that the sandbox imitates. */
#define SANDBOX(...) (&(struct sandbox_options){__VA_ARGS__})

/* How the application receives resources: by one of two callbacks, or from bcda_job_next(). */
enum delivery_way { BY_RESOURCE, BY_BATCH, BY_PULL };

/* The callback in which a hook is called. The comment after each value names the type of the
 * hook's `object`. */
enum where {
    AT_STATE,    /* NULL */
    AT_BEGIN,    /* bcda_file */
    AT_END,      /* bcda_file */
    AT_RESOURCE, /* bcda_resource */
    AT_BATCH,    /* bcda_batch */
    AT_BAD_LINE, /* bcda_bad_line */
    AT_ISSUE,    /* bcda_issue */
    AT_DELETED,  /* bcda_deletion */
    AT_PROGRESS, /* NULL */
    AT_DONE,     /* NULL; the result is not used */
    AT_COUNT
};

struct run;
/* A function that a test adds to all callbacks. The callback returns the result of the hook, and
 * the fixture records the object only if this result is BCDA_CONTINUE. */
typedef int (*hook_fn)(struct run *r, enum where where, void *object);

struct got {
    size_t file; /* index of the file in the manifest */
    char *json, *line, *type, *id, *full_url, *updated;
    size_t json_len, line_len;
    int64_t number, offset;
    int provisional;
};

struct got_bad {
    size_t file;
    int code;
    int64_t number, offset, length;
    char *bytes;      /* NULL: on_bad_line got no bytes */
    size_t resources; /* number of the job's resources that were recorded before this line */
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
    bcda_job *job; /* a reference that the test holds */
    enum delivery_way way;
    hook_fn hook;
    void *arg; /* for use by the hook */
    struct got *got;
    size_t count;
    struct got_bad *bad;
    size_t bad_count;
    struct got_issue *issues;
    size_t issue_count;
    struct buf deletions; /* "FILE:LINE Type/id\n" for each */
    int64_t provisional_deletions;
    struct got_file files[FILES_MAX];
    int states[STATES_MAX];
    size_t state_count;
    int progress, done, result;
    int drained;              /* BY_PULL: bcda_job_next() returned BCDA_ERR_END */
    int destroyed[AT_COUNT];  /* how often the destroy function of each handler was called */
    bcda_batch *batches[256]; /* the references kept because of `hold` */
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
    int64_t now;      /* the test's clock in ms, used as both the monotonic and the wall clock */
    int64_t max_jump; /* the clock does not jump to a timer that is farther away, in ms */
    int jump_open;    /* the clock also jumps while transfers are open, once no bytes arrive */
    int stay;         /* the clock does not jump */
    int use_run;      /* drive the session by bcda_session_run(), not by its descriptor and step */
    int inside;       /* run, step or free is being called */
    int fds;          /* number of open descriptors just before the session was made */
    unsigned worked;  /* number of steps that did something */
    int vain;         /* steps in a row that did nothing, though the descriptor was readable */
    int64_t timer_at; /* real time in ms before which the timer of the last step cannot expire */
    char token[2048]; /* the last access token: no text may contain it */
    int64_t quiet_since;        /* real time in s since which nothing has arrived; 0 = not quiet */
    const char *const *secrets; /* more strings that no text may contain, up to a NULL; or NULL */
    int no_log;                 /* fixture_config() sets no log callback */
    int takes_deletions;        /* jobs have on_deleted */
};

/* ---- opening ---- */

/* Starts a sandbox with these options, which may be NULL. The option `keep_plain` is always set, so
 * that results can be compared with the generated files. The first function uses TLS, the second
 * does not. */
void fixture_open_sandbox(struct fixture *fx, const struct sandbox_options *o);
void fixture_open_sandbox_http(struct fixture *fx, const struct sandbox_options *o);
/* Starts a scripted server (../scripted_server.h). The test adds the answers before it makes the
 * session. */
void fixture_open_scripted(struct fixture *fx, int tls);
void fixture_open_scripted_with(struct fixture *fx, const struct scripted_options *o);
/* Initializes the fixture without a server. */
void fixture_init(struct fixture *fx);
/* Returns the config of the fixture. The first call makes it, with the server's URL (API version
 * 1), credentials and CA, and with the clock and the log of the test; for a sandbox also with the
 * private key. */
bcda_config *fixture_config(struct fixture *fx);
/* Makes the same config for another API version. */
bcda_config *fixture_config_version(struct fixture *fx, int version);
/* Makes a config for another server, with the credentials of the scripted server. */
bcda_config *fixture_config_at(struct fixture *fx, const char *origin, const char *ca_file);
/* Sets an option of fixture_config(). */
void fixture_set(struct fixture *fx, int option, int64_t value);
/* Adds the scripted server's private key to the config. */
void fixture_add_key(struct fixture *fx);
/* Selects verified delivery: each file waits in `folder` until it is checked. */
void fixture_set_verified(struct fixture *fx, const char *folder);
/* Makes the session from fixture_config() and frees the config. If the test has set no export, sets
 * one of the level Patient. */
void fixture_session(struct fixture *fx);
/* Opens a sandbox, makes a config for this API version, and makes the session. */
void fixture_setup(struct fixture *fx, const struct sandbox_options *o, int version);
/* As fixture_setup(), with a sandbox that imitates the server of 2019-04. The export has one
 * encrypted file of 50 lines and about 400 kB, which is delivered in two batches. */
void fixture_setup_one_file(struct fixture *fx);
/* As fixture_setup(), with an export that leads to a call of every callback: it has an error file,
 * warnings, and an invalid line that is tolerated. */
void fixture_setup_everything(struct fixture *fx);
/* Adds a fault to the sandbox. */
void fixture_fault(struct fixture *fx, const char *spec);
/* Replaces the export. The list of types ends with NULL. */
void fixture_export(struct fixture *fx, int level, ...);
/* Replaces the export with an ExplanationOfBenefit export. `era` names a version of the server;
 * the export uses the level (patient, group) at which that version offers the type. */
void fixture_export_eob(struct fixture *fx, const char *era);

/* ---- answers of the scripted server ---- */

/* Appends the lines of the patients p<first>, p<first + 1> and so on. */
void fixture_add_patients(struct buf *b, size_t first, size_t count);
void fixture_reply_patients(struct fixture *fx, const char *match, size_t first, size_t count);
/* /data/a.ndjson, b.ndjson and c.ndjson, all of type Patient and not encrypted. */
extern const struct scripted_entry fixture_files[3];
/* Adds the answers for an export whose manifest lists the first two of these files, with 3 patients
 * each. */
void fixture_reply_two_files(struct fixture *fx);
/* Adds the answers for an export that is complete at the first status request, with `n` files:
 * /data/0.ndjson and so on. */
void fixture_export_many(struct fixture *fx, size_t n, const char *key_hex);

/* ---- running ---- */

/* fixture_run_new() makes a run that is not started, fixture_handlers() makes the handlers of a
 * run, and fixture_start*() make a run and start it. */
struct run *fixture_run_new(struct fixture *fx, enum delivery_way way, hook_fn hook, void *arg);
bcda_handlers *fixture_handlers(struct run *r);
struct run *fixture_start(struct fixture *fx, enum delivery_way way);
struct run *fixture_start_hook(struct fixture *fx, enum delivery_way way, hook_fn hook, void *arg);
/* Starts a run and finishes it. Makes the session first if there is none. */
struct run *fixture_run(struct fixture *fx, enum delivery_way way);
struct run *fixture_run_hook(struct fixture *fx, enum delivery_way way, hook_fn hook, void *arg);
/* Attaches to a job. The URL may be a path at the scripted server. */
struct run *fixture_attach(struct fixture *fx, enum delivery_way way, const char *url, hook_fn hook,
                           void *arg);
struct run *fixture_restore(struct fixture *fx, enum delivery_way way, const char *saved);
/* Takes one step of the session or, if there is nothing to do, moves the test's clock to the
 * session's next timer. Returns 0 if nothing happened and nothing will until the test acts. */
int fixture_step(struct fixture *fx);
void fixture_finish(struct fixture *fx); /* steps until every run is done */
void fixture_idle(struct fixture *fx);   /* steps until a step does nothing */
void fixture_until_state(struct fixture *fx, struct run *r, int state);
void fixture_until_count(struct fixture *fx, struct run *r, size_t count);
/* For a file in whose middle the server stops sending: steps until more than `bytes` have come, and
 * then also moves the clock while the transfer is open, until it is retried or the job is done. */
void fixture_stall(struct fixture *fx, struct run *r, int64_t bytes);
#define fixture_until(fx, condition)                                              \
    do {                                                                          \
        while (!(condition))                                                      \
            ck_assert_msg(fixture_step(fx), "stuck before this: %s", #condition); \
    } while (0)
/* Steps as long as there is something to do, without moving the clock. */
void fixture_drain(struct fixture *fx);
/* Moves the clock forward by `ms`, stopping at every timer on the way. */
void fixture_advance(struct fixture *fx, int64_t ms);
/* Calls the public function of this row of the table in client/entry.h, with valid arguments. */
int fixture_call(struct fixture *fx, enum bcda__entry_point point, bcda_job *job);
/* Only calls bcda_session_step(). */
void fixture_bare_step(struct fixture *fx);
void fixture_free_session(struct fixture *fx);
/* Frees the session. Checks that the `done` callback and each destroy function ran once, and that
 * no descriptor was left open. */
void fixture_end(struct fixture *fx);
void fixture_close(struct fixture *fx); /* also stops the server */

/* ---- checks ---- */

/* Checks that the job is complete, and that the resources of each data file are byte for byte those
 * that the sandbox generated. */
void fixture_check_export(struct run *r);
/* Checks the delivered resources of one file against the file that the sandbox generated. They must
 * be all resources of that file if `whole` is set, else its first ones. Returns their number. */
size_t fixture_check_file(struct run *r, const bcda_file *file, int whole);
/* Checks that the job failed with this code, that on_done reported this once, and that the code and
 * the text of the job's error are as they should be. Returns the error. */
const bcda_error *fixture_check_failed(struct run *r, int code);
/* Checks that the job is done with this code. */
void fixture_check_result(const struct run *r, int code);
/* Checks that the job succeeded with this number of resources. */
void fixture_check_came(const struct run *r, size_t count);
/* Checks that the resources of this file are those of fixture_add_patients(), each once and in
 * order. */
void fixture_check_patients(const struct run *r, size_t file, size_t first, size_t count);
/* Checks that the text is one line without secrets, patient data and names of C code. */
void fixture_check_text(struct fixture *fx, const char *text);
void fixture_check_error(struct fixture *fx, const bcda_error *e);
int64_t fixture_stat(struct fixture *fx, int stat);
/* Returns the file number `index`, from 0, among those of this type, or NULL. */
const bcda_file *fixture_file(struct run *r, const char *type, unsigned index);
/* Returns the bare resource of a line. The line is either the resource itself or an object with
 * "fullUrl" and "resource". Does not use the library for this. */
const char *fixture_unwrap(const char *line, size_t len, size_t *out_len);
int fixture_count_fds(void);
char *fixture_read(const char *path, size_t *len);

#endif
