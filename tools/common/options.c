/* The options of the command line that name the server, the credentials and what is requested. */
#include "common.h"

#include <stdio.h>
#include <string.h>

const char *const options_all_types[OPTIONS_ALL_TYPES] = {"ExplanationOfBenefit", "Patient",
                                                          "Coverage"};

static int parse_level(struct options *o, const char *name)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {{"resource", BCDA_LEVEL_RESOURCE},
                  {"patient", BCDA_LEVEL_PATIENT},
                  {"group", BCDA_LEVEL_GROUP},
                  {"system", BCDA_LEVEL_SYSTEM}};
    size_t i;

    for (i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(name, levels[i].name) == 0) {
            o->level = levels[i].level;
            return 0;
        }
    }
    complain("--level %s: not resource, patient, group or system", name);
    return -1;
}

int options_add(const char **list, size_t *count, size_t max, const char *text, const char *option)
{
    size_t i;

    for (i = 0; i < *count; i++) {
        if (strcmp(list[i], text) == 0) {
            complain("%s %s is given twice", option, text);
            return -1;
        }
    }
    if (*count == max) {
        complain("%s is given more than %zu times", option, max);
        return -1;
    }
    list[(*count)++] = text;
    return 0;
}

/* Returns where the value of an option is stored, or NULL if the option has no value, or if its
 * value is not stored as one unchanged text. */
static const char **options_text_of(struct options *o, int id)
{
    switch (id) {
    case OPT_URL:
        return &o->url;
    case OPT_TOKEN_URL:
        return &o->token_url;
    case OPT_CLIENT_ID:
        return &o->client_id;
    case OPT_SECRET:
        return &o->client_secret_file;
    case OPT_SIGNING_KEY:
        return &o->private_key_jwt;
    case OPT_KID:
        return &o->key_id;
    case OPT_SIGNING_PASSPHRASE:
        return &o->signing_passphrase_file;
    case OPT_SCOPE:
        return &o->scope;
    case OPT_BEARER:
        return &o->bearer_token_file;
    case OPT_TOKEN_COMMAND:
        return &o->token_command;
    case OPT_TOKEN_CACHE:
        return &o->token_cache;
    case OPT_REQUEST_BUDGET:
        return &o->request_budget;
    case OPT_KEY:
        return &o->private_key;
    case OPT_PASSPHRASE:
        return &o->passphrase_file;
    case OPT_CA:
        return &o->ca;
    case OPT_CERTIFICATE:
        return &o->client_certificate;
    case OPT_CERTIFICATE_KEY:
        return &o->client_key;
    case OPT_CERTIFICATE_PASSPHRASE:
        return &o->client_key_passphrase_file;
    case OPT_GROUP:
        return &o->group;
    case OPT_SINCE:
        return &o->since;
    case OPT_SPOOL:
        return &o->spool;
    default:
        return NULL;
    }
}

/* Returns where an option without a value is stored, or NULL for other options. */
static int *options_flag_of(struct options *o, int id)
{
    switch (id) {
    case OPT_NO_AUTH:
        return &o->no_auth;
    case OPT_LOOPBACK:
        return &o->allow_http_loopback;
    case OPT_QUIET:
        return &o->quiet;
    case OPT_STATISTICS:
        return &o->statistics;
    default:
        return NULL;
    }
}

int options_set(struct options *o, int id, const char *text)
{
    const char **to = options_text_of(o, id);
    int *flag = options_flag_of(o, id);

    if (to)
        *to = text;
    else if (flag)
        *flag = 1;
    if (to || flag)
        return 0;
    switch (id) {
    case OPT_TYPE:
        return options_add(o->types, &o->type_count, TYPES_MAX, text, "--type");
    case OPT_TYPE_FILTER:
        return options_add(o->type_filters, &o->type_filter_count, SETTINGS_MAX, text,
                           "--type-filter");
    case OPT_PARAMETER:
        return options_add(o->parameters, &o->parameter_count, SETTINGS_MAX, text, "--parameter");
    case OPT_SET:
        return options_add(o->settings, &o->setting_count, SETTINGS_MAX, text, "--set");
    case OPT_CERTIFICATE_ORIGIN:
        return options_add(o->certificate_origins, &o->certificate_origin_count, SETTINGS_MAX, text,
                           "--certificate-origin");
    case OPT_LEVEL:
        return parse_level(o, text);
    default:
        return 1;
    }
}

/* Chooses the level if --level is not given. Until December 2019, BCDA v1 had one endpoint per
 * type. It ignored --type at the patient level, and sent patients for every type. A URL that ends
 * in /v1 may be such a server, so the level is then LEVEL_TRY: the first request shows whether the
 * server is that old. */
void options_choose_level(struct options *o)
{
    size_t len, i;
    int only_patients = o->type_count > 0;

    if (o->level || !o->url)
        return;
    for (i = 0; i < o->type_count; i++)
        only_patients &= strcmp(o->types[i], "Patient") == 0;
    len = strlen(o->url);
    while (len && o->url[len - 1] == '/')
        len--;
    if (o->group)
        o->level = BCDA_LEVEL_GROUP;
    else if (only_patients || len < 3 || strncmp(o->url + len - 3, "/v1", 3) != 0)
        o->level = BCDA_LEVEL_PATIENT;
    else
        o->level = LEVEL_TRY;
}

const char *options_contradiction(const struct options *o)
{
    const char *wrong = sign_in_contradiction(o);

    if (!wrong)
        wrong = certificate_contradiction(o);
    if (wrong)
        return wrong;
    if (o->passphrase_file && !o->private_key)
        return "--private-key-passphrase-file needs --private-key";
    if (o->level == BCDA_LEVEL_GROUP && !o->group)
        return "--level group needs --group";
    if (o->level && o->level != BCDA_LEVEL_GROUP && o->group)
        return "--group needs --level group";
    if (o->level == BCDA_LEVEL_RESOURCE && !o->type_count)
        return "--level resource needs at least one --type";
    return NULL;
}
