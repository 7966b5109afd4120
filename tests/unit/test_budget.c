/* The request budget that processes share. The test owns the clock. */
#include <sched.h>
#include <stdatomic.h>

#include "client/budget.h"
#include "helper.h"
#include "shared_files.h"
#include "torture/refuse.h"

enum { SIZE = 20, PER_SECOND = 10, WAIT = 100, RECORD = 52 };

static struct bcda__budget *budget, *other;
static struct bcda_error err;
static const int64_t now = 1700000000000;

static void open_test(void)
{
    make_folder();
    bcda__err_clear(&err);
    ck_assert_int_eq(bcda__budget_new(&budget, path), 0);
    ck_assert_int_eq(bcda__budget_new(&other, path), 0);
}

static void close_test(void)
{
    bcda__budget_free(budget);
    bcda__budget_free(other);
    remove_folder();
}

static int64_t take_at(struct bcda__budget *b, int64_t wall_ms)
{
    return bcda__budget_take(b, wall_ms, SIZE, PER_SECOND, 0, &err);
}

/* Returns how many requests may be sent at this time. */
static int take_all(struct bcda__budget *b, int64_t wall_ms)
{
    int64_t wait;
    int sent = 0;

    while ((wait = take_at(b, wall_ms)) == 0)
        ck_assert_int_le(++sent, SIZE);
    ck_assert_int_gt(wait, 0);
    ck_assert_int_le(wait, WAIT);
    return sent;
}

/* ---- one bucket ---- */

START_TEST(burst_then_rate)
{
    char record[RECORD + 1];
    int i;

    for (i = 0; i < SIZE; i++)
        ck_assert_int_eq(take_at(i % 2 ? budget : other, now), 0);
    ck_assert_int_eq(take_at(budget, now), WAIT);
    ck_assert_int_eq(take_at(other, now), WAIT);
    ck_assert_int_eq(take_at(other, now + 99), 1);
    ck_assert_int_eq(take_at(budget, now + 100), 0);
    ck_assert_int_eq(take_at(other, now + 100), WAIT);
    ck_assert_int_eq(take_all(other, now + 86400000), SIZE);
    ck_assert_int_eq(descriptors_of(path), 2);
    ck_assert_int_eq(get_file(path, record, sizeof record), RECORD);
    ck_assert_int_eq(
        memcmp(record, "bcda-budget 1 000000000000000000 000001700086400000\n", RECORD), 0);
}
END_TEST

/* A budget that is closed and opened again is the same one. */
START_TEST(outlives_the_process)
{
    ck_assert_int_eq(take_all(budget, now), SIZE);
    bcda__budget_free(budget);
    ck_assert_int_eq(bcda__budget_new(&budget, path), 0);
    ck_assert_int_eq(bcda__budget_check(budget, &err), 0);
    ck_assert_int_eq(take_all(budget, now), 0);
    ck_assert_int_eq(take_all(budget, now + 500), 5);
}
END_TEST

START_TEST(check_keeps_the_level)
{
    ck_assert_int_eq(bcda__budget_check(budget, &err), 0);
    ck_assert_int_eq(size_of(path), 0);
    ck_assert_int_eq(is_free(path), 1);
    ck_assert_int_eq(take_all(budget, now), SIZE);
    ck_assert_int_eq(bcda__budget_check(other, &err), 0);
    ck_assert_int_eq(take_all(other, now), 0);
}
END_TEST

/* Another process has the lock: 1 to 5 ms, and nothing is taken. */
START_TEST(busy)
{
    int fd;
    uint32_t i;

    ck_assert_int_eq(take_at(budget, now), 0);
    fd = lock_from_outside(path, LOCK_EX);
    for (i = 0; i < 10; i++)
        ck_assert_int_eq(bcda__budget_take(budget, now, SIZE, PER_SECOND, i, &err), 1 + i % 5);
    ck_assert_int_eq(bcda__budget_take(budget, now, SIZE, PER_SECOND, UINT32_MAX, &err), 1);
    ck_assert_int_eq(bcda__budget_check(budget, &err), 0);
    ck_assert_int_eq(err.code, 0);
    close(fd);
    ck_assert_int_eq(take_all(budget, now), SIZE - 1);
}
END_TEST

/* ---- clocks and records ---- */

START_TEST(clock_back)
{
    static const int64_t back[] = {1, 1000, 1001, 3600000, 1700000000000};
    int64_t then = now - back[_i], ahead = back[_i] <= 1000 ? back[_i] : 0;

    ck_assert_int_eq(take_all(budget, now), SIZE);
    ck_assert_int_eq(take_at(other, then), WAIT);
    ck_assert_int_eq(take_all(other, then + ahead + WAIT), 1);
}
END_TEST

START_TEST(other_size)
{
    ck_assert_int_eq(take_at(budget, now), 0);
    ck_assert_int_eq(bcda__budget_take(other, now, 1, PER_SECOND, 0, &err), 0);
    ck_assert_int_eq(bcda__budget_take(other, now, 1, PER_SECOND, 0, &err), WAIT);
    ck_assert_int_eq(take_all(budget, now), 0); /* a smaller bucket has overflowed */
    ck_assert_int_eq(bcda__budget_take(other, now + 1000, 1000000, 1000000, 0, &err), 0);
}
END_TEST

/* Writes a record, and then returns how many requests it allows at `now`. */
static int sent_with(const void *content, size_t len)
{
    put_file(path, content, len);
    return take_all(budget, now);
}

static int sent_with_text(const char *text)
{
    return sent_with(text, strlen(text));
}

/* Checks that a file with other content is refused, and kept. */
static void check_foreign(const void *content, size_t len)
{
    char kept[200];

    put_file(path, content, len);
    ck_assert_int_eq(bcda__budget_take(budget, now, SIZE, PER_SECOND, 0, &err), -1);
    ck_assert_int_eq(err.code, BCDA_ERR_IO);
    ck_assert_int_eq(get_file(path, kept, sizeof kept), (int)len);
    ck_assert_int_eq(memcmp(kept, content, len), 0);
}

START_TEST(damaged)
{
    static const char *const full[] = {
        "",
        "bcda-bud",
        "bcda-budget 1 000000000000000000 000001700000000000",
        "bcda-budget 1 000000000000000000 000001700000000000\n\n",
        "bcda-budget 1 000000000000000000 000001700000000000 ",
        "bcda-budget 1 000000000000000000-000001700000000000\n",
        "bcda-budget 1 -00000000000000000 000001700000000000\n",
        "bcda-budget 1 000000000000000000 -00001700000000000\n",
        "bcda-budget 1 00000000000000000x 000001700000000000\n",
        "bcda-budget 1 999999999999999999 000001700000000000\n",
        "bcda-budget 1 999999999999999999 999999999999999999\n",
        "bcda-budget 1 000000000000000000 000000000000000000\n",
    };
    static const char *const foreign[] = {
        "\n",
        "{}",
        "bcda-budget 2 000000000000000000 000001700000000000\n",
    };
    static const char *const empty[] = {
        "bcda-budget 1 000000000000000000 000001700000000000\n",
        "bcda-budget 1 000000000000000000 999999999999999999\n",
    };
    static char large[100000];
    size_t i;

    for (i = 0; i < COUNT(full); i++)
        ck_assert_msg(sent_with_text(full[i]) == SIZE, "%s", full[i]);
    for (i = 0; i < COUNT(foreign); i++)
        check_foreign(foreign[i], strlen(foreign[i]));
    for (i = 0; i < COUNT(empty); i++)
        ck_assert_msg(sent_with_text(empty[i]) == 0, "%s", empty[i]);
    ck_assert_int_eq(sent_with(large, RECORD), SIZE);
    ck_assert_int_eq(sent_with(large, sizeof large), SIZE);
    ck_assert_int_eq(size_of(path), RECORD); /* replaced by a record */
    ck_assert_int_eq(take_all(other, now), 0);
}
END_TEST

START_TEST(every_byte)
{
    char record[RECORD], changed[RECORD];
    int sent, i, bit;

    ck_assert_int_eq(take_all(budget, now), SIZE);
    ck_assert_int_eq(get_file(path, record, sizeof record), RECORD);
    for (i = 0; i < RECORD; i++) {
        ck_assert_int_eq(sent_with(record, (size_t)i), SIZE);
        for (bit = 0; bit < 8; bit++) {
            memcpy(changed, record, sizeof record);
            changed[i] = (char)(changed[i] ^ 1 << bit);
            if (i < (int)strlen("bcda-budget 1 ")) {
                check_foreign(changed, sizeof changed);
                continue;
            }
            sent = sent_with(changed, sizeof changed);
            ck_assert_int_le(sent, SIZE);
            ck_assert_int_eq(size_of(path), RECORD);
            ck_assert_int_eq(take_all(other, now), 0);
        }
    }
    ck_assert_int_eq(sent_with(record, sizeof record), 0);
}
END_TEST

/* ---- files ---- */

START_TEST(deleted_or_replaced)
{
    ck_assert_int_eq(take_all(budget, now), SIZE);
    if (_i == 0) {
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(take_at(budget, now), 0);
        ck_assert_int_eq(take_all(other, now), SIZE - 1);
    } else {
        put_file(other_path, "bcda-budget 1 000000000000003000 000001700000000000\n", RECORD);
        ck_assert_int_eq(rename(other_path, path), 0);
        ck_assert_int_eq(take_all(budget, now), 3);
    }
    ck_assert_int_eq(descriptors_of(path), 1 + !_i);
}
END_TEST

/* Checks that the budget cannot be used. */
static void check_unusable(const char *cause)
{
    ck_assert_int_eq(take_at(budget, now), -1);
    ck_assert_int_eq(err.code, BCDA_ERR_IO);
    ck_assert_msg(strstr(err.text, cause) != NULL, "%s", err.text);
    ck_assert_int_eq(strncmp(err.text, "the request budget /", 20), 0);
}

START_TEST(unusable)
{
    static const char *const causes[] = {"run chmod 600", "it is a symbolic link",
                                         "it is not a regular file"};

    if (_i == 0) {
        put_file(path, "", 0);
        ck_assert_int_eq(chmod(path, 0660), 0);
    } else if (_i == 1)
        ck_assert_int_eq(symlink(other_path, path), 0);
    else
        ck_assert_int_eq(mkfifo(path, 0600), 0);
    check_unusable(causes[_i]);
    bcda__err_clear(&err);
    ck_assert_int_eq(bcda__budget_check(budget, &err), BCDA_ERR_IO);
    ck_assert_msg(strstr(err.text, causes[_i]) != NULL, "%s", err.text);
}
END_TEST

/* On a full disk the file stays empty, or contains a part of a record. No request is allowed: each
 * would find a full bucket. */
START_TEST(disk_full)
{
    int i;

    if (_i)
        ck_assert_int_eq(take_at(budget, now), 0);
    calls_of.write_errno = ENOSPC;
    for (i = 0; i < 3; i++)
        check_unusable("cannot be written: No space left on device");
    calls_of.write_errno = 0;
    ck_assert_int_eq(is_free(path), 1);
    ck_assert_int_le(take_all(budget, now), SIZE);
}
END_TEST

START_TEST(small_steps)
{
    calls_of.small_steps = 1;
    ck_assert_int_eq(take_all(budget, now), SIZE);
    ck_assert_int_eq(take_all(other, now), 0);
}
END_TEST

START_TEST(allocations)
{
    struct bcda__budget *b = NULL;
    int i;

    for (i = 1; i <= 2; i++) {
        refuse_from(i, 0);
        ck_assert_int_eq(bcda__budget_new(&b, path), BCDA_ERR_NOMEM);
        ck_assert_msg(live == 0, "%ld blocks are left, %s", live, refusal());
        ck_assert_int_eq(refused, 1);
        ck_assert_ptr_null(b);
    }
    refuse_from(0, 0);
    ck_assert_int_eq(bcda__budget_new(&b, path), 0);
    ck_assert_int_eq(calls, 2);
    refuse_from(1, 1);
    ck_assert_int_eq(take_at(b, now), 0); /* requires no memory */
    refuse_from(0, 0);
    bcda__budget_free(b);
    bcda__budget_free(NULL);
}
END_TEST

/* ---- processes ---- */

enum { PROCESSES = 5, PERIODS = 4 };

struct shared {
    atomic_int sent[PERIODS];
};

/* Takes what the bucket holds in each period. Without other processes' locks, the wait is longer
 * than one for a lock, which is at most 5 ms. */
static void take_in_child(struct shared *all, int period, uint32_t number)
{
    struct bcda__budget *b;
    uint32_t random = number;
    int64_t wait;

    if (bcda__budget_new(&b, path))
        _exit(1);
    do {
        wait = bcda__budget_take(b, now + 1000 * period, SIZE, PER_SECOND, random++, &err);
        if (wait == 0)
            all->sent[period]++;
        else
            sched_yield();
    } while (wait >= 0 && wait <= 5);
    bcda__budget_free(b);
    _exit(wait != WAIT);
}

START_TEST(many_processes)
{
    struct shared *all = shared_memory(sizeof *all);
    pid_t pids[PROCESSES];
    int period;
    uint32_t i;

    for (period = 0; period < PERIODS; period++) {
        for (i = 0; i < PROCESSES; i++) {
            pids[i] = fork();
            if (pids[i] == 0)
                take_in_child(all, period, i);
        }
        for (i = 0; i < PROCESSES; i++)
            finish_child(pids[i]);
        ck_assert_int_eq(all->sent[period], period ? PER_SECOND : SIZE);
    }
    munmap(all, sizeof *all);
}
END_TEST

/* A process that is created while the parent has the lock: the lock stays with the parent. */
static void fork_in_write(void)
{
    pid_t pid;

    calls_of.write_hook = NULL;
    pid = fork();
    if (pid == 0) {
        bcda__budget_set_forked(budget);
        if (bcda__budget_take(budget, now, SIZE, PER_SECOND, 3, &err) != 4)
            _exit(1);
        bcda__budget_free(budget);
        _exit(0);
    }
    finish_child(pid);
    ck_assert_int_eq(is_free(path), 0);
}

/* The child then uses the budget as a process of its own. If it had the parent's open file, each
 * could lock it while the other has the lock. */
START_TEST(forked)
{
    int fd;
    pid_t pid;

    calls_of.write_hook = fork_in_write;
    ck_assert_int_eq(take_at(budget, now), 0);
    ck_assert_ptr_null(calls_of.write_hook);
    ck_assert_int_eq(is_free(path), 1);
    pid = fork();
    if (pid == 0) {
        bcda__budget_set_forked(budget);
        bcda__budget_set_forked(other);
        if (descriptors_of(path) != 0 || take_at(budget, now) != 0)
            _exit(1);
        fd = lock_from_outside(path, LOCK_EX);
        _exit(take_at(budget, now) != 1 || fd < 0);
    }
    finish_child(pid);
    ck_assert_int_eq(take_all(budget, now), SIZE - 2);
}
END_TEST

SUITE("budget")
{
    suite_case("bucket");
    suite_checked(open_test, close_test);
    suite_test(burst_then_rate, outlives_the_process, check_keeps_the_level, busy);

    suite_case("records");
    suite_checked(open_test, close_test);
    suite_loop(clock_back, 0, 5);
    suite_test(other_size, damaged, every_byte);

    suite_case("files");
    suite_checked(open_test, close_test);
    suite_loop(deleted_or_replaced, 0, 2);
    suite_loop(unusable, 0, 3);
    suite_loop(disk_full, 0, 2);
    suite_test(small_steps, allocations);

    suite_case("processes");
    suite_checked(open_test, close_test);
    suite_test(many_processes, forked);
}
