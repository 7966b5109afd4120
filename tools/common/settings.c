/* Creates the configuration of the library from the command line. */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPTIONS_MAX 200 /* higher than the number of any option */

/* ---- errors ---- */

/* Returns the exit status for an error of the library. Usage errors of the library count as usage
 * errors of the program. */
static int status_of(int rc)
{
    return rc > BCDA_ERR_NOMEM ? EXIT_USAGE : EXIT_FAILED;
}

int settings_check(bcda_config *config, const char *what, int rc, int *status)
{
    if (rc == BCDA_OK)
        return 0;
    if (bcda_config_error(config))
        complain_error(what, bcda_config_error(config));
    else
        complain("%s: %s", what, bcda_error_string(rc));
    *status = status_of(rc);
    return -1;
}

/* Returns the option that names the file which cannot be used, or "". The text begins with the
 * path, or with what the library calls the file. */
static const char *option_of_file(const struct options *o, const char *text)
{
    const struct {
        const char *value, *begin, *option;
    } files[] = {{o->token_cache, "the token cache ", "--token-cache"},
                 {o->request_budget, "the request budget ", "--request-budget"},
                 {o->ca, o->ca, "--ca"},
                 {o->client_certificate, o->client_certificate, "--client-certificate"},
                 {o->client_key, o->client_key, "--client-key"}};
    size_t i, n;

    for (i = 0; i < sizeof files / sizeof files[0]; i++) {
        n = files[i].value ? strlen(files[i].begin) : 0;
        if (files[i].value && strncmp(text, files[i].begin, n) == 0 &&
            (files[i].begin != files[i].value || text[n] == ':'))
            return files[i].option;
    }
    return "";
}

/* Prints the error with the name of the option that set the value which bcda_session_new()
 * refused. */
int settings_refused(const struct options *o, const bcda_config *config, int rc)
{
    const char *option = "";

    if (rc == BCDA_ERR_IO && bcda_config_error(config))
        option = option_of_file(o, bcda_error_text(bcda_config_error(config)));
    else if (rc == BCDA_ERR_INSECURE_URL || rc == BCDA_ERR_URL)
        option = o->token_url ? "--url or --token-url" : "--url";
    if (bcda_config_error(config))
        complain_error(option, bcda_config_error(config));
    else
        complain("%s", bcda_error_string(rc));
    return status_of(rc);
}

/* ---- secrets ---- */

#define SECRET_MAX 65536

static int read_first_line(const char *path, char *to)
{
    size_t n = 0;
    ssize_t got = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && got > 0 && n < SECRET_MAX) {
        got = read(fd, to + n, SECRET_MAX - n);
        if (got > 0)
            n += (size_t)got;
        else if (got < 0 && errno == EINTR)
            got = 1;
    }
    if (fd < 0 || got < 0)
        complain("%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (fd < 0 || got < 0)
        return -1;
    to[n < SECRET_MAX ? n : SECRET_MAX - 1] = '\0';
    to[strcspn(to, "\r\n")] = '\0';
    if (*to)
        return 0;
    complain("%s: its first line is empty", path);
    return -1;
}

int settings_read_secret(const char *path, char **secret)
{
    *secret = NULL;
    if (!path)
        return 0;
    *secret = malloc(SECRET_MAX);
    if (!*secret) {
        complain("out of memory");
        return -1;
    }
    if (read_first_line(path, *secret) == 0)
        return 0;
    settings_free_secret(*secret);
    *secret = NULL;
    return -1;
}

void settings_free_secret(char *secret)
{
    if (secret)
        explicit_bzero(secret, SECRET_MAX);
    free(secret);
}

static int set_private_key(bcda_config *config, const struct options *o, int *status)
{
    char *secret;
    int rc;

    if (!o->private_key)
        return 0;
    *status = EXIT_FAILED;
    if (settings_read_secret(o->passphrase_file, &secret))
        return -1;
    rc = settings_check(config, "--private-key",
                        bcda_config_add_private_key_file(config, o->private_key, secret), status);
    settings_free_secret(secret);
    return rc;
}

/* ---- --set ---- */

/* The library options whose values have names in --set. */
static const struct choice {
    int option;
    struct {
        const char *name;
        int64_t value;
    } values[3];
} choices[] = {
    {BCDA_OPT_DUPLICATE_JOB,
     {{"wait", BCDA_DUPLICATE_WAIT},
      {"refuse", BCDA_DUPLICATE_REFUSE},
      {"take_over", BCDA_DUPLICATE_TAKE_OVER}}},
    {BCDA_OPT_DELIVERY,
     {{"streaming", BCDA_DELIVERY_STREAMING}, {"verified", BCDA_DELIVERY_VERIFIED}}},
    {BCDA_OPT_ALLOW_HTTP_LOOPBACK, {{"off", 0}, {"on", 1}}},
    {BCDA_OPT_GZIP, {{"off", 0}, {"on", 1}}},
    {BCDA_OPT_CHECK_COUNT, {{"off", 0}, {"on", 1}}},
    {BCDA_OPT_CANCEL_AT_SERVER, {{"off", 0}, {"on", 1}}},
    {BCDA_OPT_SCANNER, {{"off", 0}, {"on", 1}}},
    {BCDA_OPT_PULL_DELETIONS, {{"off", 0}, {"on", 1}}},
    {BCDA_OPT_CONFIRM_LINES,
     {{"none", BCDA_CONFIRM_NONE},
      {"verified", BCDA_CONFIRM_VERIFIED},
      {"staged", BCDA_CONFIRM_STAGED}}},
};

static const struct choice *choice_of(int option)
{
    size_t i;

    for (i = 0; i < sizeof choices / sizeof choices[0]; i++)
        if (choices[i].option == option)
            return &choices[i];
    return NULL;
}

/* Sets *value to the value with this name. Returns -1 if there is none. */
static int setting_choose(const struct choice *c, const char *name, long long *value)
{
    size_t i;

    for (i = 0; i < 3 && c->values[i].name; i++)
        if (strcmp(c->values[i].name, name) == 0) {
            *value = c->values[i].value;
            return 0;
        }
    return -1;
}

/* Prints the values that --set accepts. */
static int setting_refuse(const char *setting, const struct choice *c)
{
    if (!c)
        complain("--set %s: the value must be a whole number", setting);
    else if (c->values[2].name)
        complain("--set %s: the value must be %s, %s or %s", setting, c->values[0].name,
                 c->values[1].name, c->values[2].name);
    else
        complain("--set %s: the value must be %s or %s", setting, c->values[0].name,
                 c->values[1].name);
    return -1;
}

static void list_options(const char *setting)
{
    char list[2048];
    size_t n = 0;
    int option;

    for (option = 1; option < OPTIONS_MAX; option++)
        if (bcda_option_name(option) && n < sizeof list)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "",
                                  bcda_option_name(option));
    complain("--set %s: there is no such option; there are %s", setting, list);
}

static int setting_set_number(bcda_config *config, int option, const char *setting,
                              const char *value, int *status)
{
    const struct choice *c = choice_of(option);
    char what[300];
    long long number;
    char *end;

    if (!c || setting_choose(c, value, &number)) {
        errno = 0;
        number = strtoll(value, &end, 10);
        if (errno || end == value || *end)
            return setting_refuse(setting, c);
        if (c && bcda_config_set_int(config, option, number))
            return setting_refuse(setting, c);
    }
    snprintf(what, sizeof what, "--set %s", setting);
    return settings_check(config, what, bcda_config_set_int(config, option, number), status);
}

static int set_tunable(bcda_config *config, const char *setting, int *status)
{
    char name[64];
    char what[300];
    const char *value = strchr(setting, '=');
    int option;
    int rc;

    *status = EXIT_USAGE;
    if (!value || (size_t)(value - setting) >= sizeof name) {
        complain("--set %s: not NAME=VALUE", setting);
        return -1;
    }
    memcpy(name, setting, (size_t)(value - setting));
    name[value++ - setting] = '\0';
    option = bcda_option_by_name(name);
    if (option < 0) {
        list_options(setting);
        return -1;
    }
    rc = bcda_config_set_str(config, option, value);
    if (rc == BCDA_ERR_OPTION_TYPE)
        return setting_set_number(config, option, setting, value, status);
    snprintf(what, sizeof what, "--set %s", setting);
    return settings_check(config, what, rc, status);
}

static int set_tunables(bcda_config *config, const struct options *o, const char *spool,
                        int *status)
{
    int64_t delivery = 0;
    size_t i;

    for (i = 0; i < o->setting_count; i++)
        if (set_tunable(config, o->settings[i], status))
            return -1;
    if (bcda_config_get_int(config, BCDA_OPT_DELIVERY, &delivery) ||
        delivery != BCDA_DELIVERY_VERIFIED)
        return 0;
    if (o->spool)
        spool = o->spool;
    if (!spool) {
        complain("--set delivery=verified needs --spool DIR");
        *status = EXIT_USAGE;
        return -1;
    }
    return settings_check(config, "--spool", bcda_config_set_spool_directory(config, spool),
                          status);
}

/* ---- the configuration ---- */

/* Shows the log lines of the library that have information which is not reported otherwise: retries
 * and waits, which explain a delay, and settings that had no effect. A log line contains no secret
 * and no patient data. */
static void settings_on_log(int level, const char *component, const char *message, void *userdata)
{
    static const struct {
        const char *words;
        int warns; /* printed with --quiet, too */
    } shown[] = {{"again in", 0},       {"not cancelled at the server", 0},
                 {"decode threads", 0}, {"organized by", 0},
                 {"not granted", 1},    {"any more", 1}};
    char text[1024];
    size_t i;

    (void)level;
    (void)component;
    (void)userdata;
    for (i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        if (!strstr(message, shown[i].words))
            continue;
        clean(text, sizeof text, message);
        if (shown[i].warns)
            complain("%s", text);
        else
            say("%s", text);
        return;
    }
}

bcda_config *settings_config(struct options *o, int sign_in, const char *spool, int *status)
{
    char agent[64];
    bcda_config *c = NULL;
    int64_t cancels = 0;

    *status = EXIT_FAILED;
    snprintf(agent, sizeof agent, "%s/" BCDA_VERSION_STRING, report_program_name());
    if (bcda_config_new(&c)) {
        complain("out of memory");
        return NULL;
    }
    if (settings_check(c, "--url", bcda_config_set_fhir_url(c, o->url), status) ||
        settings_check(c, "--ca", bcda_config_set_ca_file(c, o->ca), status) ||
        certificate_set(c, o, status) ||
        settings_check(c, "--allow-http-loopback",
                       bcda_config_set_int(c, BCDA_OPT_ALLOW_HTTP_LOOPBACK, o->allow_http_loopback),
                       status) ||
        settings_check(c, "log",
                       bcda_config_set_log(c, BCDA_LOG_WARNING, settings_on_log, NULL, NULL),
                       status) ||
        settings_check(c, "user agent", bcda_config_set_str(c, BCDA_OPT_USER_AGENT, agent),
                       status) ||
        settings_check(
            c, "identical export",
            bcda_config_set_int(c, BCDA_OPT_DUPLICATE_JOB,
                                o->takes_over ? BCDA_DUPLICATE_TAKE_OVER : BCDA_DUPLICATE_WAIT),
            status) ||
        /* Invalid lines are counted and reported, and make the exit status 3. */
        settings_check(c, "invalid lines", bcda_config_set_int(c, BCDA_OPT_BAD_LINES_MAX, -1),
                       status))
        goto fail;
    if (sign_in ? sign_in_set(c, o, status) || set_private_key(c, o, status)
                : settings_check(c, "sign-in", bcda_config_set_no_authentication(c), status))
        goto fail;
    if (set_tunables(c, o, spool, status))
        goto fail;
    (void)bcda_config_get_int(c, BCDA_OPT_CANCEL_AT_SERVER, &cancels);
    o->cancel_at_server = (int)cancels;
    return c;
fail:
    bcda_config_free(c);
    return NULL;
}
