/*
 * bcda/request.h - requests beside the jobs: metadata and version. Include <bcda/bcda.h>.
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

/* The request has ended, exactly once. `result` is BCDA_OK or as bcda_request_error(). */
typedef void (*bcda_request_cb)(bcda_request *request, int result, void *userdata);

/*
 * Starts one request; run or step receives the answer. `out` may be NULL; otherwise the caller owns
 * one reference. `cb` may be NULL. BCDA_ERR_INVALID (no such request; the session is NULL),
 * BCDA_ERR_STATE, BCDA_ERR_FORKED, BCDA_ERR_NOMEM: then cb and destroy never run. Results of the
 * request: the transport and server codes (-100 to -299), BCDA_ERR_NOT_JSON, BCDA_ERR_CANCELLED
 * (the session was freed). From callbacks: queued. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_request_start(bcda_session *session, int what, bcda_request_cb cb, void *userdata,
                                bcda_destroy_cb destroy, bcda_request **out);

/* Keep a request past its end. The last unref of one that still runs does not end it. From
 * callbacks: yes. Thread: owner. Since 0.1. */
BCDA_API bcda_request *bcda_request_ref(bcda_request *request);
BCDA_API void bcda_request_unref(bcda_request *request);

/* Getters; each accepts NULL. From callbacks: yes. Thread: owner. Since 0.1. Texts live as long as
 * the request. */
BCDA_API int bcda_request_result(
    const bcda_request *request); /* BCDA_ERR_AGAIN until it has ended */
BCDA_API const bcda_error *bcda_request_error(const bcda_request *request); /* NULL = none */
/* The body of the answer, unchanged; "" before the end. *len may be NULL. NUL-terminated. */
BCDA_API const char *bcda_request_body(const bcda_request *request, size_t *len);
/* VERSION: `version`. METADATA: software.version. "" = not given. */
BCDA_API const char *bcda_request_software_version(const bcda_request *request);
/* METADATA: fhirVersion, such as "3.0.1" or "4.0.1". "" = not given. */
BCDA_API const char *bcda_request_fhir_version(const bcda_request *request);
/* METADATA: the token URL of the SMART oauth-uris extension; "" = not given. */
BCDA_API const char *bcda_request_token_url(const bcda_request *request);

#ifdef __cplusplus
}
#endif

#endif
