/* The declarations that the source files of bcda-export share. bcda-export uses only the public
 * headers of libbcda. */
#ifndef BCDA_EXPORT_PROGRAM_H
#define BCDA_EXPORT_PROGRAM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_TMPFILE, mkostemp(), renameat2() */
#endif

#include <sys/types.h>

#include "common.h"

#define TYPE_SIZE  65 /* the longest type that may be part of a file name, and a NUL */
#define STAGE_SIZE 17 /* the name of a staging folder: 16 hexadecimal digits and a NUL */

/* args.c: the command line. All strings point into argv. */
struct args {
    struct options request;
    const char *out;
    const char *quarantine;
    const char *resume;
    int add;     /* add the files to those of earlier exports */
    int replace; /* replace the files of earlier exports */
    int metadata;
};
/* Parses the command line. Returns 0 if the program must continue. Otherwise --help, --version or
 * an error was printed, and the program ends with *status. */
int args_parse(struct args *a, int argc, char **argv, int *status);

/* names.c: the names of data files, such as Patient-0001.ndjson. A range is the files of one type
 * with consecutive numbers. */
struct range {
    char type[TYPE_SIZE];
    unsigned first;
    unsigned last;
    int staged; /* 1 = the files are in the staging folder */
};
struct ranges {
    struct range *at;
    size_t count;
};
#define NAME_SIZE 160
/* Returns 1 if a type from a manifest may be part of a file name. */
int name_type_is_fine(const char *type);
void name_make(char to[NAME_SIZE], const char *type, unsigned number);
/* Splits a name that name_make() has made. Returns 0, or -1 for any other name. */
int name_parse(const char *name, char type[TYPE_SIZE], unsigned *number);
/* Adds files to the list. Returns 0, or -1 if there is no memory. */
int ranges_add(struct ranges *r, const char *type, unsigned first, unsigned last, int staged);
/* Returns the number of files in the staging folder (`staged` 1) or in the directory of --out
 * (0). */
size_t ranges_files(const struct ranges *r, int staged);
/* Returns 1 if the list has this file in the staging folder. */
int ranges_has_staged(const struct ranges *r, const char *type, unsigned number);
void ranges_free(struct ranges *r);

/* folder.c: the directory of --out, and the work folder .bcda-export in it. Each function prints
 * its errors. Functions that return int return 0, or -1 after an error, unless the comment says
 * otherwise. */
struct folder {
    const char *path; /* the path of the directory, as on the command line */
    int dir;
    int work;
    int lock;
    int set;                /* where complete files are put: `dir`, or a staging folder */
    char stage[STAGE_SIZE]; /* the id of the staging folder; "" = none */
};
/* Opens and locks the directory, and finishes a replacement of files that an earlier run has
 * begun. */
int folder_open(struct folder *f, const char *path);
/* Removes what earlier runs left unfinished: temporary files, and staging folders that cannot be
 * resumed, except `stage`. */
int folder_tidy(struct folder *f, const char *stage);
/* Returns 1 if there are data files in the directory. */
int folder_holds_data(const struct folder *f);
/* Creates a staging folder; files that become complete later are put in it. `state` is the path of
 * the --resume file, or NULL. */
int folder_stage(struct folder *f, const char *state);
/* Uses the staging folder of an earlier run. Returns 1 if that folder no longer exists. */
int folder_use_stage(struct folder *f, const char *stage);
/* Removes the files in the staging folder that are not in `files`, because the --resume file does
 * not list them. */
int folder_trim_stage(struct folder *f, const struct ranges *files);
/*
 * Moves the files of the staging folder to the directory. They replace the files in `old`, or, if
 * `old` is NULL, all data files. If the program is killed during this, the next folder_open()
 * finishes it.
 */
int folder_install(struct folder *f, const struct ranges *old);
/* Unlocks and closes the directory. Removes the staging folder, unless it is `stage`, which a later
 * run needs. `stage` may be "". */
void folder_close(struct folder *f, const char *stage);
/* Returns the number of the data file of this type that has this inode, or 0 if there is none. */
unsigned folder_twin(int dir, const char *type, ino_t inode);
/* Renames a file, but never replaces an existing one: it then returns -1 with errno EEXIST. */
int rename_new(int from_dir, const char *from, int to_dir, const char *to);

/* output.c: the data files of an export, or standard output. Each function prints its errors. */
struct output;
struct output_file;
/* If `folder` is NULL, the output is standard output. If `marks` is 1, a committed file has a
 * second name, its mark, until the --resume file lists it (see output.c). */
struct output *output_new(struct folder *folder, int marks);
void output_free(struct output *o);
int output_is_stream(const struct output *o);
struct folder *output_folder(const struct output *o); /* NULL = standard output */
/* Begins a file. `tag` identifies the job (task_tag()), and `index` is the file's index in the
 * manifest. */
struct output_file *output_begin(struct output *o, const char *type, uint64_t tag, size_t index);
int output_line(struct output_file *f, const char *json, size_t len);
int64_t output_lines(const struct output_file *f);
/* Writes everything to the disk. */
int output_sync(struct output_file *f);
/* Gives the file its final name, and adds that name to `files`. The mark of the file stays until
 * output_end(). */
int output_commit(struct output_file *f, struct ranges *files);
/* Makes output_end() keep the mark, because the --resume file could not be saved after the file was
 * committed. NULL is allowed. */
void output_keep_mark(struct output_file *f);
/* Closes the file. Removes its mark (the ".part" name beside it, see folder.c), and the file itself
 * if it was not committed. NULL is allowed. */
void output_end(struct output_file *f);
/* Removes a file that an earlier run committed, but did not list in the --resume file, if there is
 * such a file. */
void output_undo(struct output *o, const char *type, uint64_t tag, size_t index);
/* Removes the mark of a file that the --resume file lists, if the mark is still there. */
void output_forget(struct output *o, const char *type, uint64_t tag, size_t index);
/* Adds to `files` the committed files that have marks of a job. */
int output_marked(struct output *o, uint64_t tag, struct ranges *files);
void output_forget_all(struct output *o, uint64_t tag);
/* Makes file numbers begin with 1 again, because later files are put in another folder. */
void output_restart_numbers(struct output *o);

/* quarantine.c: the file that keeps invalid lines. Each function prints its errors. */
#define HELD_SHOWN 10
struct quarantine;
/* The invalid lines of one file. They are held here until it is known whether the file is
 * complete. */
struct held {
    int fd; /* an unnamed file with the entries of the lines; -1 = none */
    int64_t count;
    struct {
        int64_t number;
        int code;
    } first[HELD_SHOWN];
};
/* Creates the quarantine. If `path` is NULL, its file is in `folder`, or, if that is NULL too,
 * nothing is kept. Returns NULL if there is no memory. */
struct quarantine *quarantine_new(const char *path, struct folder *folder);
/* Adds a line to *held, which is created first if it is NULL. */
int quarantine_hold(struct quarantine *q, struct held **held, const bcda_bad_line *line);
/* Adds the held lines to the quarantine file, and syncs the file. NULL is allowed. */
int quarantine_commit(struct quarantine *q, const struct held *held);
void quarantine_drop(struct held *held);
const char *quarantine_path(const struct quarantine *q); /* NULL = nothing was added */
void quarantine_free(struct quarantine *q);

/* state.c: the state, which is the content of the --resume file. */
struct remarks {
    int64_t bad_lines; /* invalid lines in complete files */
    int64_t issues;    /* issues of severity error or fatal in complete files */
    int64_t refused;   /* complete files that could not be used */
};
/* What the --resume file stores about one job. */
struct kept {
    /* The text of bcda_job_save(), and, if it was read from the file, of bcda_job_save_changes().
     * In a run, the latest changes are only in the file. NULL = the server has not accepted the
     * job. */
    char *saved;
    struct remarks remarks;
    struct ranges files; /* the files of the job that were committed */
};
struct state {
    const char *path; /* NULL = there is no --resume, and nothing is saved */
    int fd;           /* the --resume file, which is locked while it is open */
    off_t whole;      /* length of what was last written as a whole; 0 = nothing in this run */
    off_t length;     /* length of the file */
    int is_new;       /* nothing was saved in the file yet */
    int is_over;      /* there is nothing to resume; state_close() removes the file */
    char *out;        /* the absolute path of the directory of --out; NULL = not known */
    char *asks;       /* the text of request_text() */
    int replace;      /* 1 = the export was started with --replace */
    int complete;     /* the exit status of a complete export; -1 = the export is not complete */
    char stage[STAGE_SIZE];
    struct ranges old; /* files of jobs that can no longer be resumed; they will be replaced */
    struct kept jobs[TYPES_MAX]; /* at resource level, in the order of --type */
    size_t count;
};
/* Opens, locks and reads the file; if it does not exist, creates it. `path` may be NULL. Returns 0
 * or -1. */
int state_open(struct state *s, const char *path);
/* Returns 1 if there is something to resume or to replace. */
int state_is_used(const struct state *s);
/* Returns 1 if state_close() will keep the file. */
int state_is_kept(const struct state *s);
int state_save(struct state *s); /* writes the whole file */
/* Appends what bcda_job_save_changes() has returned for this job, with the remarks of the job and
 * the file that was stored, or none. The file must have been written as a whole before. Returns 0
 * or -1. */
int state_append(struct state *s, struct kept *kept, const struct ranges *file,
                 const char *changes);
/* Returns 1 if state_save() is to be called next, not state_append(). */
int state_wants_whole(const struct state *s);
void state_forget_job(struct kept *kept);
/* Records that nothing is left to resume, so that state_close() removes the file. That is the last
 * step of a run. If the run is killed before it, the next run finds that the export is complete. */
void state_remove(struct state *s);
void state_close(struct state *s);
/* Syncs the folder of this file, so that the file's name survives a power cut. */
void sync_folder(const char *path);

/* jobs.c, run.c: the jobs of one run. The callbacks of a session use the run, so free the session
 * before the run. */
struct run;
struct run *run_new(const struct args *a, struct output *output, struct state *state);
/* Starts the jobs, or resumes those that the --resume file lists. On failure sets *status to the
 * exit status. */
int run_start(struct run *r, bcda_session *session, int *status);
void run_cancel(struct run *r);
/* Prints the summary, and finishes the export. Returns the exit status. `signal` is the signal that
 * interrupted the run, or 0. */
int run_finish(struct run *r, int signal);
void run_free(struct run *r);

/* prepare.c: reads the state and the folder of earlier runs. */
/* Returns 0 if the export can begin. Otherwise the program ends with *status. */
int prepare(const struct args *a, struct state *state, struct folder *folder, int *status);
/* Does the last steps of an export whose files are all complete. Returns the exit status. */
int prepare_complete(struct state *state, struct folder *folder);

/* metadata.c: prints the metadata of the server (--metadata). Returns the exit status. */
int metadata_print(bcda_session *session);

#endif
