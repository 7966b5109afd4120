#include "internal.h"

#include <string.h>

/* All eras have /auth/token here, although the real server has had it only since March 2019. Before
 * that, tokens were printed in the documentation; sandbox_bearer_token() is such a token. */
static const struct era eras[] = {
    {.name = "2018-12",
     .id = ERA_2018_12,
     .versions = 1,
     .encrypt = ENCRYPT_OPT_IN,
     .type_endpoints = true,
     .envelope = true,
     .keys_2018 = true,
     .key_map = true,
     .error_type = "application/json",
     .auth_provider = "alpha"},
    {.name = "2019-04",
     .id = ERA_2019_04,
     .versions = 1,
     .encrypt = ENCRYPT_OPT_OUT,
     .type_endpoints = true,
     .coverage_endpoint = true,
     .envelope = true,
     .key_map = true,
     .error_type = "application/json",
     .auth_provider = "alpha"},
    {.name = "2019-12",
     .id = ERA_2019_12,
     .versions = 1,
     .duplicate = DUPLICATE_ALL_TYPES,
     .type_parameter = true,
     .progress_percent = true,
     .error_type = "application/json",
     .auth_provider = "ssas"},
    {.name = "2021-01",
     .id = ERA_2021,
     .versions = 1, /* there were no jobs of v2 before 2021-05-26 */
     .duplicate = DUPLICATE_ALL_TYPES,
     .gzip = GZIP_EXACT,
     .type_parameter = true,
     .modern = true,
     .progress_percent = true,
     .nocache = true,
     .data_type = "application/fhir+ndjson",
     .error_type = "application/json",
     .auth_provider = "ssas"},
    {.name = "2021",
     .id = ERA_2021,
     .versions = 2,
     .duplicate = DUPLICATE_OVERLAP,
     .gzip = GZIP_EXACT,
     .type_parameter = true,
     .modern = true,
     .manages_jobs = true,
     .progress_percent = true,
     .nocache = true,
     .data_type = "application/fhir+ndjson",
     .error_type = "application/json",
     .auth_provider = "ssas"},
    {.name = "current",
     .id = ERA_CURRENT,
     .versions = 3,
     .duplicate = DUPLICATE_CURRENT,
     .gzip = GZIP_STORED,
     .type_parameter = true,
     .modern = true,
     .manages_jobs = true,
     .progress_percent = true,
     .nocache = true,
     .data_type = "application/fhir+ndjson",
     .error_type = "application/fhir+json",
     .auth_provider = "ssas"},
};

const struct era *era_find(const char *name)
{
    for (size_t i = 0; i < sizeof eras / sizeof *eras; i++)
        if (strcmp(eras[i].name, name) == 0)
            return &eras[i];
    return NULL;
}

const char *era_names(void)
{
    return "2018-12, 2019-04, 2019-12, 2021-01, 2021, current";
}

const char *era_patient_prefix(const struct era *era)
{
    return era->modern ? "-1" : "2";
}

const char *const *era_types(const struct era *era, int version)
{
    static const char *const three[] = {"Patient", "ExplanationOfBenefit", "Coverage", NULL};
    static const char *const five[] = {"Patient", "ExplanationOfBenefit", "Coverage",
                                       "Claim",   "ClaimResponse",        NULL};

    /* Only v2 has partially adjudicated claims (bcda-api 6.7). */
    return era->modern && version == 2 ? five : three;
}
