/* The small endpoints: attribution status, metadata, version and so on (bcda-api 5.5, 5.6). */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum MHD_Result small_version(struct request *rq)
{
    rq->sb->counts[C_VERSION]++;
    return reply_string(rq, 200, "application/json", "{\"version\":\"latest\"}");
}

enum MHD_Result small_health(struct request *rq)
{
    rq->sb->counts[C_OTHER]++;
    /* The real server writes the status before it sets a Content-Type, so Go guesses one
     * (bcda-api 5.6). */
    return reply_string(rq, 200, "text/plain; charset=utf-8",
                        rq->sb->era->id == ERA_CURRENT
                            ? "{\"database\":\"ok\",\"ssas\":\"ok\",\"ssas_introspect\":\"ok\"}"
                            : "{\"database\":\"ok\"}");
}

enum MHD_Result small_auth(struct request *rq)
{
    struct buf b = {0};

    rq->sb->counts[C_OTHER]++;
    json_fmt(&b, "{'auth_provider':'%s'%r}", rq->sb->era->auth_provider,
             rq->sb->era->id == ERA_CURRENT ? ",\"version\":\"latest\"" : "");
    return reply_buf(rq, 200, "application/json", &b);
}

enum MHD_Result small_welcome(struct request *rq)
{
    enum MHD_Result result = MHD_NO;

    rq->sb->counts[C_OTHER]++;
    if (!token_check(rq, true, &result))
        return result;
    return reply_string(rq, 200, "application/json",
                        "{\"success\":\"Welcome to the Beneficiary Claims Data API!\"}");
}

enum MHD_Result small_attribution(struct request *rq)
{
    enum MHD_Result result = MHD_NO;

    rq->sb->counts[C_OTHER]++;
    if (!token_check(rq, true, &result))
        return result;
    return reply_string(
        rq, 200, "application/json",
        "{\"ingestion_dates\":[{\"timestamp\":\"2020-12-22T22:31:40.397916Z\",\"type\":"
        "\"last_attribution_update\"},{\"timestamp\":\"2020-12-23T07:02:11.4Z\",\"type\":"
        "\"last_runout_update\"}]}\n");
}

enum MHD_Result small_root(struct request *rq)
{
    rq->sb->counts[C_OTHER]++;
    if (!rq->sb->era->modern)
        return reply_html(rq, 200);
    reply_header(rq, "Location", "https://bcda.cms.gov");
    return reply_string(rq, 301, "text/html; charset=utf-8",
                        "<a href=\"https://bcda.cms.gov\">Moved Permanently</a>.\n\n");
}

/* ---- metadata ---- */

static void write_operation(struct buf *b, const char *name, const char *origin, const char *path)
{
    json_fmt(b, "{'definition':{'reference':'%s%s'},'name':'%s'}", origin, path, name);
}

/* Writes several operations with the same name: a client must not use the name as a key. */
static void write_operations_2019(struct buf *b, const struct era *era, const char *origin)
{
    if (era->type_endpoints) {
        write_operation(b, "export", origin, "/api/v1/ExplanationOfBenefit/$export");
        buf_str(b, ",");
        write_operation(b, "export", origin, "/api/v1/Patient/$export");
        buf_str(b, ",");
        write_operation(b, "export", origin, "/api/v1/Coverage/$export");
    } else {
        write_operation(b, "patient-export", origin, "/api/v1/Patient/$export");
        buf_str(b, ",");
        write_operation(b, "group-export", origin, "/api/v1/Group/[id]/$export");
    }
    buf_str(b, ",");
    write_operation(b, "jobs", origin, "/api/v1/jobs/[jobID]");
    buf_str(b, ",");
    write_operation(b, "metadata", origin, "/api/v1/metadata");
    buf_str(b, ",");
    write_operation(b, "version", origin, "/_version");
    buf_str(b, ",");
    write_operation(b, "data", origin, "/data/[jobID]/[acoID].ndjson");
}

static void write_resources(struct buf *b, int version)
{
    static const char search[] =
        ",\"searchParam\":[{\"name\":\"_since\",\"type\":\"date\"},{\"name\":"
        "\"_typeFilter\",\"type\":\"string\"}]";

    json_fmt(
        b,
        "'resource':[{'operation':[{'definition':'http://hl7.org/fhir/uv/bulkdata/"
        "OperationDefinition/"
        "patient-export','name':'patient-export'}],'type':'Patient'%r},{'operation':[{'definition':"
        "'http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"
        "group-export','name':'group-export'}],"
        "'type':'Group'%r}]",
        version == 3 ? search : "", version == 3 ? search : "");
}

/* Writes the security of a server with a token endpoint; `authorize_url` may be NULL. */
static void write_security(struct buf *b, const char *token_url, const char *authorize_url)
{
    json_fmt(b,
             "'security':{'cors':true,'extension':[{'extension':[{'url':'token','valueUri':'%s'}",
             token_url);
    if (authorize_url)
        json_fmt(b, ",{'url':'authorize','valueUri':'%s'}", authorize_url);
    json_fmt(b, "],'url':'http://fhir-registry.smarthealthit.org/StructureDefinition/"
                "oauth-uris'}],'service':[{'coding':[{'code':"
                "'OAuth','display':'OAuth','system':'http://terminology.hl7.org/CodeSystem/"
                "restful-security-service'}],'text':'OAuth'}]}");
}

static void write_security_of_mode(struct buf *b, const struct sandbox *sb, const char *origin)
{
    char *token_url = xasprintf("%s/auth/token", origin);
    char *authorize_url = xasprintf("%s/oauth2/authorize", sb->origin);

    if (sb->auth == AUTH_SMART)
        write_security(b, sb->token_url, authorize_url);
    else if (sb->auth == AUTH_BASIC && sb->era->modern)
        write_security(b, token_url, NULL);
    else
        json_fmt(b, "'security':{'cors':true}");
    free(token_url);
    free(authorize_url);
}

enum MHD_Result small_metadata(struct request *rq, int version)
{
    const struct era *era = rq->sb->era;
    char *origin = request_origin(rq);
    struct buf b = {0};

    rq->sb->counts[C_METADATA]++;
    json_fmt(
        &b,
        "{'acceptUnknown':'extensions','date':'%s','fhirVersion':'%s','format':['application/json',"
        "'application/fhir+json'],'implementation':{'description':'%s','url':'%s'},'kind':'%s',"
        "'publisher':'%s','resourceType':'CapabilityStatement','rest':[{'interaction':[{'code':'"
        "batch'},"
        "{'code':'search-system'}],'mode':'server',",
        era->modern ? "2021-06-30T00:00:00+00:00" : "2019-04-26", version == 1 ? "3.0.1" : "4.0.1",
        "The Beneficiary Claims Data API (BCDA)", origin, era->modern ? "instance" : "capability",
        "Centers for Medicare & Medicaid Services");
    if (version == 1) {
        buf_str(&b, "\"operation\":[");
        write_operations_2019(&b, era, origin);
        buf_str(&b, "]");
    } else {
        write_resources(&b, version);
    }
    buf_str(&b, ",");
    write_security_of_mode(&b, rq->sb, origin);
    json_fmt(&b, "}],'software':{'name':'Beneficiary Claims Data "
                 "API','version':'latest'},'status':'active'}");
    free(origin);
    return reply_buf(rq, 200, "application/json", &b);
}
