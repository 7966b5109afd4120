/* bcda-export --metadata: what a server says of itself. */
#include "export.h"

#include <stdio.h>

static void line(const char *label, const char *text)
{
    char show[256];

    printf("%-18s %s\n", label, *text ? clean(show, sizeof show, text) : "(not said)");
}

static int fetch(bcda_session *session, int what, bcda_request **out)
{
    bcda_request *request = NULL;
    int rc = bcda_request_start(session, what, NULL, NULL, NULL, &request);

    if (rc) {
        complain_error("", bcda_session_error(session));
        return -1;
    }
    do
        rc = bcda_session_run(session, -1);
    while (rc == BCDA_ERR_INTERRUPTED);
    if (rc || bcda_request_result(request)) {
        complain_error("", rc ? bcda_session_error(session) : bcda_request_error(request));
        bcda_request_unref(request);
        return -1;
    }
    *out = request;
    return 0;
}

int metadata_print(bcda_session *session)
{
    bcda_request *request;

    if (fetch(session, BCDA_REQUEST_METADATA, &request))
        return EXIT_FAILED;
    line("FHIR version", bcda_request_fhir_version(request));
    line("software version", bcda_request_software_version(request));
    line("token URL", bcda_request_token_url(request));
    bcda_request_unref(request);
    /* Only BCDA has this one. */
    if (fetch(session, BCDA_REQUEST_VERSION, &request) == 0) {
        line("server release", bcda_request_software_version(request));
        bcda_request_unref(request);
    }
    return fflush(stdout) ? EXIT_FAILED : EXIT_COMPLETE;
}
