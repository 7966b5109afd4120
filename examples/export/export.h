/* bcda-export: what its parts share. Only the public headers of libbcda are used. */
#ifndef BCDA_EXPORT_PROGRAM_H
#define BCDA_EXPORT_PROGRAM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkostemp(), renameat2() */
#endif

#include <stddef.h>
#include <stdint.h>

#include <bcda/bcda.h>

#define EXIT_COMPLETE 0
#define EXIT_FAILED   1
#define EXIT_USAGE    2
#define EXIT_REMARKS  3 /* complete, but with bad lines or errors that the server reports */

#define TYPES_MAX    64
#define SETTINGS_MAX 32
#define TYPE_SIZE    65 /* a type that may enter a file name, and its NUL */

/* args.c: the command line. All texts are those of argv. */
struct args {
    const char *url;
    const char *token_url;
    const char *client_id;
    const char *client_secret_file;
    const char *bearer_token_file;
    const char *private_key;
    const char *passphrase_file;
    const char *ca;
    const char *group;
    const char *since;
    const char *out;
    const char *quarantine;
    const char *resume;
    const char *types[TYPES_MAX];
    size_t type_count;
    const char *settings[SETTINGS_MAX]; /* NAME=VALUE */
    size_t setting_count;
    int level; /* BCDA_LEVEL_*, or LEVEL_TRY */
    int allow_http_loopback;
    int metadata;
    int quiet;
    int statistics;
};
/* The resource level if the server has it, else the patient level. */
#define LEVEL_TRY (-1)
/* 0: go on. Otherwise the program ends with *status: help was printed, or a usage error. */
int args_parse(struct args *a, int argc, char **argv, int *status);
/* A configuration of what was said; NULL and *status where it cannot be had. */
bcda_config *args_config(const struct args *a, int *status);

/* report.c: standard error. */
struct progress {
    int state;          /* the earliest BCDA_JOB_* of all jobs */
    const char *server; /* what the server says of its progress; may be "" */
    size_t files;       /* of the manifests */
    size_t ended;       /* of them, with a verdict */
    double share;       /* 0 to 1 */
    int64_t resources;
    int64_t bytes;
};
void report_init(int quiet);
/* A line of news; silent with --quiet. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line about something wrong; never silent. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints an error, and below it what the server said. `what` may be "". */
void complain_error(const char *what, const bcda_error *error);
void report_progress(const struct progress *p);
void report_clear(void);
int64_t now_ms(void);
/* A copy of `text` for a terminal: control characters are replaced. Returns `to`. */
const char *clean(char *to, size_t size, const char *text);
/* "12.3 MB" and the like. Returns `to`. */
const char *bytes_text(char *to, size_t size, double bytes);

/* output.c: a directory of NDJSON files, or standard output. Each function complains by itself. */
struct output;
struct output_file;
struct output *output_open(const char *where);
void output_close(struct output *o);
int output_is_stream(const struct output *o);
int output_dir(const struct output *o); /* its descriptor; -1 for standard output */
/* Whether a manifest's type may become part of a file name. */
int output_type_is_fine(const char *type);
/*
 * A new file of `type` under a temporary name that is made of the job's `tag` and the `index` of
 * the file in its manifest. With `again`, what a run that was cut off had made of this very file is
 * taken away first.
 */
struct output_file *output_begin(struct output *o, const char *type, uint64_t tag, size_t index,
                                 int again);
int output_line(struct output_file *f, const char *json, size_t len);
int64_t output_lines(const struct output_file *f);
/* The file is on disk under its final name. The temporary name goes with output_end(), so that a
 * run that is cut off between the two can be told from one that had saved its state. */
int output_commit(struct output_file *f);
/* The temporary name stays: a committed file of which the state could not be saved is to be known
 * as such by the next run. NULL is fine. */
void output_keep_part(struct output_file *f);
/* Removes the temporary name, and with it all of a file that was not committed. NULL is fine. */
void output_end(struct output_file *f);
/* Removes the temporary name that a run that was cut off has left beside a finished file. */
void output_forget(struct output *o, const char *type, uint64_t tag, size_t index);

/* quarantine.c: the lines that are no resources. Each function complains by itself. */
struct quarantine;
/* Nothing is made before the first line. `path` NULL: in the folder, and nowhere for standard
 * output. NULL where memory is out. */
struct quarantine *quarantine_new(const char *path, const struct output *o);
int quarantine_line(struct quarantine *q, const bcda_bad_line *line);
int quarantine_sync(struct quarantine *q);
const char *quarantine_path(const struct quarantine *q); /* NULL: there is nothing in it */
void quarantine_free(struct quarantine *q);

/* state.c: the file of --resume. One line a job, in the order of --type at resource level: what
 * bcda_job_save() gave, or "-" for a job that the server had not accepted. */
struct remarks {
    int64_t bad_lines; /* of the files that were complete */
    int64_t issues;    /* likewise: of severity error or fatal */
    int64_t refused;   /* files that were complete, but are of no use */
};
struct state {
    const char *path; /* NULL: without --resume nothing is kept */
    int fd;           /* the file, locked as long as this program is at work with it */
    int is_new;       /* nothing has been saved in it */
    char *text;       /* what it held; the lines point into it */
    char *lines[TYPES_MAX];
    size_t count;
    struct remarks remarks;
};
/* Reads what is there; a file that is not there is made. 0 or -1. `path` may be NULL. */
int state_open(struct state *s, const char *path);
int state_save(struct state *s, char *const *lines, size_t count, const struct remarks *remarks);
/* There is nothing to go on with any more. */
void state_remove(struct state *s);
void state_close(struct state *s);
/* Sees to it that the name of this file outlives a power cut. */
void sync_folder(const char *path);

/* jobs.c, run.c: the jobs. A session calls back into its run until it is freed. */
struct run;
struct run *run_new(const struct args *a, struct output *output, struct state *state);
/* Starts the jobs, or goes on with those of the state. On failure *status is the exit status. */
int run_start(struct run *r, bcda_session *session, int *status);
void run_cancel(struct run *r);
/* The summary; returns the exit status. */
int run_finish(struct run *r, int interrupted);
void run_free(struct run *r);

/* metadata.c: --metadata. Returns the exit status. */
int metadata_print(bcda_session *session);

#endif
