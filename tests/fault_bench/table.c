/* Runs the rows, each cell in a process of its own, and prints the table. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tempdir.h"

#if defined __SANITIZE_ADDRESS__
enum { HUNG_S = 300 };
#else
enum { HUNG_S = 60 };
#endif
enum { PROCESSES = 2 };

struct options {
    int only_short, broken, soak;
    uint64_t seed;
    const char *compare, *only, *log, *secrets;
};

static struct options options = {.seed = 1};
static struct files files = {-1, -1, NULL};
static struct cell *cells; /* row_count * CELLS, in memory shared with the child processes */

static int wanted(const struct row *row)
{
    return (!options.only || strstr(row->name, options.only)) &&
           (!options.only_short || (row->flags & SHORT));
}

/* ---- processes ---- */

/* Check allows assertions only inside a test, so one_cell and whole_soak are tests. Their arguments
 * are in these variables. */
static const struct row *the_row;
static int the_cell;

START_TEST(one_cell)
{
    cell_run(the_row, (enum form)(the_cell / MODES), (enum mode)(the_cell % MODES), &files,
             &cells[(size_t)(the_row - rows) * CELLS + (size_t)the_cell]);
}
END_TEST

START_TEST(whole_soak)
{
    soak(&files, options.seed);
}
END_TEST

/* Runs a test in this process. Returns NULL, or the reason of its failure, which the caller
 * frees. */
static char *run_test(const TTest *test)
{
    Suite *suite = suite_create("faults");
    TCase *tc = tcase_create("faults");
    SRunner *runner = srunner_create(suite);
    char *why = NULL;

    tcase_add_test(tc, test);
    suite_add_tcase(suite, tc);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    if (srunner_ntests_failed(runner)) {
        TestResult **failures = srunner_failures(runner);

        why = strdup(tr_msg(failures[0]));
        free(failures);
    }
    srunner_free(runner);
    return why;
}

static void run_here(const struct row *row, int i)
{
    struct cell *cell = &cells[(size_t)(row - rows) * CELLS + (size_t)i];
    char *why;

    the_row = row;
    the_cell = i;
    alarm(HUNG_S);
    why = run_test(one_cell);
    if (why)
        cell_red(cell, "%s", why);
    free(why);
    exit(0);
}

static void start(const struct row *row, int i, pid_t *pid)
{
    fflush(NULL);
    *pid = fork();
    if (*pid < 0) {
        perror("fork");
        exit(2);
    }
    if (*pid == 0)
        run_here(row, i);
}

struct work {
    pid_t pid;
    struct cell *cell;
};

/* Waits until one of the processes ends. */
static void reap(struct work *work)
{
    int status, i;
    pid_t pid = wait(&status);

    for (i = 0; i < PROCESSES; i++) {
        if (work[i].pid != pid || pid <= 0)
            continue;
        work[i].pid = 0;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
            cell_red(work[i].cell, "hangs");
        else if (WIFSIGNALED(status))
            cell_red(work[i].cell, "ends with the signal %d", WTERMSIG(status));
        else if (WEXITSTATUS(status))
            cell_red(work[i].cell, "ends with the status %d", WEXITSTATUS(status));
        else if (work[i].cell->class == NOT_RUN)
            cell_red(work[i].cell, "has no result");
    }
}

static int is_busy(const struct work *work)
{
    int i, n = 0;

    for (i = 0; i < PROCESSES; i++)
        n += work[i].pid != 0;
    return n;
}

static void run_cell(const struct row *row, int i, struct work *work)
{
    struct cell *cell = &cells[(size_t)(row - rows) * CELLS + (size_t)i];
    int slot = 0;

    if (row->forms && !(row->forms & ON(i / MODES))) {
        cell->class = NOT_APPLICABLE;
        return;
    }
    if (is_busy(work) == PROCESSES)
        reap(work);
    while (work[slot].pid)
        slot++;
    work[slot].cell = cell;
    start(row, i, &work[slot].pid);
}

static void run_all(void)
{
    struct work work[PROCESSES] = {{0}};
    size_t k;
    int i;

    for (k = 0; k < row_count; k++)
        for (i = 0; wanted(&rows[k]) && i < CELLS; i++)
            run_cell(&rows[k], i, work);
    while (is_busy(work))
        reap(work);
}

/* ---- the table ---- */

static const char *const columns[CELLS] = {"plain, streaming",     "plain, verified",
                                           "encrypted, streaming", "encrypted, verified",
                                           "gzip, streaming",      "gzip, verified"};

static const char *code_of(const struct row *row, int code)
{
    const char *name = bcda_error_name(code);

    if ((row->flags & NOISE) && code <= BCDA_ERR_LINE_JSON && code >= BCDA_ERR_LINE_TYPE)
        return "LINE_JSON or the like";
    return strncmp(name, "BCDA_ERR_", 9) == 0 ? name + 9 : name;
}

static void print_cell(FILE *out, const struct row *row, const struct cell *c)
{
    static const char *const endings[] = {
        [PREFIX] = "prefix", [ALTERED] = "marked, altered", [NOTHING] = "nothing"};

    if (c->class == COMPLETE)
        fprintf(out, " complete |");
    else if (c->class == AS_SENT)
        fprintf(out, " as sent |");
    else if (c->class == NOT_APPLICABLE)
        fprintf(out, " - |");
    else if (c->class == RED)
        fprintf(out, " **RED** |");
    else
        fprintf(out, " %s, %s |", code_of(row, c->code), endings[c->class]);
}

/* Returns the table line of a row, which the caller frees. */
static char *line_of(const struct row *row)
{
    const struct cell *c = &cells[(size_t)(row - rows) * CELLS];
    char *line = NULL;
    size_t len;
    FILE *out = open_memstream(&line, &len);
    int i;

    if (!out)
        abort();
    fprintf(out, "| %s", row->name);
    for (i = 0; i < SPECS_MAX && row->specs[i]; i++)
        fprintf(out, " `%s`", row->specs[i]);
    fprintf(out, " |");
    for (i = 0; i < CELLS; i++)
        print_cell(out, row, &c[i]);
    fclose(out);
    return line;
}

static void print_head(void)
{
    int i;

    printf("| fault |");
    for (i = 0; i < CELLS; i++)
        printf(" %s |", columns[i]);
    printf("\n|---|");
    for (i = 0; i < CELLS; i++)
        printf("---|");
    printf("\n");
}

/* Returns the text of a file, which the caller frees. Does not use assertions, which the test
 * library allows only inside its tests. */
static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t cap = 0;

    if (!f || getdelim(&text, &cap, '\0', f) < 0) {
        perror(path);
        exit(2);
    }
    fclose(f);
    return text;
}

/* Returns 1, and prints a message, if no line of `text` (the file of --compare) equals `line`. */
static int differs(const char *text, const char *line)
{
    const char *at = text;
    size_t n = strlen(line);

    while ((at = strstr(at, line))) {
        if ((at == text || at[-1] == '\n') && at[n] == '\n')
            return 0;
        at += n;
    }
    fprintf(stderr, "not in %s: %s\n", options.compare, line);
    return 1;
}

/* Prints the table. Returns how many of its lines are not in the file of --compare. */
static int print_table(void)
{
    char *text = NULL, *line;
    size_t k;
    int bad = 0;

    if (options.compare)
        text = read_file(options.compare);
    print_head();
    for (k = 0; k < row_count; k++) {
        if (!wanted(&rows[k]))
            continue;
        line = line_of(&rows[k]);
        printf("%s\n", line);
        if (text)
            bad += differs(text, line);
        free(line);
    }
    free(text);
    return bad;
}

/* Prints the reason of each RED cell. Returns the number of RED cells. */
static int print_red(FILE *out)
{
    size_t k;
    int i, n = 0;

    for (k = 0; k < row_count; k++)
        for (i = 0; i < CELLS; i++) {
            const struct cell *c = &cells[k * CELLS + (size_t)i];

            if (c->class != RED)
                continue;
            n++;
            fprintf(out, "RED: %s (%s): %s\n", rows[k].name, columns[i], c->why);
        }
    return n;
}

static size_t count_run(void)
{
    size_t k, n = 0;

    for (k = 0; k < row_count * CELLS; k++)
        n += cells[k].class != NOT_RUN && cells[k].class != NOT_APPLICABLE;
    return n;
}

/* ---- the program ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void prepare(void)
{
    static char folder[512];
    size_t size = row_count * CELLS * sizeof *cells;
    struct sandbox_options o = {0};
    struct sandbox *sb;

    snprintf(folder, sizeof folder, "%s/bcda-faults-XXXXXX", tempdir());
    cells = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (cells == MAP_FAILED || !mkdtemp(folder) || setenv("TMPDIR", folder, 1)) {
        perror("fault-bench");
        exit(2);
    }
    files.folder = folder;
    if (options.log)
        files.log = open(options.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (options.secrets)
        files.secrets = open(options.secrets, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    o.tls = 1;
    if (sandbox_start(&o, &sb)) { /* the first sandbox makes the keys for all later ones */
        fprintf(stderr, "fault-bench: sandbox: %s\n", sandbox_last_error());
        exit(2);
    }
    sandbox_stop(sb);
}

static void usage(void)
{
    fprintf(stderr,
            "Usage: fault-bench [--short] [--only TEXT] [--compare FILE] [--broken] [--soak]\n"
            "                   [--seed N] [--log FILE] [--secrets FILE]\n");
    exit(2);
}

static void parse(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--short") == 0)
            options.only_short = 1;
        else if (strcmp(argv[i], "--broken") == 0)
            options.broken = 1;
        else if (strcmp(argv[i], "--soak") == 0)
            options.soak = 1;
        else if (!value)
            usage();
        else if (strcmp(argv[i++], "--only") == 0)
            options.only = value;
        else if (strcmp(argv[i - 1], "--compare") == 0)
            options.compare = value;
        else if (strcmp(argv[i - 1], "--seed") == 0)
            options.seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--log") == 0)
            options.log = value;
        else if (strcmp(argv[i - 1], "--secrets") == 0)
            options.secrets = value;
        else
            usage();
    }
}

static int run_table(void)
{
    int red, bad = 0;

    run_all();
    if (options.broken) { /* a build with a broken client must have a red cell */
        red = print_red(stdout);
        printf("%d of %zu cells are red\n", red, count_run());
        return red == 0;
    }
    bad = print_table();
    fflush(stdout);
    red = print_red(stderr);
    fprintf(stderr, "%zu cells, %d red\n", count_run(), red);
    return red || bad;
}

static int run_soak(void)
{
    char *why = run_test(whole_soak);
    int failed;

    if (why)
        fprintf(stderr, "soak, seed %llu: %s\n", (unsigned long long)options.seed, why);
    failed = why != NULL;
    free(why);
    return failed;
}

int fault_bench_main(int argc, char **argv)
{
    int failed;

    parse(argc, argv);
    prepare();
    failed = options.soak ? run_soak() : run_table();
    nftw(files.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return failed;
}
