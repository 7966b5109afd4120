/* The fault bench runs every fault of the sandbox with every form of a file and both delivery
 * modes, each combination in a process of its own. The delivered data is compared, by hashes, with
 * what the server generated. */
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
    SHORT = 1,      /* part of the short table */
    WAITS = 2,      /* the client's clock advances while an open transfer brings no bytes */
    GENERATED = 4,  /* the server generates the file with the fault: that is the original */
    ALTERS = 8,     /* bytes are altered; only the end of the file can show that */
    MUST_FAIL = 16, /* the file's tag or trailer is wrong, so any success is RED */
    LACKS = 64,     /* a part of the export is missing, and the job must report it */
    NOISE = 32      /* the bytes are random: which error a line shows first is not compared */
};

struct row {
    const char *name;
    const char *specs[SPECS_MAX]; /* for sandbox_set_fault(); NULL ends the list */
    unsigned flags;
    unsigned forms; /* forms in which the fault can occur; 0: all */
    unsigned quiet; /* forms in which nothing in the file as sent can show the fault */
};

extern const struct row rows[];
extern const size_t row_count;

/* ---- truth.c: what the server generated, and what was delivered ---- */

struct truth {
    uint8_t (*after)[32]; /* after[n] is the hash after n lines; n = 0 to count */
    size_t count;
};

/* Computes the hashes of a text. A last line without LF counts. */
void truth_of(struct truth *t, const char *text, size_t len);
void truth_free(struct truth *t);
void truth_start(uint8_t hash[32]);
void truth_add(uint8_t hash[32], const char *line, size_t len); /* one line, without its LF */
/* Alters the text as the row's faults do. Returns its new length. */
size_t truth_alter(const struct row *row, enum form form, char *text, size_t len);

/* ---- judge.c ---- */

enum class {
    NOT_RUN,  /* becomes RED if the process ends without a result */
    COMPLETE, /* exactly the original */
    AS_SENT,  /* exactly what was sent: not the original, but nothing in it shows that */
    PREFIX,   /* failed; the first resources of the original were delivered, as provisional */
    ALTERED,  /* failed; delivered as provisional, the last part not as in the original */
    NOTHING,  /* failed; nothing was delivered */
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

/* All text that the client reported or logged. */
struct shown {
    char *text;
    size_t len;
};

void shown_add(struct shown *s, const char *what, const char *text);
void shown_errors(struct shown *s, const struct run *r);
void shown_free(struct shown *s);
/* A bcda_log_cb. The userdata is a struct shown. */
void shown_log(int level, const char *component, const char *message, void *userdata);
/* Returns the kind of secret or patient data of the sandbox that `s` contains, or NULL if there is
 * none. Writes all text that is searched for to `list`, one per line; `list` may be NULL. */
const char *secrets_find(struct sandbox *sb, const struct shown *s, FILE *list);

/* ---- cell.c ---- */

struct files {
    int log, secrets; /* descriptors to append to; -1: none */
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
