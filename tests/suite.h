/*
 * A test program names its suite, and adds its cases and their tests:
 *
 *     SUITE("ring")
 *     {
 *         suite_case("sizes");
 *         suite_test(one_run);
 *         suite_loop(sizes, 0, 4);
 *     }
 *
 * main() is in suite.c: it runs the suite, reports on stdout as TAP, and returns 0 if all tests
 * passed. The block of SUITE() runs once, before any test does.
 */
#ifndef BCDA_TESTS_SUITE_H
#define BCDA_TESTS_SUITE_H

#include <check.h>

#define SUITE(name)                 \
    const char suite_name[] = name; \
    void suite_add_cases(void)

extern const char suite_name[];
void suite_add_cases(void);

/* What follows belongs to this case, until the next one. CK_RUN_CASE selects a case by its name. */
void suite_case(const char *name);
/* Seconds for each test of the case, by default 60; CK_TIMEOUT_MULTIPLIER multiplies them. */
void suite_timeout(double seconds);
/* Around each test, in its process. */
void suite_checked(void (*setup)(void), void (*teardown)(void));
/* Around the whole case, in the process of main(). */
void suite_unchecked(void (*setup)(void), void (*teardown)(void));
/* Each of them once. */
#define suite_test(...) suite_add((const TTest *const[]){__VA_ARGS__, NULL})
void suite_add(const TTest *const *tests);
void suite_loop(const TTest *test, int first, int end); /* `_i` is first to end - 1 */

/* Optional functions of a test program. */

/* Called before the tests run. main() returns 1 unless it returns 0. */
int suite_prepare(void);
/* Called in place of the tests if there are arguments: the test program run by one of its tests.
 * Its result is the exit status. */
int suite_run_alone(int argc, char **argv);

#endif
