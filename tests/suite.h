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
 * main() is in suite.c: it runs the suite, reports on stdout in TAP, and returns 0 if all tests
 * passed. The block after SUITE() runs once, before the tests.
 */
#ifndef BCDA_TESTS_SUITE_H
#define BCDA_TESTS_SUITE_H

#include <check.h>

/* The definition of check.h, except that it calls suite_mark(). check.h sends a message to the
 * parent process for each assertion that holds. Under AddressSanitizer the parent reads a message
 * slowly: it moves the 16 kB of its buffer byte by byte. */
#undef ck_assert_msg
#define ck_assert_msg(expr, ...)          \
    ((expr)                               \
         ? suite_mark(__FILE__, __LINE__) \
         : _ck_assert_failed(__FILE__, __LINE__, "Assertion '" #expr "' failed", ##__VA_ARGS__))

#define SUITE(name)                 \
    const char suite_name[] = name; \
    void suite_add_cases(void)

extern const char suite_name[];
void suite_add_cases(void);

/* Starts a case: all calls up to the next suite_case() apply to it. The environment variable
 * CK_RUN_CASE selects a case by its name. */
void suite_case(const char *name);
/* Sets the time limit of each test of the case, in seconds; the default is 60. The environment
 * variable CK_TIMEOUT_MULTIPLIER multiplies the limit. */
void suite_timeout(double seconds);
/* Runs the functions before and after each test, in the process of the test. */
void suite_checked(void (*setup)(void), void (*teardown)(void));
/* Runs the functions before and after the whole case, in the process of main(). */
void suite_unchecked(void (*setup)(void), void (*teardown)(void));
/* Adds tests that run once each. */
#define suite_test(...) suite_add((const TTest *const[]){__VA_ARGS__, NULL})
void suite_add(const TTest *const *tests);
/* Adds a test that runs once with each `_i` from `first` to `end` - 1. */
void suite_loop(const TTest *test, int first, int end);
/* As suite_loop(), but runs only a sample of about `wanted` values of `_i` unless
 * BCDA_TEST_EXHAUSTIVE=1 is set (sample.h). */
void suite_sample(const TTest *test, int first, int end, int wanted);

/* Reports to check that the test has reached this line, but only the first time in each test. After
 * a crash or a timeout, check prints the last line that was reported. */
void suite_mark(const char *file, int line);

/* A test program may define these two functions. */

/* Called before the tests run. If the result is not 0, main() returns 1 and no test runs. */
int suite_prepare(void);
/* Called in place of the tests if the program has arguments, which is how one of its tests runs it.
 * The result is the exit status. */
int suite_run_alone(int argc, char **argv);

#endif
