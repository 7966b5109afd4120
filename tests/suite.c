#include "suite.h"

#include <stdlib.h>

#include "sample.h"

#pragma weak suite_prepare
#pragma weak suite_run_alone

enum { DEFAULT_TIMEOUT = 60 };

static Suite *suite;
static TCase *current;

void suite_case(const char *name)
{
    current = tcase_create(name);
    suite_add_tcase(suite, current);
    tcase_set_timeout(current, DEFAULT_TIMEOUT);
}

void suite_timeout(double seconds)
{
    tcase_set_timeout(current, seconds);
}

void suite_checked(void (*setup)(void), void (*teardown)(void))
{
    tcase_add_checked_fixture(current, setup, teardown);
}

void suite_unchecked(void (*setup)(void), void (*teardown)(void))
{
    tcase_add_unchecked_fixture(current, setup, teardown);
}

void suite_add(const TTest *const *tests)
{
    for (; *tests; tests++)
        tcase_add_test(current, *tests);
}

void suite_loop(const TTest *test, int first, int end)
{
    tcase_add_loop_test(current, test, first, end);
}

void suite_sample(const TTest *test, int first, int end, int wanted)
{
    int i;

    for (i = first; i < end; i++)
        if (sample_takes((uint64_t)(i - first), (uint64_t)(end - first), (uint64_t)wanted))
            tcase_add_loop_test(current, test, i, i + 1);
}

int main(int argc, char **argv)
{
    SRunner *runner;
    int failed;

    if (argc > 1 && suite_run_alone)
        return suite_run_alone(argc, argv);
    if (suite_prepare && suite_prepare())
        return EXIT_FAILURE;
    suite = suite_create(suite_name);
    suite_add_cases();
    runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
