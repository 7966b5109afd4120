/* Error bodies, byte for byte as the BCDA servers of different years sent them (bcda-api 8.1,
 * 6.6). */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define ISSUE_SYSTEM "http://hl7.org/fhir/ValueSet/operation-outcome"

/* details.coding[0].display in the error bodies of write_era_a(). */
static const char *old_display(enum outcome_kind kind)
{
    static const char *const text[] = {
        "Invalid Token",  "Formatting Error", "Request Error", "Processing Failure",
        "Database Error", "Not Found",        "Deleted",       ""};

    return text[kind];
}

/* details.coding[0].code in the error bodies of write_era_b() and write_2021(). */
static const char *detail_code(enum outcome_kind kind)
{
    static const char *const text[] = {"Invalid Token",  "Formatting Error", "Request Error",
                                       "Internal Error", "Database Error",   "Not Found Error",
                                       "Deleted Error",  "Internal Error"};

    return text[kind];
}

static void write_era_a(struct buf *b, enum outcome_kind kind, const char *message)
{
    if (kind == O_NO_ISSUE) {
        json_fmt(b, "{'resourceType':'OperationOutcome'}");
        return;
    }
    json_fmt(b,
             "{'resourceType':'OperationOutcome','issue':[{'severity':'Error','code':'%s',"
             "'details':{'coding':[{'display':'%s'}],'text':'%s'}",
             kind == O_FORMAT ? "Structural Issue" : "Exception", old_display(kind),
             old_display(kind));
    /* The server sent the reason to the client only if the Accept or Prefer header was wrong
     * (bcda-api 4.3). */
    if (kind == O_FORMAT)
        json_fmt(b, ",'diagnostics':'%s'", message);
    buf_str(b, "}]}");
}

/* The body from 2020-06 to 2021-02. */
static void write_era_b(struct buf *b, enum outcome_kind kind, const char *message)
{
    bool said = *message && kind != O_TOKEN;

    json_fmt(b,
             "{'resourceType':'OperationOutcome','issue':[{'severity':'error','code':'%s','details'"
             ":{'coding':[{'system':'" ISSUE_SYSTEM "','code':'%s'",
             kind == O_FORMAT ? "structure" : "exception", detail_code(kind));
    if (said)
        json_fmt(b, ",'display':'%s'", message);
    buf_str(b, "}]");
    if (said)
        json_fmt(b, ",'text':'%s'", message);
    buf_str(b, "}}]}");
}

/* The body from 2021-02 to 2024-03: the keys of each level are in alphabetical order. */
static void write_2021(struct buf *b, enum outcome_kind kind, const char *message)
{
    bool said = *message && kind != O_TOKEN;

    json_fmt(b, "{'issue':[{'code':'%s','details':{'coding':[{'code':'%s'",
             kind == O_FORMAT ? "structure" : "exception", detail_code(kind));
    if (said)
        json_fmt(b, ",'display':'%s'", message);
    json_fmt(b, ",'system':'" ISSUE_SYSTEM "'}]");
    if (said)
        json_fmt(b, ",'text':'%s'", message);
    json_fmt(b, "},'severity':'error'}],'resourceType':'OperationOutcome'}");
}

static const char *code_by_status(unsigned status)
{
    switch (status) {
    case 400:
        return "structure";
    case 401:
    case 403:
        return "forbidden";
    case 404:
    case 410:
        return "not-found";
    default:
        return "exception";
    }
}

static void write_current(struct buf *b, int api, unsigned status, const char *message)
{
    json_fmt(b, "{'resourceType':'OperationOutcome','issue':[{'severity':'error','code':'%s'",
             code_by_status(status));
    if (*message)
        json_fmt(b, ",'diagnostics':'%s'", message);
    if (api == 2) {
        json_fmt(b, ",'details':{'coding':[{'system':'" ISSUE_SYSTEM "','code':'Request Error'");
        if (*message)
            json_fmt(b, ",'display':'%s'", message);
        buf_str(b, "}]");
        if (*message)
            json_fmt(b, ",'text':'%s'", message);
        buf_str(b, "}");
    } else if (api == 3) {
        buf_str(b, ",\"details\":{");
        if (*message)
            json_fmt(b, "'text':'%s'", message);
        buf_str(b, "}");
    }
    buf_str(b, "}]}");
}

void outcome_write(struct buf *b, const struct era *era, int api, unsigned status,
                   enum outcome_kind kind, const char *message)
{
    if (!message)
        message = kind == O_TOKEN ? "Invalid Token" : "";
    if (era->id == ERA_CURRENT)
        write_current(b, api, status, message);
    else if (era->id == ERA_2021 && !era->manages_jobs)
        write_era_b(b, kind, message);
    else if (era->id == ERA_2021)
        write_2021(b, kind, message);
    else
        write_era_a(b, kind, message);
}

enum MHD_Result reply_outcome(struct request *rq, unsigned status, enum outcome_kind kind,
                              const char *message)
{
    struct buf b = {0};

    outcome_write(&b, rq->sb->era, rq->api, status, kind, message);
    return reply_buf(rq, status, rq->sb->era->error_type, &b);
}

void outcome_error_line(struct buf *b, const struct era *era, const char *type, unsigned number)
{
    char *text;

    if (era->id == ERA_CURRENT) {
        json_fmt(b,
                 "{'resourceType':'OperationOutcome','issue':[{'severity':'error','code':'not-"
                 "found','diagnostics':"
                 "'Error retrieving BlueButton ID for cclfBeneficiary MBI 1A00A0A%s'}]}",
                 text = xasprintf("%04u", number % 10000));
        free(text);
        return;
    }
    if (era->id == ERA_2021)
        text = xasprintf("Error retrieving %s for beneficiary MBI 1A00A0A%04u in ACO " ACO_UUID,
                         type, number % 10000);
    else
        text =
            xasprintf("Error retrieving %s for beneficiary 2%013u in ACO " ACO_UUID, type, number);
    if (era->id == ERA_2021)
        json_fmt(b,
                 "{'resourceType':'OperationOutcome','issue':[{'severity':'error','code':'"
                 "exception','details':"
                 "{'coding':[{'system':'" ISSUE_SYSTEM
                 "','code':'Blue Button Error','display':'%s'}],'text':'%s'}}]}",
                 text, text);
    else
        json_fmt(b,
                 "{'resourceType':'OperationOutcome','issue':[{'severity':'Error','code':'"
                 "Exception','details':"
                 "{'coding':[{'display':'%s'}],'text':'%s'}}]}",
                 text, text);
    free(text);
}
