/* Runs one cell: an export with the faults of one row. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EOB "ExplanationOfBenefit"

static struct fixture fx;
static struct shown shown;

/* Small batches, so that a file is delivered while it is received. */
enum { BATCH = 4096, FILE_BYTES = 400000, GZIP_BYTES = 1500000 };

/* The sandbox checks the times of an assertion, so the client's clock begins with the true time,
 * and retries do not advance it by minutes. */
static void use_signing_key(void)
{
    fx.now = (int64_t)time(NULL) * 1000;
    fixture_set(&fx, BCDA_OPT_RETRY_MAX_MS, 1000);
    ck_assert_ok(bcda_config_set_signing_key_file(
        fx.config, sandbox_client_id(fx.sandbox), sandbox_signing_key_file(fx.sandbox, "ES384"),
        NULL, sandbox_signing_key_id(fx.sandbox, "ES384")));
}

static void open_client(const struct row *row, enum form form, enum mode mode,
                        const struct files *files)
{
    static const char *const eras[FORMS] = {"2019-12", "2019-04", "current"};

    fixture_open_sandbox(&fx, SANDBOX(.era = eras[form], .patients = 4, .claims = 2,
                                      .file_bytes = form == GZIP ? GZIP_BYTES : FILE_BYTES,
                                      .auth = row->flags & SMART ? "smart" : NULL));
    fx.no_log = 1; /* shown_log() is set below */
    fixture_config(&fx);
    if (row->flags & SMART)
        use_signing_key();
    ck_assert_ok(bcda_config_set_log(fx.config, BCDA_LOG_DEBUG, shown_log, &shown, NULL));
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, BATCH);
    if (mode == VERIFIED) {
        fixture_set(&fx, BCDA_OPT_DELIVERY, BCDA_DELIVERY_VERIFIED);
        ck_assert_ok(bcda_config_set_spool_directory(fx.config, files->folder));
    }
}

static void set_faults(const struct row *row)
{
    int i;

    for (i = 0; i < SPECS_MAX && row->specs[i]; i++)
        fixture_fault(&fx, row->specs[i]);
}

static void append(int fd, const char *text, size_t len)
{
    if (fd >= 0)
        ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
}

/* Searches `shown`, all text that the client reported or logged, for secrets. Appends that text to
 * files->log, and the secrets that it searched for to files->secrets. */
static void check_shown(const struct files *files, struct cell *cell)
{
    char *list = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&list, &len);
    const char *found;

    ck_assert_ptr_nonnull(f);
    found = secrets_find(fx.sandbox, &shown, f);
    fclose(f);
    if (found)
        cell_red(cell, "%s was reported or logged", found);
    if (shown.len == 0)
        cell_red(cell, "nothing was logged");
    append(files->secrets, list, len);
    append(files->log, shown.text, shown.len);
    free(list);
}

void cell_run(const struct row *row, enum form form, enum mode mode, const struct files *files,
              struct cell *cell)
{
    struct run *r;

    open_client(row, form, mode, files);
    set_faults(row);
    fixture_session(&fx);
    fixture_export(&fx, form == ENCRYPTED ? BCDA_LEVEL_RESOURCE : BCDA_LEVEL_PATIENT, EOB, NULL);
    fx.takes_deletions = 1;
    fx.jump_open = (row->flags & WAITS) != 0;
    r = fixture_run(&fx, BY_RESOURCE);
    judge(row, form, mode, r, cell);
    shown_errors(&shown, r);
    check_shown(files, cell);
    fixture_close(&fx);
    shown_free(&shown);
}
