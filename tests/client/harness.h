/*
 * What the client tests share: a sandbox in this process, a session on a clock that the test owns,
 * and a record of everything that the callbacks were told.
 *
 * No test waits for time: when nothing is under way, the clock goes to the next timer. Broken rules
 * (a callback outside run, step and free; one after done; data outside of its file) fail the test
 * by themselves.
 */
#ifndef BCDA_TESTS_HARNESS_H
#define BCDA_TESTS_HARNESS_H

#include <stddef.h>
#include <stdint.h>

#include "bcda/bcda.h"
#include "client/config.h"
#include "client/door.h"
#include "client/session.h"
#include "sandbox.h"
#include "suite.h"

enum door { DOOR_RESOURCE, DOOR_BATCH, DOOR_PULL };

/* Where a hook is called from. What the object is stands behind. */
enum where {
    AT_STATE,    /* NULL */
    AT_BEGIN,    /* bcda_file */
    AT_END,      /* bcda_file */
    AT_RESOURCE, /* bcda_resource */
    AT_BATCH,    /* bcda_batch */
    AT_BAD_LINE, /* bcda_bad_line */
    AT_ISSUE,    /* bcda_issue */
    AT_PROGRESS, /* NULL */
    AT_DONE,     /* NULL; the answer is not used */
    AT_COUNT
};

struct run;
/* The answer of the callback. With BCDA_CONTINUE what it was told is recorded, otherwise not. */
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
    struct harness *h;
    bcda_job *job; /* a reference of the test's */
    enum door door;
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
    int drained;              /* pull door: BCDA_ERR_END was seen */
    int destroyed[AT_COUNT];  /* how often the destroy of each registration ran */
    bcda_batch *batches[256]; /* those that are held: see hold */
    size_t batch_count;
    int hold; /* keep every batch */
    struct run *next;
};

struct harness {
    struct sandbox *sb;
    bcda_config *config;
    bcda_session *session;
    bcda_export *x;
    struct run *runs;
    int64_t now;      /* the clock: milliseconds, monotonic and wall alike */
    int64_t max_jump; /* a timer farther away is not gone to: nothing happens any more */
    int jump_open;    /* the clock moves although transfers are open, once nothing comes */
    int stay;         /* the clock does not move by itself */
    int use_run;      /* bcda_session_run() in place of the descriptor and step */
    int inside;       /* run, step or free is on the stack */
    int fds;          /* open descriptors when the session was made */
    unsigned turns, worked;
    int vain;         /* steps in a row that did nothing, though the descriptor was readable */
    int64_t timer_at; /* real time before which the last step's timer cannot be over */
    char token[2048]; /* the one that was seen last, to be found in no text */
    int no_log;
};

/* Starts a sandbox; tls and keep_plain are set unless `plain_http`. `o` may be NULL. */
void harness_open(struct harness *h, const struct sandbox_options *o);
void harness_open_http(struct harness *h, const struct sandbox_options *o);
/* A config for that sandbox: URL of this API version, credentials, CA, private key, clock, log. */
void harness_config(struct harness *h, int version);
void harness_session(struct harness *h); /* makes the session; the config is freed */
void harness_setup(struct harness *h, const struct sandbox_options *o, int version); /* all three */
/* One encrypted file of 50 lines and some 400 kB, in two batches (era 2019-04). */
void harness_setup_one_file(struct harness *h);
/* Something for every callback: an error file, warnings, an invalid line that is tolerated. */
void harness_setup_everything(struct harness *h);
void harness_set(struct harness *h, int option, int64_t value); /* of the config */
void harness_fault(struct harness *h, const char *spec);        /* of the sandbox */
/* What to ask for, in place of what was; types end with NULL. */
void harness_export(struct harness *h, int level, ...);
/* A run with its handlers, not started; and started. */
struct run *harness_run_new(struct harness *h, enum door door, hook_fn hook, void *arg);
bcda_handlers *harness_handlers(struct run *r);
struct run *harness_start(struct harness *h, enum door door);
struct run *harness_start_hook(struct harness *h, enum door door, hook_fn hook, void *arg);
struct run *harness_attach(struct harness *h, enum door door, const char *url);
struct run *harness_restore(struct harness *h, enum door door, const char *saved);
/* One turn. 0: nothing happened, and nothing will without the test. */
int harness_turn(struct harness *h);
void harness_run(struct harness *h);  /* until every run is done */
void harness_idle(struct harness *h); /* until a turn does nothing */
void harness_until_state(struct harness *h, struct run *r, int state);
void harness_until_count(struct harness *h, struct run *r, size_t count);
/* Steps while there is something to do now, without touching the clock. */
void harness_drain(struct harness *h);
void harness_advance(struct harness *h, int64_t ms);
/* The public function of that row of the table (client/door.h), with what would do in its place. */
int harness_call(struct harness *h, enum bcda__door door, bcda_job *job);
/* Frees the session, and checks that done and destroys ran once and that no descriptor is left. */
void harness_end(struct harness *h);
void harness_close(struct harness *h); /* also stops the sandbox */

/* ---- checks ---- */

/* The job ended well, and each of its data files is byte for byte what the sandbox made. */
void harness_check_export(struct run *r);
/* The resources of one file, against the file the sandbox made: all of them, or the first ones. */
size_t harness_check_file(struct run *r, const bcda_file *file, int whole);
/* Done once with this code; the error's code, text, retryability are consistent and name the file
 * where there is one. Returns the error. */
const bcda_error *harness_check_failed(struct run *r, int code);
/* Nothing in this text gives a secret or a patient away. */
void harness_check_text(struct harness *h, const char *text);
void harness_check_error(struct harness *h, const bcda_error *e);
int64_t harness_stat(struct harness *h, int stat);
const bcda_file *harness_file(struct run *r, const char *type, unsigned index);
/* The bare resource within a line; finds it on its own. */
const char *harness_unwrap(const char *line, size_t len, size_t *out_len);
int harness_count_fds(void);
char *harness_read(const char *path, size_t *len);

#endif
