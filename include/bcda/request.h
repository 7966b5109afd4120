/*
 * bcda/request.h - requests that belong to no job: metadata and version. Include <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_REQUEST_H
#define BCDA_REQUEST_H

#include <bcda/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BCDA_REQUEST_METADATA \
    1                          /* the FHIR CapabilityStatement: GET <FHIR URL>/metadata, no token */
#define BCDA_REQUEST_VERSION 2 /* the server software: GET <origin>/_version, no token */

/* Called exactly once, when the request has ended. `result` is BCDA_OK, or the code of
 * bcda_request_error(). */
typedef void (*bcda_request_cb)(bcda_request *request, int result, void *userdata);

/*
 * Starts one request, which run or step then carries out. `out` may be NULL; otherwise the caller
 * owns one reference of *out. `cb` may be NULL. Errors: BCDA_ERR_INVALID (no such request; the
 * session is NULL), BCDA_ERR_STATE, BCDA_ERR_FORKED, BCDA_ERR_NOMEM; after an error `cb` and
 * `destroy` never run. Results of the request (bcda_request_result()): BCDA_OK, the transport and
 * server codes (-100 to -299), BCDA_ERR_NOT_JSON, BCDA_ERR_CANCELLED (the session was freed). From
 * callbacks: queued. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_request_start(bcda_session *session, int what, bcda_request_cb cb, void *userdata,
                                bcda_destroy_cb destroy, bcda_request **out);

/* A reference keeps the request valid after its end. Releasing the last reference does not end a
 * request that still runs. From callbacks: yes. Thread: owner. Since 0.1. */
BCDA_API bcda_request *bcda_request_ref(bcda_request *request);
BCDA_API void bcda_request_unref(bcda_request *request);

/* Getters; each accepts NULL. From callbacks: yes. Thread: owner. Since 0.1. Texts live as long as
 * the request. */
BCDA_API int bcda_request_result(
    const bcda_request *request); /* BCDA_ERR_AGAIN until it has ended */
BCDA_API const bcda_error *bcda_request_error(const bcda_request *request); /* NULL = none */
/* The body of the answer, unchanged and NUL-terminated; "" before the end of the request. `len` may
 * be NULL. */
BCDA_API const char *bcda_request_body(const bcda_request *request, size_t *len);
/* For BCDA_REQUEST_VERSION: `version` in the answer. For BCDA_REQUEST_METADATA: software.version.
 * "" = not given. */
BCDA_API const char *bcda_request_software_version(const bcda_request *request);
/* For BCDA_REQUEST_METADATA: fhirVersion, such as "3.0.1" or "4.0.1". "" = not given. */
BCDA_API const char *bcda_request_fhir_version(const bcda_request *request);
/* For BCDA_REQUEST_METADATA: the token URL of the SMART oauth-uris extension; "" = not given. */
BCDA_API const char *bcda_request_token_url(const bcda_request *request);

#ifdef __cplusplus
}
#endif

#endif
