/* bcda-export: the declarations that its files share. Only the public headers of libbcda are used.
 */
#ifndef BCDA_EXPORT_PROGRAM_H
#define BCDA_EXPORT_PROGRAM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_TMPFILE, mkostemp(), renameat2() */
#endif

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <bcda/bcda.h>

#define EXIT_COMPLETE 0
#define EXIT_FAILED   1
#define EXIT_USAGE    2
#define EXIT_REMARKS  3   /* complete, but needs attention: run.c */
#define EXIT_SIGNAL   128 /* and the number of the signal that interrupted the run */

#define TYPES_MAX    64
#define SETTINGS_MAX 32
#define TYPE_SIZE    65 /* a type that may enter a file name, and its NUL */
#define STAGE_SIZE   17 /* the name of a staging folder: 16 hexadecimal digits and a NUL */

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
    const char *spool;
    const char *types[TYPES_MAX];
    size_t type_count;
    const char *type_filters[SETTINGS_MAX];
    size_t type_filter_count;
    const char *parameters[SETTINGS_MAX]; /* NAME=VALUE */
    size_t parameter_count;
    const char *settings[SETTINGS_MAX]; /* NAME=VALUE */
    size_t setting_count;
    int level; /* BCDA_LEVEL_*, or LEVEL_TRY */
    int allow_http_loopback;
    int add;     /* add the files to those of earlier exports */
    int replace; /* replace the files of earlier exports */
    int metadata;
    int quiet;
    int statistics;
    int cancel_at_server; /* settings_config() sets it */
};
/* The resource level if the server has it, else the patient level. */
#define LEVEL_TRY (-1)
/* 0: continue. Otherwise the program ends with *status: help was printed, or a usage error. */
int args_parse(struct args *a, int argc, char **argv, int *status);

/* settings.c: makes a configuration from the command line; NULL and *status on failure. */
bcda_config *settings_config(struct args *a, int *status);
/* Prints why a session could not be created. Returns the exit status. */
int settings_refused(const struct args *a, const bcda_config *config, int rc);

/* request.c: the export request of one job. NULL after a usage error, which has been printed. */
bcda_export *request_new(const struct args *a, int level, const char *only_type);
/* The request as text: level, group and types. The caller frees it; NULL if there is no memory. A
 * state is only resumed by a command line with the same text. */
char *request_text(const struct args *a);

/* report.c: standard error. */
struct progress {
    int state;          /* the earliest BCDA_JOB_* of all jobs */
    const char *server; /* the server's progress text; may be "" */
    size_t files;       /* of the manifests */
    size_t ended;       /* files with a verdict */
    double share;       /* 0 to 1 */
    int64_t resources;
    int64_t bytes;
};
void report_init(int quiet);
/* Prints a line of information; silent with --quiet. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints a line about an error or a warning; never silent. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints an error, and below it the server's text. `what` may be "". */
void complain_error(const char *what, const bcda_error *error);
void report_progress(const struct progress *p);
void report_clear(void);
int64_t now_ms(void);
/* A copy of `text` for a terminal: control characters, and bytes that are not in the terminal's
 * character set, become '?'. Returns `to`. */
const char *clean(char *to, size_t size, const char *text);
/* "12.3 MB" and the like. Returns `to`. */
const char *bytes_text(char *to, size_t size, double bytes);

/* names.c: the names of data files: Type-0001.ndjson. */
struct range {
    char type[TYPE_SIZE];
    unsigned first;
    unsigned last;
    int staged; /* in the staging folder */
};
struct ranges {
    struct range *at;
    size_t count;
};
#define NAME_SIZE 160
/* Whether a manifest's type may become part of a file name. */
int name_type_is_fine(const char *type);
void name_make(char to[NAME_SIZE], const char *type, unsigned number);
/* 0 if `name` is a name that name_make() makes. */
int name_parse(const char *name, char type[TYPE_SIZE], unsigned *number);
/* 0, or -1 if there is no memory. */
int ranges_add(struct ranges *r, const char *type, unsigned first, unsigned last, int staged);
/* How many files: staged ones, or those in the directory. */
size_t ranges_files(const struct ranges *r, int staged);
/* 1 if it is one of the staged files. */
int ranges_has_staged(const struct ranges *r, const char *type, unsigned number);
void ranges_free(struct ranges *r);

/* folder.c: the directory of --out and the work folder in it. Each function prints its errors. */
struct folder {
    const char *path; /* as on the command line */
    int dir;
    int work;
    int lock;
    int set;                /* where files get their names: `dir`, or a staging folder */
    char stage[STAGE_SIZE]; /* the staging folder; "" = none */
};
/* Locks the folder, and finishes the unfinished steps of an earlier run. */
int folder_open(struct folder *f, const char *path);
/* Removes the unfinished files of earlier runs: temporary files and staging folders except `stage`.
 */
int folder_tidy(struct folder *f, const char *stage);
/* 1 if there are data files in the directory. */
int folder_holds_data(const struct folder *f);
/* Creates a staging folder for the files that follow. `state` is the file of --resume, or NULL. */
int folder_stage(struct folder *f, const char *state);
/* Uses the staging folder of an earlier run. 1: it no longer exists. */
int folder_use_stage(struct folder *f, const char *stage);
/* Removes the staged files that are not in `files`: no state has them. */
int folder_trim_stage(struct folder *f, const struct ranges *files);
/*
 * The staged files replace those in `old`, or with NULL all data files in the directory. If the run
 * is killed before this is done, the next folder_open() finishes it.
 */
int folder_install(struct folder *f, const struct ranges *old);
/* `stage`: the staging folder that a later run needs; "" = none. */
void folder_close(struct folder *f, const char *stage);
/* Finds the data file of this type that has the same inode; its number, or 0. */
unsigned folder_twin(int dir, const char *type, ino_t inode);
/* Renames without replacing anything (EEXIST). */
int rename_new(int from_dir, const char *from, int to_dir, const char *to);

/* output.c: the files of an export, or standard output. Each function prints its errors. */
struct output;
struct output_file;
/* NULL for `folder`: standard output. With `marks`, committed files are marked until the state is
 * saved. */
struct output *output_new(struct folder *folder, int marks);
void output_free(struct output *o);
int output_is_stream(const struct output *o);
struct folder *output_folder(const struct output *o); /* NULL: standard output */
/* A new file. `tag` is that of its job, `index` its index in the manifest. */
struct output_file *output_begin(struct output *o, const char *type, uint64_t tag, size_t index);
int output_line(struct output_file *f, const char *json, size_t len);
int64_t output_lines(const struct output_file *f);
/* Ensures that everything written is on disk. */
int output_sync(struct output_file *f);
/* The file gets its name, which is added to `files`. Its mark stays until output_end(). */
int output_commit(struct output_file *f, struct ranges *files);
/* The mark stays: the state of a committed file could not be saved. NULL is fine. */
void output_keep_mark(struct output_file *f);
/* Removes the mark, and a file that was not committed. NULL is fine. */
void output_end(struct output_file *f);
/* Removes a file that a run committed without saving its state, if there is one. */
void output_undo(struct output *o, const char *type, uint64_t tag, size_t index);
/* Removes the mark of a file whose state was saved. */
void output_forget(struct output *o, const char *type, uint64_t tag, size_t index);
/* The files that have marks of a job. */
int output_marked(struct output *o, uint64_t tag, struct ranges *files);
void output_forget_all(struct output *o, uint64_t tag);
/* The files that follow are named in another folder. */
void output_restart_numbers(struct output *o);

/* quarantine.c: the invalid lines. Each function prints its errors. */
#define HELD_SHOWN 10
struct quarantine;
/* The invalid lines of one file, until it is known whether the file is complete. */
struct held {
    int fd; /* an unnamed file with their entries; -1: none are kept */
    int64_t count;
    struct {
        int64_t number;
        int code;
    } first[HELD_SHOWN];
};
/* `path` NULL: in the folder of --out; for standard output nothing is kept. NULL without memory.
 */
struct quarantine *quarantine_new(const char *path, struct folder *folder);
/* Adds a line to *held, which is created if it is NULL. */
int quarantine_hold(struct quarantine *q, struct held **held, const bcda_bad_line *line);
/* Adds the lines to the quarantine, on disk. NULL is fine. */
int quarantine_commit(struct quarantine *q, const struct held *held);
void quarantine_drop(struct held *held);
const char *quarantine_path(const struct quarantine *q); /* NULL: nothing was added */
void quarantine_free(struct quarantine *q);

/* state.c: the file of --resume. */
struct remarks {
    int64_t bad_lines; /* of the files that were complete */
    int64_t issues;    /* likewise: of severity error or fatal */
    int64_t refused;   /* files that were complete, but not usable */
};
/* The part of the state that belongs to one job. */
struct kept {
    char *saved; /* text of bcda_job_save(); NULL: the server has not accepted the job */
    struct remarks remarks;
    struct ranges files; /* committed */
};
struct state {
    const char *path; /* NULL: without --resume nothing is kept */
    int fd;           /* the file, locked while this program uses it */
    int is_new;       /* nothing has been saved in it */
    int is_over;      /* there is nothing to resume: state_close() removes it */
    char *out;        /* the folder of its files, as an absolute path; NULL: not known */
    char *asks;       /* request_text() */
    int replace;      /* --replace */
    int complete;     /* the exit status of a complete export; -1: it is not complete */
    char stage[STAGE_SIZE];
    struct ranges old; /* files of jobs that ended at the server: this export replaces them */
    struct kept jobs[TYPES_MAX]; /* in the order of --type at resource level */
    size_t count;
};
/* Reads the state; a file that does not exist is created. 0 or -1. `path` may be NULL. */
int state_open(struct state *s, const char *path);
/* 1 if there is something to resume or to replace. */
int state_is_used(const struct state *s);
/* 1 if the file stays when the state is closed. */
int state_is_kept(const struct state *s);
int state_save(struct state *s);
void state_forget_job(struct kept *kept);
/* Nothing is left to resume: state_close() removes the file, as the last step of a run. If the run
 * is killed before, the next run finds the export complete. */
void state_remove(struct state *s);
void state_close(struct state *s);
/* Ensures that the name of this file survives a power cut. */
void sync_folder(const char *path);

/* jobs.c, run.c: the jobs. The callbacks of a session use its run until the session is freed. */
struct run;
struct run *run_new(const struct args *a, struct output *output, struct state *state);
/* Starts the jobs, or resumes those of the state. On failure *status is the exit status. */
int run_start(struct run *r, bcda_session *session, int *status);
void run_cancel(struct run *r);
/* The summary; returns the exit status. `signal` is 0 or the one that interrupted the run. */
int run_finish(struct run *r, int signal);
void run_free(struct run *r);

/* prepare.c: reads the state and the folder of earlier runs. */
/* 0: the export can begin. Otherwise the program ends with *status. */
int prepare(const struct args *a, struct state *state, struct folder *folder, int *status);
/* The last steps of an export whose files are all complete. Returns the exit status. */
int prepare_complete(struct state *state, struct folder *folder);

/* metadata.c: --metadata. Returns the exit status. */
int metadata_print(bcda_session *session);

#endif
