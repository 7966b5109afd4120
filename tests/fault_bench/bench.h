/*
 * The fault bench: every fault of the sandbox with every form of a file and both ways of delivery,
 * each in a process of its own. The result is checked by hashes of what the server generated.
 */
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
    WAITS = 2,      /* the client's clock runs while a transfer is open and brings no bytes */
    GENERATED = 4,  /* the file that the server generated has the fault, and is the original */
    ALTERS = 8,     /* bytes are altered, which only the end of the file can show */
    MUST_FAIL = 16, /* the check in the file is wrong: a success is RED, whatever was delivered */
    LACKS = 64,     /* a part of the export is missing, and the job must report it */
    NOISE = 32 /* the bytes are random: which error of the line is found first is not compared */
};

struct row {
    const char *name;
    const char *specs[SPECS_MAX]; /* for sandbox_set_fault(); NULL ends them */
    unsigned flags;
    unsigned forms; /* in which it can occur; 0: all */
    unsigned quiet; /* forms in which nothing in the file, as sent, could show it */
};

extern const struct row rows[];
extern const size_t row_count;

/* ---- truth.c: what the server generated, and what was delivered ---- */

struct truth {
    uint8_t (*after)[32]; /* [n] is the hash after n lines; count + 1 of them */
    size_t count;
};

/* The hashes of a text. A last line without LF is counted. */
void truth_of(struct truth *t, const char *text, size_t len);
void truth_free(struct truth *t);
void truth_start(uint8_t hash[32]);
void truth_add(uint8_t hash[32], const char *line, size_t len); /* one line, without its LF */
/* Alters the text as the row's faults do. Returns its new length. */
size_t truth_alter(const struct row *row, enum form form, char *text, size_t len);

/* ---- judge.c ---- */

enum class {
    NOT_RUN,  /* RED if it is still so when its process has ended */
    COMPLETE, /* exactly the original */
    AS_SENT, /* exactly what was sent; it differs from the original, and nothing in it shows that */
    PREFIX,  /* the first resources of the original, marked as provisional; a failure */
    ALTERED, /* marked as provisional, the last of it not as in the original; a failure */
    NOTHING, /* a failure */
    NOT_APPLICABLE,
    RED
};

struct cell {
    enum class class;
    int code;
    char why[300]; /* of RED */
};

void judge(const struct row *row, enum form form, enum mode mode, struct run *r, struct cell *cell);
void cell_red(struct cell *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- secrets.c ---- */

/* All that was reported or logged. */
struct shown {
    char *text;
    size_t len;
};

void shown_add(struct shown *s, const char *what, const char *text);
void shown_errors(struct shown *s, const struct run *r);
void shown_free(struct shown *s);
/* As a bcda_log_cb; the userdata is a struct shown. */
void shown_log(int level, const char *component, const char *message, void *userdata);
/* Returns which kind of secret or patient data of the sandbox `s` contains; NULL: none. All text
 * that is searched for is written to `list`, one per line; `list` may be NULL. */
const char *secrets_find(struct sandbox *sb, const struct shown *s, FILE *list);

/* ---- cell.c ---- */

struct files {
    int log, secrets; /* descriptors to append to; -1: none */
    const char *folder;
};

/* In this process. */
void cell_run(const struct row *row, enum form form, enum mode mode, const struct files *files,
              struct cell *cell);

/* ---- soak.c ---- */

/* Prints its figures. An assertion fails if a file is not delivered completely and once. */
void soak(const struct files *files, uint64_t seed);

/* ---- table.c ---- */

int fault_bench_main(int argc, char **argv);

#endif
