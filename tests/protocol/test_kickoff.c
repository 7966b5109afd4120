/* The URL that starts an export (bcda-api 4). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"
#include "protocol/kickoff.h"
#include "suite.h"

#define BASE "https://sandbox.bcda.cms.gov/api/v2"
static struct bcda_error err;

static void expect(const struct bcda__kickoff *k, const char *url)
{
    struct bcda__buf out;

    bcda__buf_init(&out, 4096);
    ck_assert_msg(bcda__kickoff_url(&out, k, &err) == 0, "%s", err.text);
    ck_assert_str_eq(out.data, url);
    bcda__buf_free(&out);
}

static void expect_config(const struct bcda__kickoff *k, const char *word)
{
    struct bcda__buf out;

    bcda__buf_init(&out, 4096);
    bcda__buf_adds(&out, "old");
    ck_assert_int_eq(bcda__kickoff_url(&out, k, &err), BCDA_ERR_CONFIG);
    ck_assert_int_eq(err.code, BCDA_ERR_CONFIG);
    ck_assert_msg(strstr(err.text, word) != NULL, "%s", err.text);
    ck_assert_uint_eq(out.len, 0);
    bcda__buf_free(&out);
}

START_TEST(levels)
{
    static const char *const eob[] = {"ExplanationOfBenefit"};
    struct bcda__kickoff k = {.fhir_url = "https://sandbox.bcda.cms.gov/api/v1",
                              .level = BCDA__LEVEL_RESOURCE,
                              .types = eob,
                              .type_count = 1};

    expect(&k, "https://sandbox.bcda.cms.gov/api/v1/ExplanationOfBenefit/$export"
               "?_type=ExplanationOfBenefit");
    k = (struct bcda__kickoff){.fhir_url = BASE, .level = BCDA__LEVEL_PATIENT};
    expect(&k, BASE "/Patient/$export");
    k.fhir_url = BASE "/";
    expect(&k, BASE "/Patient/$export");
    k.level = BCDA__LEVEL_SYSTEM;
    expect(&k, BASE "/$export");
    k.level = BCDA__LEVEL_GROUP;
    k.group = "all";
    expect(&k, BASE "/Group/all/$export");
    k.fhir_url = "http://localhost:3000";
    k.group = "runout";
    expect(&k, "http://localhost:3000/Group/runout/$export");
}
END_TEST

/* BCDA__LEVEL_RESOURCE exports one type. For the type Patient the URL must have `_type=Patient`:
 * without it, Patient/$export is the URL of the patient level, which exports every type. */
START_TEST(resource_level_names_its_type)
{
    static const char *const patient[] = {"Patient"};
    static const char *const names[] = {"encrypt"};
    static const char *const values[] = {"false"};
    struct bcda__kickoff k = {
        .fhir_url = BASE, .level = BCDA__LEVEL_RESOURCE, .types = patient, .type_count = 1};

    expect(&k, BASE "/Patient/$export?_type=Patient");
    k.since = "2020-02-13T08:00:00Z";
    k.parameter_names = names;
    k.parameter_values = values;
    k.parameter_count = 1;
    expect(&k, BASE "/Patient/$export?_type=Patient&_since=2020-02-13T08:00:00Z&encrypt=false");
}
END_TEST

START_TEST(groups_are_escaped)
{
    struct bcda__kickoff k = {.fhir_url = BASE, .level = BCDA__LEVEL_GROUP};

    k.group = "a/b?c#d e%41$\xC3\xA9:";
    expect(&k, BASE "/Group/a%2Fb%3Fc%23d%20e%2541%24%C3%A9%3A/$export");
    k.group = "../../x";
    expect(&k, BASE "/Group/..%2F..%2Fx/$export");
    k.group = "A-1.b_c~d";
    expect(&k, BASE "/Group/A-1.b_c~d/$export");
    k.group = "...";
    expect(&k, BASE "/Group/.../$export");
}
END_TEST

START_TEST(query)
{
    static const char *const types[] = {"Patient", "Coverage", "ExplanationOfBenefit"};
    static const char *const names[] = {"_outputFormat", "od d&n=?"};
    static const char *const values[] = {"application/fhir+ndjson", "a&b=c"};
    struct bcda__kickoff k = {.fhir_url = BASE,
                              .level = BCDA__LEVEL_GROUP,
                              .group = "all",
                              .types = types,
                              .type_count = 1};

    expect(&k, BASE "/Group/all/$export?_type=Patient");
    k.type_count = 3;
    expect(&k, BASE "/Group/all/$export?_type=Patient,Coverage,ExplanationOfBenefit");
    k.since = "2020-02-13T08:00:00.000-05:00";
    expect(&k, BASE "/Group/all/$export?_type=Patient,Coverage,ExplanationOfBenefit"
                    "&_since=2020-02-13T08:00:00.000-05:00");
    k.parameter_names = names;
    k.parameter_values = values;
    k.parameter_count = 2;
    expect(&k, BASE "/Group/all/$export?_type=Patient,Coverage,ExplanationOfBenefit"
                    "&_since=2020-02-13T08:00:00.000-05:00"
                    "&_outputFormat=application%2Ffhir%2Bndjson&od%20d%26n%3D%3F=a%26b%3Dc");
}
END_TEST

START_TEST(since)
{
    struct bcda__kickoff k = {.fhir_url = BASE, .level = BCDA__LEVEL_PATIENT};

    k.since = "2020-02-13T08:00:00+05:00";
    expect(&k, BASE "/Patient/$export?_since=2020-02-13T08:00:00%2B05:00");
    k.since = "2019-04-26T15:02:11.38342Z";
    expect(&k, BASE "/Patient/$export?_since=2019-04-26T15:02:11.38342Z");
}
END_TEST

START_TEST(type_filters)
{
    static const char *const filters[] = {
        "ExplanationOfBenefit?service-date=gt2001-04-01&_tag=https://bluebutton.cms.gov/fhir/"
        "CodeSystem/Final-Action|FinalAction",
        "Patient?x=50%+1",
    };
    struct bcda__kickoff k = {.fhir_url = BASE,
                              .level = BCDA__LEVEL_PATIENT,
                              .type_filters = filters,
                              .type_filter_count = 2};

    expect(&k,
           BASE "/Patient/$export?_typeFilter=ExplanationOfBenefit%3Fservice-date%3Dgt2001-04-01"
                "%26_tag%3Dhttps:%2F%2Fbluebutton.cms.gov%2Ffhir%2FCodeSystem%2FFinal-Action"
                "%7CFinalAction&_typeFilter=Patient%3Fx%3D50%25%2B1");
}
END_TEST

START_TEST(refusals)
{
    static const char *const two[] = {"Patient", "Coverage"};
    static const char *const bad[] = {"Patient/../x"};
    static const char *const empty[] = {""};
    static const char *const value[] = {"v"};
    struct bcda__kickoff k = {.fhir_url = BASE, .level = BCDA__LEVEL_RESOURCE};

    expect_config(&k, "exactly one type");
    k.types = two;
    k.type_count = 2;
    expect_config(&k, "exactly one type");
    k.type_count = 1;
    k.types = bad;
    expect_config(&k, "letters");
    k.types = empty;
    expect_config(&k, "letters");
    k = (struct bcda__kickoff){.fhir_url = BASE, .level = BCDA__LEVEL_GROUP};
    expect_config(&k, "group");
    k.group = "";
    expect_config(&k, "group");
    k.group = "..";
    expect_config(&k, "group");
    k.group = ".";
    expect_config(&k, "group");
    k = (struct bcda__kickoff){.fhir_url = BASE, .level = (enum bcda__level)0};
    expect_config(&k, "level");
    k = (struct bcda__kickoff){.fhir_url = BASE "?a=b", .level = BCDA__LEVEL_SYSTEM};
    expect_config(&k, "FHIR URL");
    k.fhir_url = "sandbox.bcda.cms.gov/api/v1";
    expect_config(&k, "FHIR URL");
    k.fhir_url = BASE;
    k.parameter_names = empty;
    k.parameter_values = value;
    k.parameter_count = 1;
    expect_config(&k, "parameter");
}
END_TEST

/* If the buffer is too small for the URL, bcda__kickoff_url() returns an error, and the buffer has
 * no part of the URL. */
START_TEST(too_long)
{
    static const char *const types[] = {"Patient", "Coverage"};
    struct bcda__kickoff k = {.fhir_url = BASE,
                              .level = BCDA__LEVEL_GROUP,
                              .group = "a b",
                              .types = types,
                              .type_count = 2,
                              .since = "2020-01-01T00:00:00+00:00"};
    static const char url[] = BASE "/Group/a%20b/$export?_type=Patient,Coverage"
                                   "&_since=2020-01-01T00:00:00%2B00:00";
    struct bcda__buf out;
    size_t max;

    expect(&k, url);
    for (max = 1; max < sizeof url - 1; max++) {
        bcda__buf_init(&out, max);
        ck_assert_int_eq(bcda__kickoff_url(&out, &k, &err), BCDA_ERR_INVALID);
        ck_assert_uint_eq(out.len, 0);
        bcda__buf_free(&out);
    }
    bcda__buf_init(&out, sizeof url - 1);
    ck_assert_int_eq(bcda__kickoff_url(&out, &k, &err), 0);
    bcda__buf_free(&out);
}
END_TEST

static void check_types(const char *request, const char *want)
{
    struct bcda__texts types = {0};
    char got[200] = "";
    size_t i;

    ck_assert_int_eq(bcda__types_of_request(&types, request, BASE "/"), 0);
    for (i = 0; i < types.count; i++) {
        strcat(got, i ? " " : "");
        strcat(got, types.at[i]);
    }
    ck_assert_msg(strcmp(got, want) == 0, "%s: %s", request, got);
    bcda__texts_free(&types);
}

/* The types that the URL in a manifest's `request` asks for. */
START_TEST(requested_types)
{
    static const struct {
        const char *request, *types;
    } rows[] = {
        {"", ""},
        {"not a URL", ""},
        {"/api/v2/Patient/$export?_type=Patient", ""},
        {BASE "/Patient/$export", ""},
        {BASE "/Group/all/$export", ""},
        {BASE "/$export", ""},
        {BASE "/Patient/$export?_type=Patient", "Patient"},
        {BASE "/Patient/$export?_type=Patient,Coverage", "Patient Coverage"},
        {BASE "/Group/all/$export?_since=2020-01-01T00:00:00Z&_type=Coverage", "Coverage"},
        {BASE "/$export?a&_type=Patient%2CCoverage&b=", "Patient Coverage"},
        {BASE "/$export?_type=%50atient", "Patient"},
        {BASE "/$export?_type=Patient&_type=Coverage,Patient", "Patient Coverage"},
        {BASE "/$export?_type=,Patient,,Patient,", "Patient"},
        {BASE "/$export?_type=", ""},
        {BASE "/$export?_type", ""},
        {BASE "/$export?", ""},
        {BASE "/$export?x_type=Patient", ""},
        {BASE "/$export?_types=Patient", ""},
        {BASE "/$export?_typeFilter=Patient%3Factive%3Dtrue", ""},
        /* values in `_type` that cannot be the name of a type are left out, because the names of
         * types get into logs and saved jobs */
        {BASE "/$export?_type=%zz%0", ""},
        {BASE "/$export?_type=%FF%FE,Patient", "Patient"},
        {BASE "/$export?_type=Patient+,%22Coverage%22,Claim", "Claim"},
        {BASE "/$export?_type=a%00b", ""},
        /* a type in the path, whatever origin the URL has */
        {BASE "/ExplanationOfBenefit/$export", "ExplanationOfBenefit"},
        {"http://10.1.2.3:8080/api/v2/Coverage/$export?_type=Patient", "Coverage Patient"},
        {BASE "/ExplanationOfBenefit/export", ""},
        {BASE "/Explanation2/$export", ""},
        {BASE "//$export", ""},
        {"https://sandbox.bcda.cms.gov/api/Coverage/$export", ""},
        {"https://sandbox.bcda.cms.gov/api/v2x/Coverage/$export", ""},
        {"https://h/$export", ""},
        {"https://h", ""},
    };
    struct bcda__texts types = {0};
    char many[16 * 1024];
    size_t i, n;

    for (i = 0; i < COUNT(rows); i++)
        check_types(rows[i].request, rows[i].types);
    n = (size_t)snprintf(many, sizeof many, "%s/$export?_type=A", BASE);
    for (i = 0; i < 1000; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, ",A%c%c", 'a' + (int)(i / 26 % 26),
                              'a' + (int)(i % 26));
    ck_assert_int_eq(bcda__types_of_request(&types, many, BASE), 0);
    ck_assert_uint_eq(types.count, 256);
    bcda__texts_free(&types);
    ck_assert_int_eq(bcda__types_of_request(&types, BASE "/$export?_type=A", "no URL"), 0);
    ck_assert_uint_eq(types.count, 1);
    bcda__texts_free(&types);
}
END_TEST

START_TEST(instants)
{
    static const char *const good[] = {
        "2020-02-13T08:00:00Z",        "2020-02-13T08:00:00.000-05:00",
        "2019-04-26T15:02:11.38342Z",  "2019-04-26T15:02:11.123456789Z",
        "2020-02-29T00:00:00+00:00",   "2000-02-29T23:59:59+14:00",
        "2020-12-31T23:59:60Z",        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.9-14:00",
    };
    static const char *const bad[] = {
        /* a component of the date or time is missing, or a separator is wrong */
        "", "2020", "2020-02-13", "2020-02-13T08:00Z", "2020-02-13T08:00:00",
        "2020-02-13 08:00:00Z", "2020-02-13t08:00:00Z", "2020-02-13T08:00:00z",
        "2020-02-13T08:00:00.Z", "2020-02-13T08:00:00,5Z", "2020-02-13T08:00:00.5",
        /* no such date or time */
        "0000-01-01T00:00:00Z", "2020-00-13T08:00:00Z", "2020-13-13T08:00:00Z",
        "2020-02-00T08:00:00Z", "2020-02-30T08:00:00Z", "2021-02-29T08:00:00Z",
        "1900-02-29T08:00:00Z", "2020-04-31T08:00:00Z", "2020-01-32T08:00:00Z",
        "2020-02-13T24:00:00Z", "2020-02-13T08:60:00Z", "2020-02-13T08:00:61Z",
        /* invalid offsets */
        "2020-02-13T08:00:00+0500", "2020-02-13T08:00:00+05", "2020-02-13T08:00:00+15:00",
        "2020-02-13T08:00:00+14:01", "2020-02-13T08:00:00+05:60", "2020-02-13T08:00:00 05:00",
        /* other characters before or after, or in place of digits */
        "2020-02-13T08:00:00ZZ", "2020-02-13T08:00:00Z ", " 2020-02-13T08:00:00Z",
        "+2020-02-13T08:00:00Z", "20200213T080000Z", "2020-2-13T08:00:00Z", "202x-02-13T08:00:00Z",
        "x020-02-13T08:00:00Z", "2020-02-13T08:00:00%2B05:00", "2020-02-13T-1:00:00Z",
        "2020-02-13T08:00:00+-1:00"};
    static const char whole[] = "2020-02-13T08:00:00.5+05:00";
    char part[sizeof whole];
    size_t i;

    for (i = 0; i < COUNT(good); i++)
        ck_assert_msg(bcda__instant_check(good[i]) == 0, "%s", good[i]);
    for (i = 0; i < COUNT(bad); i++)
        ck_assert_msg(bcda__instant_check(bad[i]) == -1, "%s", bad[i]);
    for (i = 0; i < sizeof whole - 1; i++) {
        char *exact = malloc(i + 1); /* so that a sanitizer detects a read beyond it */

        snprintf(part, sizeof part, "%.*s", (int)i, whole);
        memcpy(exact, part, i + 1);
        ck_assert_int_eq(bcda__instant_check(exact), -1);
        free(exact);
    }
}
END_TEST

SUITE("kickoff")
{
    suite_case("all");
    suite_test(levels, resource_level_names_its_type, groups_are_escaped, query, since,
               type_filters, refusals, too_long, requested_types, instants);
}
