/* The fault bench: an export for every fault of the sandbox server, every form of a file (plain,
 * encrypted, gzip) and both delivery modes (streaming, verified). Each combination, a cell, has its
 * own process. Hashes show whether the client delivered what the server generated. */
#ifndef BCDA_TESTS_FAULT_BENCH_H
#define BCDA_TESTS_FAULT_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fixture.h"

enum form { PLAIN, ENCRYPTED, GZIP, FORMS };
enum mode { STREAMING, VERIFIED, MODES };
enum { CELLS = FORMS * MODES, SPECS_MAX = 5 };

#define ON(form) (1u << (form))

/* ---- rows.c ---- */

enum row_flag {
    SHORT = 1,      /* the row also belongs to the short table (struct options, only_short) */
    WAITS = 2,      /* the client's clock advances while an open transfer brings no bytes */
    GENERATED = 4,  /* the fault is in the server's stored file, which counts as the original */
    ALTERS = 8,     /* the server alters bytes; only the tag or trailer at the end can show it */
    MUST_FAIL = 16, /* the file's GCM tag or gzip trailer is wrong: a job that succeeds is RED */
    DELETES = 64,   /* the manifest lists a file of deletions; only that file can have the fault */
    NOISE = 32,     /* lines of random bytes: the table does not name the error that a line gives */
    SMART = 128     /* the server is one of SMART Backend Services; the client has a signing key */
};

struct row {
    const char *name;
    const char *specs[SPECS_MAX]; /* for sandbox_set_fault(); NULL ends the list */
    unsigned flags;
    unsigned forms; /* forms in which the fault can occur; 0: all */
    unsigned quiet; /* forms in which a client cannot detect the fault: the sent file looks valid */
};

extern const struct row rows[];
extern const size_t row_count;

/* ---- truth.c: hashes of the lines that the server generated or the client delivered ---- */

struct truth {
    uint8_t (*after)[32]; /* after[n] is the hash of the first n lines, n from 0 to `count` */
    size_t count;
};

/* Computes the hashes of a text. A last line without LF is a line, too. */
void truth_of(struct truth *t, const char *text, size_t len);
void truth_free(struct truth *t);
void truth_start(uint8_t hash[32]);
void truth_add(uint8_t hash[32], const char *line, size_t len); /* one line, without its LF */
/* Alters the text as the server does for the faults of the row. Returns the new length. */
size_t truth_alter(const struct row *row, enum form form, char *text, size_t len);

/* ---- judge.c ---- */

enum class {
    NOT_RUN,  /* becomes RED if the process ends without a result */
    COMPLETE, /* the job succeeded; the client delivered exactly the original */
    AS_SENT,  /* the job succeeded; delivered: the file as sent, altered, but looking valid */
    PREFIX,   /* the job failed; delivered, as provisional: the first resources of the original */
    ALTERED,  /* the job failed; delivered, as provisional: resources, the last ones altered */
    NOTHING,  /* the job failed; the client delivered nothing */
    NOT_APPLICABLE,
    RED
};

struct cell {
    enum class class;
    int code;
    char why[300]; /* the reason, if RED */
};

void judge(const struct row *row, enum form form, enum mode mode, struct run *r, struct cell *cell);
void cell_red(struct cell *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- secrets.c ---- */

/* All text of the errors that the client reported and of the messages that it logged. */
struct shown {
    char *text;
    size_t len;
};

void shown_add(struct shown *s, const char *what, const char *text);
void shown_errors(struct shown *s, const struct run *r);
void shown_free(struct shown *s);
/* A bcda_log_cb. The userdata is a struct shown. */
void shown_log(int level, const char *component, const char *message, void *userdata);
/* Searches `s` for the secrets and patient data of the sandbox. Returns the kind of what it found,
 * or NULL. Writes each text that it searches for to `list`, one per line; `list` may be NULL. */
const char *secrets_find(struct sandbox *sb, const struct shown *s, FILE *list);

/* ---- cell.c ---- */

struct files {
    int log, secrets; /* descriptors of files to append to, see check_shown(); -1: none */
    const char *folder;
};

/* Runs the export of one cell in this process. */
void cell_run(const struct row *row, enum form form, enum mode mode, const struct files *files,
              struct cell *cell);

/* ---- soak.c ---- */

/* Runs the soak test and prints its figures. An assertion fails unless each file is delivered
 * completely and once. */
void soak(const struct files *files, uint64_t seed);

/* ---- table.c ---- */

int fault_bench_main(int argc, char **argv);

#endif
