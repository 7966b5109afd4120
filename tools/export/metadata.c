/* bcda-export --metadata: prints the metadata of a server. */
#include "export.h"

#include <stdio.h>

static void print_line(const char *label, const char *text)
{
    char show[256];

    printf("%-18s %s\n", label, *text ? clean(show, sizeof show, text) : "(not given)");
}

/* Makes a request. Returns NULL if it failed. No message is printed for an `optional` request,
 * because only BCDA answers it. */
static bcda_request *fetch_metadata(bcda_session *session, int what, int optional)
{
    bcda_request *request = NULL;
    int rc = bcda_request_start(session, what, NULL, NULL, NULL, &request);

    if (rc) {
        complain_error("", bcda_session_error(session));
        return NULL;
    }
    do
        rc = bcda_session_run(session, -1);
    while (rc == BCDA_ERR_INTERRUPTED);
    if (!rc && !bcda_request_result(request))
        return request;
    if (rc)
        complain_error("", bcda_session_error(session));
    else if (!optional)
        complain_error("", bcda_request_error(request));
    bcda_request_unref(request);
    return NULL;
}

int metadata_print(bcda_session *session)
{
    bcda_request *request = fetch_metadata(session, BCDA_REQUEST_METADATA, 0);

    if (!request)
        return EXIT_FAILED;
    print_line("FHIR version", bcda_request_fhir_version(request));
    print_line("software version", bcda_request_software_version(request));
    print_line("token URL", bcda_request_token_url(request));
    bcda_request_unref(request);
    request = fetch_metadata(session, BCDA_REQUEST_VERSION, 1);
    print_line("server release", request ? bcda_request_software_version(request) : "");
    bcda_request_unref(request);
    return fflush(stdout) ? EXIT_FAILED : EXIT_COMPLETE;
}
