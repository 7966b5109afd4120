/* The folder for the temporary files of tests. */
#ifndef BCDA_TESTS_TEMPDIR_H
#define BCDA_TESTS_TEMPDIR_H

#include <stdlib.h>

static inline const char *tempdir(void)
{
    const char *folder = getenv("TMPDIR");

    return folder && *folder ? folder : "/tmp";
}

#endif
