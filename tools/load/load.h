/* The loader: downloads an export and stores it in a database. load.h has what the two programs
 * share, and the operations that each database implements (sqlite.c, postgres.c). The loader uses
 * only the public headers of libbcda. */
#ifndef BCDA_LOAD_H
#define BCDA_LOAD_H

#include "common.h"

#define FIELDS_MAX  64 /* as many as an export can have */
#define FILES_MAX   64 /* files that are open at once: the largest value of BCDA_OPT_PARALLEL */
#define COLUMN_SIZE 64 /* the longest name of a column in PostgreSQL, and a NUL */

/* args.c: the command line. All strings point into argv. */
struct field {
    const char *path;
    char column[COLUMN_SIZE];
};
struct load_args {
    struct options request;
    const char *database;
    const char *schema; /* PostgreSQL only; NULL = not given */
    struct field fields[FIELDS_MAX];
    size_t field_count;
    int full;         /* ignore the recorded transaction time */
    int wait_seconds; /* how long to wait for a database that is locked or gone */
    char threads[32]; /* the text of --set for --threads */
    char *recorded;   /* the paths of `fields`, if the database has chosen them; allocated */
};
struct database;
/* Parses the command line. Returns 0 if the program must continue. Otherwise --help, --version or
 * an error was printed, and the program ends with *status. */
int load_args_parse(struct load_args *a, const struct database *db, int argc, char **argv,
                    int *status);
/* Returns the text that identifies the request in the database: the server, and all that chooses
 * resources, except `_since`. The caller frees it. NULL = no memory; this is printed. */
char *load_request_text(const struct options *o);

/* field.c: the columns of --field. */
/* Adds a field, with the name of its column. Returns 0, or -1 after an error, which is printed. */
int field_add(struct load_args *a, const char *path);
/* Returns the paths, one a line, sorted. The caller frees the text. NULL = no memory. */
char *field_paths(const struct load_args *a);
/* Uses the fields that the database has recorded, a text of field_paths(), if the command line
 * names none. Otherwise they must be the same. Returns 0, or -1 after an error, which is printed.
 */
int field_use_recorded(struct load_args *a, const char *recorded);

/* instant.c: FHIR instants. */
struct instant {
    int is_known;    /* 0 = there is no instant, or a text that is not one */
    int64_t seconds; /* since 1970-01-01T00:00:00Z */
    int32_t nanoseconds;
};
#define INSTANT_SIZE 48
/* Reads an instant. Digits after the nanoseconds are left out. */
struct instant instant_parse(const char *text);
/* Writes the instant in UTC with nine decimal places, so that texts compare as the instants do.
 * Returns `to`. */
const char *instant_text(char to[INSTANT_SIZE], const struct instant *t);
/* Returns a negative number, 0 or a positive number if `a` is before, at or after `b`. */
int instant_compare(const struct instant *a, const struct instant *b);

/* ---- the operations of a database ---- */

/* Results of the operations. A failure is printed. */
#define STORE_OK     0
#define STORE_FAILED (-1) /* the load must end */
#define STORE_LOST   (-2) /* the connection is lost: open the database again */

/* One row: a resource, or, if `json` is NULL, a deletion. */
struct row {
    int64_t line;
    const char *type;
    size_t type_len;
    const char *id;
    size_t id_len;
    struct instant updated;
    const char *json;
    size_t json_len;
    const char *values[FIELDS_MAX]; /* NULL = the resource has no value */
    size_t value_lens[FIELDS_MAX];
};

/* What is kept of a file besides its rows. */
struct remark {
    const char *kind; /* "invalid line", "not stored" or "server issue" */
    int64_t line;
    const char *reason;
    const char *bytes; /* NULL = not kept */
    size_t len;
};

struct counts {
    int64_t files;
    int64_t resources; /* rows of complete files */
    int64_t outdated;  /* of these: rows that are older than what the database has */
    int64_t deletions; /* rows that were deleted */
    int64_t remarks;   /* invalid lines, resources that were not stored, and server issues of
                          severity error or fatal */
};

/* A load: one export, which may need several jobs. The texts are allocated; "" = none. */
struct load {
    int64_t id; /* 0 = there is no unfinished load of this request */
    char *since;
    char *transaction_time; /* of the first job of the load */
    char *saved;            /* what bcda_job_restore() needs; "" = no job to resume */
    char *previous;         /* the transaction time of the last load that was completed */
    struct counts counts;
};
void load_clear(struct load *l);

/* What is stored together with the rows of a file, in one transaction. */
struct file_end {
    const char *name;
    int has_deletions;
    struct instant transaction_time; /* of the job: deletions do not delete newer rows */
    const char *saved;               /* to append to the text of the job */
    struct counts counts;            /* what this file adds; finish_file() completes it */
    int64_t staged;                  /* used by finish_file() */
};

struct store;
struct database {
    const char *program;       /* the name of the program */
    const char *help_database; /* lines of --help */
    const char *help_notes;
    int has_schema;
    int wait_seconds; /* the default of --wait */
    /* Checks --database before anything is opened. Returns 0, or -1 after an error, which is
     * printed. */
    int (*check_arguments)(const struct load_args *a);
    /* Connects, locks, and creates or checks the tables. May change the fields of `a`. */
    int (*open)(struct store **out, struct load_args *a);
    void (*close)(struct store *s); /* NULL is allowed */
    /* Finds the unfinished load of a request, and the last one that was completed. */
    int (*find_load)(struct store *s, const char *request, struct load *out);
    /* Records a new load, and sets its id. */
    int (*begin_load)(struct store *s, const char *request, struct load *l);
    /* Ends a load that must not be resumed. Its record is removed if no file was loaded. */
    int (*abandon_load)(struct store *s, const struct load *l);
    /* Replaces the text of the job, and records the transaction time of the load. */
    int (*save_job)(struct store *s, const struct load *l, const char *text);
    int (*finish_load)(struct store *s, const struct load *l);
    /* Staging of the file in this slot, from 0 to FILES_MAX - 1. */
    int (*begin_file)(struct store *s, int slot, const char *name);
    int (*add_row)(struct store *s, int slot, const struct row *r);
    int (*add_remark)(struct store *s, int slot, const struct remark *r);
    /* Stores the staged rows and `end` in one transaction. */
    int (*finish_file)(struct store *s, const struct load *l, int slot, struct file_end *end);
    void (*drop_file)(struct store *s, int slot);
};

/* job.c: one job of a load. */
struct loader {
    struct load_args *args;
    const struct database *db;
    struct store *store;
    bcda_session *session;
    const char *type; /* at the resource level, the type of the load; otherwise NULL */
    int level;        /* the BCDA_LEVEL_* of the load */
    int is_trial;     /* the load shows whether the server has the resource level */
    char *request;    /* the text that identifies it */
    struct load load;
    bcda_export *export_; /* what the next job requests */
    int field_index[FIELDS_MAX];
    bcda_job *job;
    int is_restored; /* the job was started by an earlier run, or before a lost connection */
    int ended;       /* the job has ended, with `result` */
    int result;
    int stop; /* 0, STORE_FAILED or STORE_LOST: why the job was stopped */
    size_t failed_files;
    size_t job_files;    /* files that this job has loaded in this run */
    size_t files_loaded; /* files that this run has loaded */
    int lines_shown;     /* remarks about lines that were printed */
    int64_t bytes;
    int64_t bytes_received;
    int64_t started;
    struct open_file *files; /* FILES_MAX */
    char *scratch;           /* the values of fields that have several */
    size_t scratch_size;
};
int job_init(struct loader *l);
void job_free(struct loader *l);
/* Starts the job of the load, or resumes it. Returns 0, or -1 after an error, which is printed. */
int job_begin(struct loader *l);
/* Releases the job, after it has ended. */
void job_release(struct loader *l);
/* Returns 1 if the job has ended at the server, or no longer exists there. */
int job_is_gone(const struct loader *l);

/* main.c */
int load_main(const struct database *db, int argc, char **argv);

#endif
