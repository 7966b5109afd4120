/* Start and stop of a sandbox: its directory, keys, listeners and counters; and the public getters.
 */
#include "internal.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BODY_MAX = 65536 };

static _Thread_local char last_error[512];

const char *sandbox_last_error(void)
{
    return last_error;
}

void sandbox_set_error(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(last_error, sizeof last_error, format, ap);
    va_end(ap);
}

bool sandbox_stopping(struct sandbox *sb)
{
    bool stopping;

    pthread_mutex_lock(&sb->lock);
    stopping = sb->stopping;
    pthread_mutex_unlock(&sb->lock);
    return stopping;
}

bool sandbox_sleep(struct sandbox *sb, unsigned milliseconds)
{
    struct timespec until;
    bool stopping;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    until.tv_sec += milliseconds / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&sb->lock);
    while (!sb->stopping && pthread_cond_timedwait(&sb->wake, &sb->lock, &until) == 0)
        ;
    stopping = sb->stopping;
    pthread_mutex_unlock(&sb->lock);
    return !stopping;
}

/* ---- libmicrohttpd's callbacks ---- */

/* libmicrohttpd calls this with the request target before it decodes the escapes, and passes the
 * result to the other callbacks as their context. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    (void)connection;
    return request_new(cls, target);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode why)
{
    (void)cls;
    (void)connection;
    (void)why;
    request_free(*context);
    *context = NULL;
}

static void keep_body(struct request *rq, const char *data, size_t n)
{
    if (rq->body.len + n > BODY_MAX)
        rq->body_too_long = true;
    else
        buf_add(&rq->body, data, n);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context)
{
    struct request *rq = *context;

    (void)cls;
    (void)url;
    (void)version;
    if (!rq)
        return MHD_NO;
    if (!rq->started) { /* the first call comes before the request's body */
        rq->started = true;
        return MHD_YES;
    }
    if (*upload_size) {
        keep_body(rq, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    rq->connection = connection;
    rq->method = method;
    return route(rq);
}

/* Serves the port of --files-port. */
static enum MHD_Result on_files_request(void *cls, struct MHD_Connection *connection,
                                        const char *url, const char *method, const char *version,
                                        const char *upload, size_t *upload_size, void **context)
{
    struct request *rq = *context;

    if (rq)
        rq->on_files_port = true;
    return on_request(cls, connection, url, method, version, upload, upload_size, context);
}

/*
 * Enables TLS session tickets, as Go's server has them. libmicrohttpd has no option for that, but
 * the GnuTLS session exists when libmicrohttpd announces a connection.
 */
static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct sandbox *sb = cls;
    const union MHD_ConnectionInfo *info;

    (void)context;
    if (what != MHD_CONNECTION_NOTIFY_STARTED || !sb->options.tls)
        return;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info && info->tls_session) /* the redirect port has no TLS session */
        gnutls_session_ticket_enable_server(info->tls_session, &sb->ticket_key);
}

/* Serves the plain-HTTP port: redirects GET to https and refuses other methods (bcda-api 1). */
static enum MHD_Result on_redirect(void *cls, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_size, void **context)
{
    struct request *rq = *context;
    char *location;
    struct buf b = {0};
    enum MHD_Result result;

    (void)cls;
    (void)url;
    (void)version;
    (void)upload;
    if (!rq || !rq->started || *upload_size) {
        if (rq)
            rq->started = true;
        *upload_size = 0;
        return rq ? MHD_YES : MHD_NO;
    }
    rq->connection = connection;
    rq->method = method;
    if (!request_is(rq, "GET"))
        return reply_method(rq);
    /* The real server uses the default ports, so its Location repeats the Host header. Here the
     * Location must name the TLS port. */
    location = xasprintf("%s%s", rq->sb->origin, rq->target);
    reply_header(rq, "Location", location);
    buf_printf(&b, "<a href=\"%s\">Moved Permanently</a>.\n\n", location);
    free(location);
    result = reply_buf(rq, 301, "text/html; charset=utf-8", &b);
    return result;
}

/* ---- start ---- */

static char *copy_or_null(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

struct sandbox_options options_complete(const struct sandbox_options *options)
{
    struct sandbox_options o = *options;

    o.seed = o.seed ? o.seed : 1;
    o.patients = o.patients ? o.patients : 10;
    o.claims = o.claims ? o.claims : 5;
    o.files = o.files ? o.files : 1;
    o.polls = o.no_polls ? 0 : o.polls ? o.polls : 2;
    if (!o.token_seconds)
        o.token_seconds = o.auth && strcmp(o.auth, "smart") == 0 ? 300 : 1200;
    o.token_algorithms = o.token_algorithms ? o.token_algorithms : "RS384,ES384";
    return o;
}

static void set_options(struct sandbox *sb, const struct sandbox_options *options)
{
    struct sandbox_options *o = &sb->options;

    *o = options_complete(options);
    o->faults = NULL;
    o->era = NULL;
    o->auth = NULL;
    o->data_dir = copy_or_null(options->data_dir);
    o->public_key_file = copy_or_null(options->public_key_file);
    o->state_dir = copy_or_null(options->state_dir);
    o->bearer_tokens_file = copy_or_null(options->bearer_tokens_file);
    o->client_jwks_file = copy_or_null(options->client_jwks_file);
    o->token_algorithms = xstrdup(o->token_algorithms);
    o->grant_scope = copy_or_null(options->grant_scope);
    o->client_ca_file = copy_or_null(options->client_ca_file);
    sb->day = o->day;
    sb->clock_skew = o->clock_skew;
}

static int find_auth(const char *name)
{
    static const char *const names[] = {"basic", "smart", "none", "bearer"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name ? name : "basic") == 0)
            return (int)i;
    sandbox_set_error("unknown way to sign in %s (there are basic, smart, none, bearer)", name);
    return -1;
}

/* Returns true for names separated by commas. */
static bool is_name_list(const char *s)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t n;

    for (; (n = strspn(s, set)) > 0; s += n + 1)
        if (s[n] != ',')
            return s[n] == '\0';
    return false;
}

/* Returns what is wrong with the options of the ways to sign in, or NULL. */
static const char *wrong_auth_options(const struct sandbox *sb)
{
    const struct sandbox_options *o = &sb->options;

    if ((sb->auth == AUTH_BEARER) != (o->bearer_tokens_file != NULL))
        return "a file of bearer tokens is needed by the server for which tokens come from "
               "outside, "
               "and by no other";
    if (sb->auth != AUTH_SMART &&
        (o->client_jwks_file || o->grant_scope || o->kid_optional || o->no_smart_configuration))
        return "keys of a client, its scope and discovery belong to a SMART server";
    if (o->client_ca_file && !o->tls)
        return "certificates of clients need TLS";
    return is_name_list(o->token_algorithms) ? NULL : "algorithms are names separated by commas";
}

static int check_options(const struct sandbox *sb)
{
    const struct sandbox_options *o = &sb->options;
    const char *wrong = NULL;

    if (o->changes && (o->data_dir || o->file_bytes))
        wrong = "data that change cannot be of a directory, or be grown to a size";
    else if (o->changes && !people_day_valid(o, o->day))
        wrong = "there is no such day";
    else if (o->mixed && sb->era->keys_2018)
        wrong = "a job of this era has only one file";
    else if (o->keep_state && !o->state_dir)
        wrong = "to keep its state, the sandbox needs a state directory";
    else
        wrong = wrong_auth_options(sb);
    if (wrong)
        sandbox_set_error("%s", wrong);
    return wrong ? -1 : 0;
}

static void init_sandbox_locks(struct sandbox *sb)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&sb->lock, NULL);
    pthread_mutex_init(&sb->synth_lock, NULL);
    pthread_mutex_init(&sb->keep_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&sb->wake, &attr);
    pthread_condattr_destroy(&attr);
}

static int make_dirs(struct sandbox *sb)
{
    const char *temporary = getenv("TMPDIR");

    if (sb->options.state_dir) {
        sb->state_dir = xstrdup(sb->options.state_dir);
        sb->made_state_dir = mkdir(sb->state_dir, 0700) == 0;
    } else {
        sb->state_dir =
            xasprintf("%s/bcda-sandbox.XXXXXX", temporary && *temporary ? temporary : "/tmp");
        sb->made_state_dir = mkdtemp(sb->state_dir) != NULL;
    }
    sb->payload_dir =
        xasprintf("%s/payload%s", sb->state_dir, sb->options.keep_state ? "" : ".XXXXXX");
    if (sb->options.keep_state ? mkdir(sb->payload_dir, 0700) == 0 || errno == EEXIST
                               : mkdtemp(sb->payload_dir) != NULL)
        return 0;
    sandbox_set_error("%s: %s", sb->payload_dir, strerror(errno));
    free(sb->payload_dir);
    sb->payload_dir = NULL;
    return -1;
}

int write_state_file(const struct sandbox *sb, const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", sb->state_dir, name), *new_path = xasprintf("%s.new", path);
    int result = file_write(new_path, text, 0600) || rename(new_path, path) ? -1 : 0;

    free(new_path);
    free(path);
    return result;
}

static char *random_hex(void)
{
    uint8_t random[40];
    struct buf hex = {0};

    crypt_random(random, sizeof random);
    crypt_hex(&hex, random, sizeof random);
    return hex.p;
}

static int make_secret(struct sandbox *sb)
{
    char *id = keep_read(sb, "client-id");

    crypt_uuid(sb->client_id);
    if (id)
        snprintf(sb->client_id, sizeof sb->client_id, "%s", id);
    free(id);
    sb->client_secret = keep_read(sb, "client-secret");
    if (!sb->client_secret)
        sb->client_secret = random_hex();
    sb->secret_file = xasprintf("%s/client-secret", sb->state_dir);
    if (sb->options.keep_state && write_state_file(sb, "client-id", sb->client_id))
        return -1;
    return write_state_file(sb, "client-secret", sb->client_secret);
}

static int write_private_key(struct sandbox *sb)
{
    char *new_path = xasprintf("%s.new", sb->private_key_file);
    int result = pki_write_private(sb->client_key, new_path);

    if (!result && rename(new_path, sb->private_key_file))
        result = -1;
    free(new_path);
    return result;
}

static int make_keys(struct sandbox *sb)
{
    char *kept = keep_read(sb, "private-key.pem");

    if (sb->options.public_key_file) {
        sb->client_key = pki_load_public(sb->options.public_key_file);
        free(kept);
        if (!sb->client_key)
            sandbox_set_error("%s: no RSA public key in PEM", sb->options.public_key_file);
        return sb->client_key ? 0 : -1;
    }
    sb->client_key = kept ? pki_read_private(kept) : pki_client_key();
    free(kept);
    sb->private_key_file = xasprintf("%s/private-key.pem", sb->state_dir);
    return sb->client_key ? write_private_key(sb) : -1;
}

static int renew_tls(struct sandbox *sb, char **ca)
{
    free(*ca);
    free(sb->tls_cert);
    free(sb->tls_key);
    *ca = sb->tls_cert = sb->tls_key = NULL;
    if (pki_make_tls(ca, &sb->tls_cert, &sb->tls_key))
        return -1;
    if (!sb->options.keep_state)
        return 0;
    return write_state_file(sb, "server-key.pem", sb->tls_key) ||
                   write_state_file(sb, "server.pem", sb->tls_cert)
               ? -1
               : 0;
}

static int read_client_ca(struct sandbox *sb)
{
    const char *path = sb->options.client_ca_file;
    struct buf text = {0};
    X509 *ca;

    if (!path)
        return 0;
    if (file_read(path, &text))
        buf_free(&text);
    sb->client_ca = text.p;
    ca = pki_read_certificate(sb->client_ca);
    X509_free(ca);
    if (!ca)
        sandbox_set_error("%s: no certificate in PEM", path);
    return ca ? 0 : -1;
}

static int make_tls(struct sandbox *sb)
{
    char *ca = NULL;
    int result;

    if (!sb->options.tls)
        return 0;
    if (read_client_ca(sb))
        return -1;
    ca = keep_read(sb, "ca.pem");
    sb->tls_cert = keep_read(sb, "server.pem");
    sb->tls_key = keep_read(sb, "server-key.pem");
    result = ca && sb->tls_cert && sb->tls_key ? 0 : renew_tls(sb, &ca);
    if (!result && gnutls_session_ticket_key_generate(&sb->ticket_key))
        result = -1;
    sb->ca_file = xasprintf("%s/ca.pem", sb->state_dir);
    if (!result)
        result = write_state_file(sb, "ca.pem", ca);
    free(ca);
    return result;
}

/*
 * Makes a listening socket on the loopback interface. libmicrohttpd could do that, but the URLs
 * that handlers build need the port before the first handler can run.
 */
static int listen_socket(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 511) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &size) == 0) {
        *port = ntohs(address.sin_port);
        return fd;
    }
    sandbox_set_error("cannot listen on 127.0.0.1:%u: %s", *port, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static const char TLS_PRIORITIES[] = "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1";

static struct MHD_Daemon *serve_on(struct sandbox *sb, int fd, bool tls,
                                   MHD_AccessHandlerCallback handler)
{
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                     MHD_USE_AUTO | MHD_USE_ITC | MHD_USE_SUPPRESS_DATE_NO_CLOCK;
    struct MHD_OptionItem tls_options[] = {
        {MHD_OPTION_HTTPS_MEM_KEY, 0, sb->tls_key},
        {MHD_OPTION_HTTPS_MEM_CERT, 0, sb->tls_cert},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {sb->client_ca ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0, sb->client_ca},
        {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    struct MHD_Daemon *daemon;

    daemon = MHD_start_daemon(
        flags | (tls ? MHD_USE_TLS : 0), 0, NULL, NULL, handler, sb, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, sb, MHD_OPTION_NOTIFY_COMPLETED, on_completed, sb,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, sb, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)(640 * 1024), MHD_OPTION_CONNECTION_TIMEOUT, 120u, MHD_OPTION_ARRAY,
        tls ? tls_options : none, MHD_OPTION_END);
    if (!daemon) {
        sandbox_set_error("libmicrohttpd does not start");
        close(fd);
    }
    return daemon;
}

static void make_urls(struct sandbox *sb, uint16_t port)
{
    sb->origin = xasprintf("%s://localhost:%u", sb->options.tls ? "https" : "http", port);
    if (sb->auth == AUTH_BASIC || sb->auth == AUTH_SMART)
        sb->token_url =
            xasprintf("%s/%s/token", sb->origin, sb->auth == AUTH_SMART ? "oauth2" : "auth");
    for (int i = 0; i < 3; i++)
        sb->fhir_url[i] = xasprintf("%s/api/v%d", sb->origin, i + 1);
}

static int listen_redirect(struct sandbox *sb)
{
    uint16_t port = sb->options.redirect_port;
    int fd = listen_socket(&port);

    if (fd < 0)
        return -1;
    sb->redirect_origin = xasprintf("http://localhost:%u", port);
    sb->redirect_daemon = serve_on(sb, fd, false, on_redirect);
    return sb->redirect_daemon ? 0 : -1;
}

static int listen_files(struct sandbox *sb)
{
    uint16_t port = sb->options.files_port;
    int fd = listen_socket(&port);

    if (fd < 0)
        return -1;
    sb->files_origin = xasprintf("%s://localhost:%u", sb->options.tls ? "https" : "http", port);
    sb->files_daemon = serve_on(sb, fd, sb->options.tls, on_files_request);
    return sb->files_daemon ? 0 : -1;
}

static int listen_all(struct sandbox *sb)
{
    uint16_t port = sb->options.port;
    int fd = listen_socket(&port);

    if (fd < 0)
        return -1;
    make_urls(sb, port);
    if (sb->options.files_elsewhere && listen_files(sb)) {
        close(fd);
        return -1;
    }
    sb->daemon = serve_on(sb, fd, sb->options.tls, on_request);
    if (!sb->daemon)
        return -1;
    return sb->options.tls && sb->options.redirect ? listen_redirect(sb) : 0;
}

static int set_up_sandbox(struct sandbox *sb, const struct sandbox_options *options)
{
    for (const char *const *f = options->faults; f && *f; f++)
        if (fault_add(sb, *f))
            return -1;
    if (check_options(sb))
        return -1;
    if (sb->options.data_dir && sources_load(sb, sb->options.data_dir))
        return -1;
    sandbox_set_error("cannot write in the state directory or make keys");
    if (make_dirs(sb) || make_secret(sb) || make_keys(sb) || make_tls(sb) || signing_start(sb))
        return -1;
    sb->bearer = token_issue(sb, 2L * 365 * 86400);
    if (sb->options.keep_state && keep_load_jobs(sb))
        return -1;
    return listen_all(sb);
}

int sandbox_start(const struct sandbox_options *options, struct sandbox **out)
{
    static const struct sandbox_options defaults;
    const struct era *era;
    struct sandbox *sb;
    int auth;

    options = options ? options : &defaults;
    auth = find_auth(options->auth);
    if (auth < 0)
        return -1;
    era = era_find(options->era ? options->era : "2019-04");
    if (!era) {
        sandbox_set_error("unknown era %s (there are %s)", options->era, era_names());
        return -1;
    }
    sb = xcalloc(1, sizeof *sb);
    sb->era = era;
    sb->auth = (enum auth_mode)auth;
    sb->next_job = 42;
    set_options(sb, options);
    init_sandbox_locks(sb);
    if (set_up_sandbox(sb, options)) {
        sandbox_stop(sb);
        return -1;
    }
    last_error[0] = '\0';
    *out = sb;
    return 0;
}

/* ---- stop ---- */

void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)) != NULL) {
        char *child;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        child = xasprintf("%s/%s", path, entry->d_name);
        if (unlink(child))
            remove_tree(child);
        free(child);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

static void remove_files(struct sandbox *sb)
{
    if (sb->options.keep_state)
        return;
    if (sb->payload_dir)
        remove_tree(sb->payload_dir);
    if (sb->secret_file)
        unlink(sb->secret_file);
    if (sb->ca_file)
        unlink(sb->ca_file);
    if (sb->private_key_file)
        unlink(sb->private_key_file);
    if (sb->made_state_dir)
        rmdir(sb->state_dir);
}

static void free_jobs(struct sandbox *sb)
{
    while (sb->jobs) {
        struct job *job = sb->jobs;

        sb->jobs = job->next;
        job_join(job);
        job_free(job);
    }
}

static void free_strings(struct sandbox *sb)
{
    char *all[] = {sb->state_dir,        sb->payload_dir,   sb->origin,      sb->token_url,
                   sb->redirect_origin,  sb->fhir_url[0],   sb->fhir_url[1], sb->fhir_url[2],
                   sb->ca_file,          sb->client_secret, sb->secret_file, sb->tls_key,
                   sb->private_key_file, sb->bearer,        sb->tls_cert,    sb->client_ca,
                   sb->files_origin};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free((char *)sb->options.data_dir);
    free((char *)sb->options.public_key_file);
    free((char *)sb->options.state_dir);
    free((char *)sb->options.bearer_tokens_file);
    free((char *)sb->options.client_jwks_file);
    free((char *)sb->options.token_algorithms);
    free((char *)sb->options.grant_scope);
    free((char *)sb->options.client_ca_file);
}

void sandbox_stop(struct sandbox *sb)
{
    if (!sb)
        return;
    pthread_mutex_lock(&sb->lock);
    sb->stopping = true;
    pthread_cond_broadcast(&sb->wake);
    pthread_mutex_unlock(&sb->lock);
    if (sb->files_daemon)
        MHD_stop_daemon(sb->files_daemon);
    if (sb->redirect_daemon)
        MHD_stop_daemon(sb->redirect_daemon);
    if (sb->daemon)
        MHD_stop_daemon(sb->daemon);
    free_jobs(sb);
    signing_stop(sb);
    remove_files(sb);
    for (int i = 0; i < 3; i++)
        synth_free(sb->synth[i]);
    EVP_PKEY_free(sb->client_key);
    if (sb->ticket_key.data)
        gnutls_free(sb->ticket_key.data);
    sources_free(sb);
    faults_clear(&sb->faults);
    tokens_free(sb);
    jtis_free(sb);
    free_strings(sb);
    pthread_cond_destroy(&sb->wake);
    pthread_mutex_destroy(&sb->synth_lock);
    pthread_mutex_destroy(&sb->keep_lock);
    pthread_mutex_destroy(&sb->lock);
    free(sb);
}

/* ---- getters ---- */

const char *sandbox_origin(const struct sandbox *sb)
{
    return sb->origin;
}

const char *sandbox_fhir_url(const struct sandbox *sb, int version)
{
    return version >= 1 && version <= 3 ? sb->fhir_url[version - 1] : NULL;
}

const char *sandbox_token_url(const struct sandbox *sb)
{
    return sb->token_url;
}

const char *sandbox_redirect_origin(const struct sandbox *sb)
{
    return sb->redirect_origin;
}

const char *sandbox_files_origin(const struct sandbox *sb)
{
    return sb->files_origin;
}

const char *sandbox_client_id(const struct sandbox *sb)
{
    return sb->client_id;
}

const char *sandbox_client_secret(const struct sandbox *sb)
{
    return sb->client_secret;
}

const char *sandbox_client_secret_file(const struct sandbox *sb)
{
    return sb->secret_file;
}

const char *sandbox_ca_file(const struct sandbox *sb)
{
    return sb->ca_file;
}

const char *sandbox_private_key_file(const struct sandbox *sb)
{
    return sb->private_key_file;
}

const char *sandbox_bearer_token(const struct sandbox *sb)
{
    return sb->bearer;
}

const char *sandbox_state_dir(const struct sandbox *sb)
{
    return sb->state_dir;
}

int sandbox_set_fault(struct sandbox *sb, const char *spec)
{
    return fault_add(sb, spec);
}

void sandbox_set_clock_skew(struct sandbox *sb, int64_t seconds)
{
    sb->clock_skew = seconds;
}

time_t sandbox_now(const struct sandbox *sb)
{
    return time(NULL) + (time_t)sb->clock_skew;
}

int sandbox_set_day(struct sandbox *sb, unsigned day)
{
    if (!sb->options.changes || !people_day_valid(&sb->options, day)) {
        sandbox_set_error("there is no such day");
        return -1;
    }
    pthread_mutex_lock(&sb->lock);
    sb->day = day;
    pthread_mutex_unlock(&sb->lock);
    return 0;
}

void sandbox_clear_faults(struct sandbox *sb)
{
    pthread_mutex_lock(&sb->lock);
    faults_clear(&sb->faults);
    sb->random.every = 0;
    pthread_mutex_unlock(&sb->lock);
}

void sandbox_set_random_faults(struct sandbox *sb, uint64_t seed, unsigned every)
{
    random_set(sb, seed, every);
}

unsigned sandbox_count(const struct sandbox *sb, const char *what)
{
    static const char *const names[C_COUNT] = {"token",
                                               "kickoff",
                                               "status",
                                               "data",
                                               "metadata",
                                               "version",
                                               "jobs",
                                               "delete",
                                               "other",
                                               "total",
                                               "401",
                                               "429",
                                               "202",
                                               "elsewhere",
                                               "resumed",
                                               "range",
                                               "random",
                                               "discovery",
                                               "assertions",
                                               "assertions-refused",
                                               "client-certificates",
                                               "client-certificates-elsewhere"};

    for (int i = 0; i < C_COUNT; i++)
        if (strcmp(names[i], what) == 0)
            return sb->counts[i];
    return 0;
}

void sandbox_reset_counts(struct sandbox *sb)
{
    for (int i = 0; i < C_COUNT; i++)
        sb->counts[i] = 0;
}

static const struct data_file *nth_file(const struct sandbox *sb, const char *type, unsigned index)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&sb->lock;
    const struct data_file *f = NULL;

    pthread_mutex_lock(lock);
    for (const struct job *job = sb->jobs; job && !f; job = job->next) {
        unsigned left = index;

        for (f = job->state == JOB_READY ? job->files : NULL; f; f = f->next)
            if (strcmp(f->type, type) == 0 && left-- == 0)
                break;
    }
    pthread_mutex_unlock(lock);
    return f;
}

const char *sandbox_plain_file(const struct sandbox *sb, const char *type, unsigned index)
{
    const struct data_file *f = nth_file(sb, type, index);

    return f ? f->plain_path : NULL;
}

const char *sandbox_stored_file(const struct sandbox *sb, const char *type, unsigned index)
{
    const struct data_file *f = nth_file(sb, type, index);

    return f ? f->path : NULL;
}

const char *sandbox_file_name(const struct sandbox *sb, const char *type, unsigned index)
{
    const struct data_file *f = nth_file(sb, type, index);

    return f ? f->name : NULL;
}

int sandbox_file_key(const struct sandbox *sb, const char *type, unsigned index, uint8_t key[32])
{
    const struct data_file *f = nth_file(sb, type, index);

    if (!f || !f->encrypted)
        return -1;
    memcpy(key, f->key, sizeof f->key);
    return 0;
}
