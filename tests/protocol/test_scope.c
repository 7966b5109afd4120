/* Scopes: which texts are one, and which of them a server has not granted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"
#include "protocol/scope.h"
#include "suite.h"

static const struct {
    const char *asked, *granted, *missing;
} rows[] = {
    /* the same text */
    {"system/*.rs", "system/*.rs", ""},
    {"system/*.read", "system/*.read", ""},
    {"openid fhirUser", "fhirUser openid", ""},
    {"", "system/*.rs", ""},
    {"system/*.rs", "", "system/*.rs"},
    {"system/*.rs", "openid", "system/*.rs"},
    /* the versions */
    {"system/*.read", "system/*.rs", ""},
    {"system/*.rs", "system/*.read", ""},
    {"system/*.write", "system/*.cud", ""},
    {"system/*.cud", "system/*.write", ""},
    {"system/*.*", "system/*.cruds", ""},
    {"system/*.cruds", "system/*.*", ""},
    {"system/*.s", "system/*.read", ""},
    {"system/*.c", "system/*.write", ""},
    {"system/*.c", "system/*.read", "system/*.c"},
    {"system/*.r", "system/*.write", "system/*.r"},
    {"system/*.write", "system/*.rs", "system/*.write"},
    {"system/*.read", "system/*.write", "system/*.read"},
    {"system/*.*", "system/*.read", "system/*.*"},
    {"system/*.*", "system/*.cud", "system/*.*"},
    /* permissions */
    {"system/*.rs", "system/*.cruds", ""},
    {"system/*.rs", "system/*.r", "system/*.rs"},
    {"system/*.rs", "system/*.s", "system/*.rs"},
    {"system/*.r", "system/*.rs", ""},
    {"system/*.d", "system/*.crus", "system/*.d"},
    {"system/*.u", "system/*.crds", "system/*.u"},
    {"system/*.rs", "system/*.r system/*.s", ""}, /* together */
    {"system/*.*", "system/*.read system/*.write", ""},
    {"system/Patient.rs", "system/Patient.r system/*.s", ""},
    {"system/Patient.rs", "system/Patient.r system/Group.s", "system/Patient.rs"},
    /* types */
    {"system/Patient.rs", "system/*.rs", ""},
    {"system/Patient.read", "system/Patient.rs", ""},
    {"system/*.rs", "system/Patient.rs", "system/*.rs"},
    {"system/Patient.rs", "system/Group.rs", "system/Patient.rs"},
    {"system/Patient.rs", "system/patient.rs", "system/Patient.rs"},
    {"system/Patient.rs", "system/Patien.rs", "system/Patient.rs"},
    {"system/Patient.rs", "system/PatientX.rs", "system/Patient.rs"},
    /* contexts */
    {"system/*.rs", "user/*.rs patient/*.rs", "system/*.rs"},
    {"user/*.r", "system/*.rs", "user/*.r"},
    {"patient/*.r", "user/*.r patient/*.rs", ""},
    /* queries */
    {"system/Observation.rs?category=x", "system/Observation.rs", ""},
    {"system/Observation.rs?category=x", "system/*.read", ""},
    {"system/Observation.rs?category=x", "system/Observation.rs?category=x", ""},
    {"system/Observation.rs?category=x", "system/Observation.rs?category=y",
     "system/Observation.rs?category=x"},
    {"system/Observation.rs", "system/Observation.rs?category=x", "system/Observation.rs"},
    {"system/Observation.r", "system/Observation.rs?category=x", "system/Observation.r"},
    {"system/*.rs", "system/*.rs?", "system/*.rs"},
    {"system/Observation.rs?a=b/c.d?e", "system/Observation.rs", ""},
    /* not of the form of a SMART scope: compared as text */
    {"launch/patient", "launch/patient", ""},
    {"launch/patient", "launch/*", "launch/patient"},
    {"system/*.sr", "system/*.rs", "system/*.sr"},
    {"system/*.rs", "system/*.sr", "system/*.rs"},
    {"system/*.sr", "system/*.sr", ""},
    {"system/*.rr", "system/*.rs", "system/*.rr"},
    {"system/*.rx", "system/*.rs", "system/*.rx"},
    {"system/*.", "system/*.rs", "system/*."},
    {"system/*", "system/*.rs", "system/*"},
    {"system/.rs", "system/*.rs", "system/.rs"},
    {"system/Pat1.rs", "system/*.rs", "system/Pat1.rs"},
    {"system/**.rs", "system/*.rs", "system/**.rs"},
    {"/*.rs", "/*.cruds", "/*.rs"},
    {"other/*.rs", "other/*.cruds", "other/*.rs"},
    {"systems/*.rs", "systems/*.cruds", "systems/*.rs"},
    {"system/*.read?a=b", "system/*.read", "system/*.read?a=b"},
    {"system/*.READ", "system/*.read", "system/*.READ"},
    {"system/*.rs.r", "system/*.rs", "system/*.rs.r"},
    {"system/*.r", "system/*.read?a=b", "system/*.r"},
    {"system", "system/*.rs", "system"},
    {"?", "system/*.rs", "?"},
    /* lists */
    {"system/Patient.rs system/Group.rs openid", "system/Group.read", "system/Patient.rs openid"},
    {"a b c", "b", "a c"},
    {"a b c", "a c", "b"},
    {"a  b", "  b   ", "a"},
    {"  a b  ", "x", "a b"},
    {"a a", "b", "a a"},
    {"ab", "a b", "ab"},
    {"a", "ab", "a"},
    {"   ", "", ""},
};

START_TEST(missing)
{
    char out[200];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        memset(out, '#', sizeof out);
        bcda__scope_missing(rows[i].asked, rows[i].granted, out, sizeof out);
        ck_assert_msg(strcmp(out, rows[i].missing) == 0, "%s, granted %s: \"%s\"", rows[i].asked,
                      rows[i].granted, out);
    }
}
END_TEST

/* Only whole scopes are written, and "..." if one is missing there. AddressSanitizer finds a byte
 * that is written beyond `size`. */
START_TEST(sizes)
{
    static const char asked[] = "alpha be gamma d";
    char want[40];
    size_t size;

    for (size = 4; size < 30; size++) {
        char *out = malloc(size);

        ck_assert_ptr_nonnull(out);
        bcda__scope_missing(asked, "none", out, size);
        snprintf(want, sizeof want, "%s",
                 size >= 21   ? asked
                 : size >= 19 ? "alpha be gamma ..."
                 : size >= 13 ? "alpha be ..."
                 : size >= 10 ? "alpha ..."
                              : "...");
        ck_assert_msg(strcmp(out, want) == 0, "%zu: %s", size, out);
        bcda__scope_missing(asked, asked, out, size);
        ck_assert_str_eq(out, "");
        free(out);
    }
}
END_TEST

START_TEST(valid)
{
    static const char *const good[] = {
        "a", "system/*.rs", "system/*.rs openid", "a b c", "!", "#[", "]~", "system/O.rs?a=b|c",
    };
    static const char *const bad[] = {
        "",     " ",    " a",    "a ",        "a  b",  "a\tb", "a\n",
        "a\"b", "a\\b", "a\x7F", "a\xC3\xA9", "a\x80", "\x1F", "a\r\nb",
    };
    char one[2] = "";
    size_t i;
    int c;

    for (i = 0; i < COUNT(good); i++)
        ck_assert_msg(bcda__scope_is_valid(good[i]), "%s", good[i]);
    for (i = 0; i < COUNT(bad); i++)
        ck_assert_msg(!bcda__scope_is_valid(bad[i]), "%s", bad[i]);
    for (c = 1; c < 256; c++) { /* RFC 6749: %x21 / %x23-5B / %x5D-7E */
        one[0] = (char)c;
        ck_assert_msg(bcda__scope_is_valid(one) ==
                          (c == 0x21 || (c >= 0x23 && c <= 0x5B) || (c >= 0x5D && c <= 0x7E)),
                      "%d", c);
    }
}
END_TEST

START_TEST(version_2)
{
    static const char *const yes[] = {"system/*.rs",       "user/Patient.c",    "patient/*.cruds",
                                      "system/Group.rs?a", "system/*.rs?a=b.c", "user/X.d"};
    static const char *const no[] = {"system/*.read",   "system/*.write", "system/*.*", "openid",
                                     "launch/patient",  "system/*.sr",    "system/*.",  "",
                                     "system/*.read?a", "other/*.rs",     "system/*",   "."};
    size_t i;

    for (i = 0; i < COUNT(yes); i++)
        ck_assert_msg(bcda__scope_is_v2(yes[i], strlen(yes[i])), "%s", yes[i]);
    for (i = 0; i < COUNT(no); i++)
        ck_assert_msg(!bcda__scope_is_v2(no[i], strlen(no[i])), "%s", no[i]);
    ck_assert(!bcda__scope_is_v2("system/*.rs", 9)); /* only `len` bytes */
    ck_assert(bcda__scope_is_v2("system/*.read", 10));
}
END_TEST

/* Each byte of a granted scope is changed, removed and made the last. None of these texts means the
 * same, so none of them covers the asked scope. */
START_TEST(mutated)
{
    static const char asked[] = "system/Patient.rs", granted[] = "system/*.rs";
    char copy[sizeof granted], out[64];
    size_t i;
    int c;

    for (i = 0; i < sizeof granted - 1; i++) {
        for (c = 0; c < 256; c++) {
            memcpy(copy, granted, sizeof granted);
            copy[i] = (char)c;
            bcda__scope_missing(asked, copy, out, sizeof out);
            ck_assert_msg((out[0] == '\0') == (c == granted[i]), "%s: %s", copy, out);
        }
        memcpy(copy, granted, i);
        memcpy(copy + i, granted + i + 1, sizeof granted - i - 1);
        bcda__scope_missing(asked, copy, out, sizeof out);
        ck_assert_msg(strcmp(out, asked) == 0, "%s: %s", copy, out);
    }
}
END_TEST

SUITE("scope")
{
    suite_case("all");
    suite_test(missing, sizes, valid, version_2, mutated);
}
