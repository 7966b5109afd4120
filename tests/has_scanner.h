/* Whether the library under test has the line scanner. It has none if it is built with
 * -Dscanner=disabled; then yajl reads all lines, and no line is sure. The tests in Python and Ruby
 * see the environment variable BCDA_NO_SCANNER instead. */
#ifndef BCDA_TESTS_HAS_SCANNER_H
#define BCDA_TESTS_HAS_SCANNER_H

#ifdef BCDA_NO_SCANNER
enum { HAS_SCANNER = 0 };
#else
enum { HAS_SCANNER = 1 };
#endif

#endif
