/* Whole exports against a scripted server, to test what lies between the client and the server:
 * addresses, certificates, proxies, name servers, and answers that break the rules of HTTP. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../tempdir.h"
#include "certs.h"
#include "fixture.h"
#include "net/http.h"
#include "server_process.h"

static struct fixture fx;

enum { LOOK_TIMES = 60000 };

#define SECRET     "a-secret" /* set by fixture_config_at() */
#define PASSPHRASE "open-sesame"
#define PROXY_USER "prue"
#define PROXY_WORD "let-me-out"
#define PROXY_BOTH "cHJ1ZTpsZXQtbWUtb3V0" /* user and password, encoded for Basic */
#define LINE_0     "{\"resourceType\":\"Patient\",\"id\":\"p0\"}\n"
#define LINE_1     "{\"resourceType\":\"Patient\",\"id\":\"p1\"}\n"
#define LINES      LINE_0 LINE_1
#define SURPLUS    "{\"resourceType\":\"Patient\",\"id\":\"surplus\"}\n"
#define LEN(a)     (sizeof(a) / sizeof(a)[0])

static struct scripted_server *proxy; /* between the client and the FHIR server */

/* ---- a name server that does not answer ---- */

/* libcurl calls getaddrinfo() through its PLT, and so calls the one below. The lookup of a name
 * that ends in "blocked.invalid" blocks until the test releases it. Other names under "invalid" do
 * not exist. */
static pthread_mutex_t name_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t name_news = PTHREAD_COND_INITIALIZER;
static int released;
static atomic_int lookups, blocked;

static int ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

static void wait_for_release(void)
{
    atomic_fetch_add(&blocked, 1);
    pthread_mutex_lock(&name_lock);
    while (!released)
        pthread_cond_wait(&name_news, &name_lock);
    pthread_mutex_unlock(&name_lock);
    atomic_fetch_sub(&blocked, 1);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

    atomic_fetch_add(&lookups, 1);
    if (name && ends_with(name, "blocked.invalid"))
        wait_for_release();
    if (name && ends_with(name, ".invalid"))
        return EAI_NONAME;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, out);
}

static int count_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    const struct dirent *e;
    int n = 0;

    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* Releases the blocked lookups, and waits until libcurl's abandoned lookup threads have ended:
 * until the process has no more than `threads` threads. */
static void release_names(int threads)
{
    struct timespec moment = {0, 1000000};
    int i;

    pthread_mutex_lock(&name_lock);
    released = 1;
    pthread_cond_broadcast(&name_news);
    pthread_mutex_unlock(&name_lock);
    for (i = 0; count_threads() > threads; i++) {
        ck_assert_int_lt(i, LOOK_TIMES);
        nanosleep(&moment, NULL);
    }
}

/* ---- a session with a scripted server ---- */

static void stop_proxy(void)
{
    scripted_stop(proxy);
    proxy = NULL;
}

static void open_fixture(const struct scripted_options *o)
{
    static const char *const secrets[] = {PASSPHRASE, PROXY_WORD, PROXY_BOTH,
                                          PROXY_USER, "<html",    NULL};

    if (o)
        fixture_open_scripted_with(&fx, o);
    else
        fixture_init(&fx);
    fx.secrets = secrets;
    atexit(stop_proxy);
}

static void open_server(void)
{
    open_fixture(&(struct scripted_options){.tls = 1});
}

static void open_proxy(void)
{
    proxy = scripted_start_with(&(struct scripted_options){.relay = 1});
    ck_assert_ptr_nonnull(proxy);
}

static struct run *begin(void)
{
    fixture_session(&fx);
    return fixture_start(&fx, BY_RESOURCE);
}

/* Runs a whole export. Answers that the test has already scripted take precedence over those set
 * here. */
static struct run *go(void)
{
    scripted_export(fx.server, fixture_files, 1);
    scripted_reply(fx.server, "/data/", "200 OK", "", LINES, sizeof LINES - 1);
    return fixture_run(&fx, BY_RESOURCE);
}

/* Runs an export over https from a server that does not speak TLS, or violates the TLS protocol. */
static struct run *go_plain(const struct scripted_options *o, int by_proxy)
{
    char origin[64];

    open_fixture(o);
    snprintf(origin, sizeof origin, "https%s", strchr(scripted_origin(fx.server), ':'));
    fixture_config_at(&fx, origin, NULL);
    if (by_proxy) {
        open_proxy();
        ck_assert_ok(bcda_config_set_proxy(fx.config, scripted_origin(proxy), NULL, NULL));
    }
    return fixture_run(&fx, BY_RESOURCE);
}

/* Lets each of two attempts run into the connect timeout. An attempt has begun when `to` has a
 * request that contains `head` or, if `head` is NULL, a connection. */
static struct run *run_into_timeouts(struct scripted_server *to, const char *head)
{
    struct run *r;
    unsigned i;

    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 2);
    r = begin();
    for (i = 1; i <= 2; i++) {
        fixture_until(&fx, (head ? scripted_count(to, head) : scripted_connections(to)) >= i);
        fx.now += 30000;
        while (fixture_stat(&fx, BCDA_STAT_TRANSFERS))
            (void)fixture_step(&fx);
    }
    fixture_finish(&fx);
    return r;
}

static void check_came(const struct run *r)
{
    fixture_check_result(r, 0);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)), BCDA_VERDICT_COMPLETE);
    ck_assert_uint_eq(r->count, 2);
    ck_assert_str_eq(r->got[0].id, "p0");
    ck_assert_str_eq(r->got[1].id, "p1");
}

/* Checks that the job failed with `code`, and that its error text contains `hint`. */
static const bcda_error *check_failed(struct run *r, int code, const char *hint)
{
    const bcda_error *e = fixture_check_failed(r, code);

    fixture_check_text(&fx, bcda_error_text(e));
    ck_assert_msg(strstr(bcda_error_text(e), hint) != NULL, "\"%s\" says nothing of \"%s\"",
                  bcda_error_text(e), hint);
    return e;
}

static void close_servers(void)
{
    fixture_close(&fx);
    stop_proxy();
}

/* ---- addresses and certificates ---- */

/* Opens a server whose certificate is signed by a new authority. Sets *ca to the file with that
 * authority's certificate. */
static void open_certified(struct scripted_options *o, const struct certificate_options *c,
                           const char **ca)
{
    struct authority a;
    struct certificate made;

    authority_make(&a);
    certificate_make(&made, &a, c);
    o->tls = 1;
    o->certificate = made.cert;
    o->key = made.key;
    open_fixture(o);
    *ca = certs_file(a.pem);
    certificate_free(&made);
    authority_free(&a);
}

static void check_nothing_sent(void)
{
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 0);
    ck_assert_uint_eq(scripted_connections(fx.server), 1); /* there is no retry */
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 0);
}

struct named {
    int ipv6;
    const char *names; /* names in the certificate */
    int has_ended, code;
};

static const struct named named[] = {
    {1, "IP:::1", 0, 0},
    {0, "IP:127.0.0.1", 0, 0},
    {1, "IP:127.0.0.1,DNS:localhost", 0, BCDA_ERR_TLS_VERIFY},
    {1, "IP:::2,DNS:[::1]", 0, BCDA_ERR_TLS_VERIFY},
    {0, "IP:::1", 0, BCDA_ERR_TLS_VERIFY},
    {0, "DNS:127.0.0.1", 0, BCDA_ERR_TLS_VERIFY},
    {1, "IP:::1", 1, BCDA_ERR_TLS_VERIFY},
    {0, "IP:127.0.0.1", 1, BCDA_ERR_TLS_VERIFY},
};

START_TEST(server_certificate)
{
    const struct named *n = &named[_i];
    struct certificate_options c = {.names = n->names, .has_ended = n->has_ended};
    struct scripted_options o = {.ipv6 = n->ipv6};
    const char *ca;
    struct run *r;

    open_certified(&o, &c, &ca);
    ck_assert_int_eq(strncmp(scripted_origin(fx.server), "https://[::1]:", 14) == 0, n->ipv6);
    fixture_config_at(&fx, scripted_origin(fx.server), ca);
    r = go();
    if (n->code) {
        (void)check_failed(r, n->code, n->has_ended ? "expired" : "");
        check_nothing_sent();
    } else {
        check_came(r);
        ck_assert_uint_eq(scripted_count(fx.server, n->ipv6 ? "Host: [::1]:" : "Host: 127.0.0.1:"),
                          4);
    }
    close_servers();
}
END_TEST

/* _i: the CA file holds another authority (0) or no certificate (1), or the system's authorities
 * are used (2). */
START_TEST(other_authority)
{
    struct authority a;
    struct run *r;

    open_server();
    authority_make(&a);
    fixture_config_at(&fx, scripted_origin(fx.server),
                      _i == 0   ? certs_file(a.pem)
                      : _i == 1 ? certs_file("no certificate\n")
                                : NULL);
    authority_free(&a);
    r = go();
    (void)check_failed(r, BCDA_ERR_TLS_VERIFY, "CA file");
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 0);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 0);
    close_servers();
}
END_TEST

/* What servers without TLS send first. The error says that TLS is missing, and is final. */
static const char *const greetings[] = {
    "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "HTTP/1.0 301 Moved\r\nLocation: https://127.0.0.1/\r\n\r\n",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "220 localhost ESMTP\r\n",
    "<html><body>Bad request</body></html>\n",
};

START_TEST(no_tls_there)
{
    struct scripted_options o = {.greeting = greetings[_i % (int)LEN(greetings)]};
    struct run *r = go_plain(&o, _i >= (int)LEN(greetings));
    const bcda_error *e = check_failed(r, BCDA_ERR_TLS, "does not speak TLS");

    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "http"));
    ck_assert_int_eq(bcda_error_is_retryable(e), 0);
    ck_assert_uint_eq(scripted_connections(fx.server), 1);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 0);
    close_servers();
}
END_TEST

/* A connection that ends in the middle of a handshake is retried. */
START_TEST(broken_handshake)
{
    struct scripted_options o = {.greeting = _i ? "\x16\x03\x03" : ""};
    struct run *r = go_plain(&o, 0);
    const bcda_error *e = check_failed(r, r->result, "");

    ck_assert(r->result == BCDA_ERR_TLS || r->result == BCDA_ERR_TRANSFER);
    ck_assert_int_eq(bcda_error_is_retryable(e), 1);
    ck_assert_uint_eq(scripted_connections(fx.server), 8);
    close_servers();
}
END_TEST

/* Fatal alerts that the server sends in place of a handshake: a hint in the error text, and whether
 * the error is final. */
static const struct {
    char number;
    const char *hint;
    int is_final;
} alerts[] = {
    {70, "no version of TLS", 1},   /* protocol_version */
    {40, "client certificate", 1},  /* handshake_failure */
    {42, "client certificate", 1},  /* bad_certificate */
    {116, "client certificate", 1}, /* certificate_required */
    {48, "client certificate", 1},  /* unknown_ca */
    {49, "client certificate", 1},  /* access_denied */
    {80, "", 0},                    /* internal_error */
};

START_TEST(alerted)
{
    char record[] = {21, 3, 3, 0, 2, 2, alerts[_i].number};
    struct scripted_options o = {.greeting = record, .greeting_len = sizeof record};
    struct run *r = go_plain(&o, 0);
    const bcda_error *e = check_failed(r, BCDA_ERR_TLS, alerts[_i].hint);

    ck_assert_int_eq(bcda_error_is_retryable(e), !alerts[_i].is_final);
    ck_assert_uint_eq(scripted_connections(fx.server), alerts[_i].is_final ? 1 : 8);
    close_servers();
}
END_TEST

/* A file that does not exist is reported by name when the session is made. */
START_TEST(missing_file)
{
    static const char gone[] = "/nonexistent/file.pem";
    const char *there;
    bcda_session *session = NULL;

    open_server();
    fixture_config(&fx);
    there = scripted_ca_file(fx.server);
    if (_i == 0)
        ck_assert_ok(bcda_config_set_ca_file(fx.config, gone));
    else
        ck_assert_ok(bcda_config_set_client_certificate(fx.config, _i == 1 ? gone : there,
                                                        _i == 1 ? there : gone, PASSPHRASE));
    ck_assert_int_eq(bcda_session_new(&session, fx.config), BCDA_ERR_IO);
    ck_assert_ptr_null(session);
    fixture_check_text(&fx, bcda_error_text(bcda_config_error(fx.config)));
    ck_assert_ptr_nonnull(strstr(bcda_error_text(bcda_config_error(fx.config)), gone));
    ck_assert_uint_eq(scripted_connections(fx.server), 0);
    close_servers();
}
END_TEST

/* ---- client certificates ---- */

struct client_case {
    int has_one, is_of_another;
    const char *key_has, *given; /* passphrase of the key, and the configured one */
    int code;
    const char *hint;
};

static const struct client_case clients[] = {
    {1, 0, NULL, NULL, 0, ""},
    {1, 0, NULL, PASSPHRASE, 0, ""}, /* a passphrase that is not needed */
    {1, 0, PASSPHRASE, PASSPHRASE, 0, ""},
    {0, 0, NULL, NULL, BCDA_ERR_TLS, "client certificate"},
    {1, 1, NULL, NULL, BCDA_ERR_TLS, "client certificate"},
    {1, 0, PASSPHRASE, PASSPHRASE "!", BCDA_ERR_TLS, "passphrase"},
    {1, 0, PASSPHRASE, NULL, BCDA_ERR_TLS, "passphrase"}, /* without a prompt at the terminal */
};

static void set_client_certificate(const struct authority *a, const struct client_case *x)
{
    struct certificate_options o = {.passphrase = x->key_has};
    struct certificate c;

    certificate_make(&c, a, &o);
    ck_assert_ok(bcda_config_set_client_certificate(fx.config, certs_file(c.cert),
                                                    certs_file(c.key), x->given));
    certificate_free(&c);
}

START_TEST(client_certificate)
{
    const struct client_case *x = &clients[_i / 2];
    struct scripted_options o = {.tls = 1, .tls12 = _i % 2};
    struct authority wanted, other;
    const bcda_error *e;
    struct run *r;

    authority_make(&wanted);
    authority_make(&other);
    o.client_ca = wanted.pem;
    open_fixture(&o);
    fixture_config(&fx);
    if (x->has_one)
        set_client_certificate(x->is_of_another ? &other : &wanted, x);
    r = go();
    if (x->code) {
        e = check_failed(r, x->code, x->hint);
        ck_assert_int_eq(bcda_error_is_retryable(e), 0);
        ck_assert_uint_eq(scripted_count(fx.server, NULL), 0);
        ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 0);
    } else {
        check_came(r);
    }
    authority_free(&wanted);
    authority_free(&other);
    close_servers();
}
END_TEST

/* ---- no descriptors left ---- */

/* From now on the process can open at most `spare` more descriptors. */
static void leave_descriptors(rlim_t spare)
{
    struct rlimit limit;
    int highest = 0, fd;
    const struct dirent *e;
    DIR *d = opendir("/proc/self/fd");

    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)))
        highest = atoi(e->d_name) > highest ? atoi(e->d_name) : highest;
    while ((fd = dup(dirfd(d))) >= 0 && fd < highest)
        ; /* fills all free numbers below `highest` */
    close(fd);
    closedir(d); /* frees a descriptor, which the next call fills */
    ck_assert_int_ge(fcntl(0, F_DUPFD, 0), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)highest + 1 + spare;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void raise_descriptors(int level, const char *component, const char *message, void *userdata)
{
    struct rlimit limit;

    (void)component;
    (void)userdata;
    if (level > BCDA_LOG_WARNING || !strstr(message, "again in"))
        return;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

enum { CAME = 10, NO_SUCH_NAME, OUT_OF_DESCRIPTORS, ANOTHER_ERROR, SPARE_MAX = 16 };

/* Runs an export with few descriptors; with `mends`, the limit is lifted at the first retry. Must
 * run in a child process, since the server needs descriptors as well. */
static int starve(rlim_t spare, int mends)
{
    const bcda_error *e;
    struct run *r;

    if (mends)
        ck_assert_ok(bcda_config_set_log(fx.config, BCDA_LOG_DEBUG, raise_descriptors, NULL, NULL));
    r = begin();
    leave_descriptors(spare);
    fixture_finish(&fx);
    e = bcda_job_error(r->job);
    if (r->result == 0)
        return r->count == 6 ? CAME : ANOTHER_ERROR;
    if (r->result == BCDA_ERR_RESOLVE)
        return NO_SUCH_NAME;
    if (r->result == BCDA_ERR_SYSTEM && bcda_error_is_retryable(e) &&
        strstr(bcda_error_text(e), "oo many open files"))
        return OUT_OF_DESCRIPTORS;
    fprintf(stderr, "%d descriptors: %s: %s\n", (int)spare, bcda_error_name(r->result),
            bcda_error_text(e));
    return ANOTHER_ERROR;
}

static int starve_child(rlim_t spare, int mends)
{
    pid_t child;
    int status;

    fflush(NULL);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(starve(spare, mends));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status), "the child ended with status 0x%x", (unsigned)status);
    return WEXITSTATUS(status);
}

/* Checks that the result is OUT_OF_DESCRIPTORS with too few descriptors, and `usual` with enough.
 * If the library retries after the error, and enough descriptors are free by then, the result must
 * be `usual` as well. */
static void check_starved(int usual, int is_retried)
{
    int spare, how, starved = 0;

    for (spare = 0; spare < SPARE_MAX; spare++) {
        how = starve_child((rlim_t)spare, 0);
        ck_assert_msg(how == usual || how == OUT_OF_DESCRIPTORS, "%d: %d", spare, how);
        if (how != OUT_OF_DESCRIPTORS)
            continue;
        starved++;
        if (is_retried)
            ck_assert_int_eq(starve_child((rlim_t)spare, 1), usual);
    }
    ck_assert_int_gt(starved, 1);
    ck_assert_int_lt(starved, SPARE_MAX);
}

static void script_three_files(struct scripted_server *to, const void *arg)
{
    (void)arg;
    scripted_export(to, fixture_files, 3);
    scripted_reply(to, "/data/", "200 OK", "", LINES, sizeof LINES - 1);
}

/* The process has no descriptor left for a socket, the CA file, the client certificate or the spool
 * (_i). The error must name the missing descriptors as its cause, and must be retryable. */
START_TEST(no_descriptors)
{
    int threads = _i & 1 ? 2 : 0, certified = _i == 2, verified = _i >= 3;
    struct client_case client = {1, 0, NULL, NULL, 0, ""};
    struct server_process server;
    struct authority a;

    server_process_start(&server, 1, script_three_files, NULL);
    open_fixture(NULL);
    fixture_config_at(&fx, server.origin, server.ca_file);
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, threads);
    authority_make(&a);
    if (certified)
        set_client_certificate(&a, &client);
    if (verified)
        fixture_set_verified(&fx, tempdir());
    check_starved(CAME, !verified); /* a spool that cannot be made fails its file */
    authority_free(&a);
    bcda_config_free(fx.config);
    server_process_stop(&server);
}
END_TEST

/* libcurl's thread that looks up a name needs two descriptors. Without them, the error must name
 * the missing descriptors as its cause. */
START_TEST(no_descriptors_for_a_name)
{
    open_fixture(NULL);
    fixture_config_at(&fx, "https://fhir.invalid", NULL);
    check_starved(NO_SUCH_NAME, 1);
    bcda_config_free(fx.config);
}
END_TEST

/* ---- proxies ---- */

static void use_proxy(const char *url)
{
    ck_assert_ok(bcda_config_set_proxy(fixture_config(&fx), url, PROXY_USER, PROXY_WORD));
}

/* Checks that each request to the proxy is a CONNECT, with the proxy's credentials and no others.
 * Returns the number of requests. */
static unsigned check_proxy_saw(void)
{
    unsigned i;
    char *head;

    for (i = 0; (head = scripted_request(proxy, i)); i++) {
        ck_assert_msg(strncmp(head, "CONNECT ", 8) == 0, "%s", head);
        ck_assert_msg(strstr(head, "\r\nProxy-Authorization: Basic " PROXY_BOTH "\r\n") != NULL,
                      "%s", head);
        ck_assert_ptr_null(strcasestr(head, "\r\nAuthorization:"));
        ck_assert_ptr_null(strstr(head, "/api/"));
        free(head);
    }
    return i;
}

static void check_absent(const char *bytes, size_t len, const char *text)
{
    ck_assert_msg(!memmem(bytes, len, text, strlen(text)), "%s passed the proxy", text);
}

/* The proxy relays to the server. Only CONNECT requests and ciphertext pass through it. */
START_TEST(through_a_proxy)
{
    struct scripted_options o = {.tls = 1, .ipv6 = _i};
    size_t len;
    char *bytes;
    struct run *r;

    open_fixture(&o);
    open_proxy();
    use_proxy(scripted_origin(proxy));
    r = go();
    check_came(r);
    ck_assert_uint_eq(check_proxy_saw(), 4);
    bytes = scripted_relayed(proxy, &len);
    ck_assert_uint_gt(len, 1000);
    check_absent(bytes, len, "tok.en");
    check_absent(bytes, len, SECRET);
    check_absent(bytes, len, "Authorization");
    check_absent(bytes, len, "$export");
    free(bytes);
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 4);
    ck_assert_uint_eq(scripted_count(fx.server, "Authorization: Bearer tok.en"), 3);
    ck_assert_uint_eq(scripted_count(fx.server, "Proxy-"), 0);
    ck_assert_uint_eq(scripted_count(fx.server, PROXY_BOTH), 0);
    ck_assert_uint_eq(scripted_resumed(fx.server), 3);
    close_servers();
}
END_TEST

struct refusal {
    const char *answer;
    const char *hint;
    unsigned attempts;
};

static const struct refusal refusals[] = {
    {"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 5\r\n\r\nhello",
     "407", 1},
    {"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n", "407", 1},
    {"HTTP/1.1 403 No\r\nContent-Length: 12\r\n\r\n<html></html>", "403", 1},
    {"HTTP/1.0 403 No\r\n\r\n<html>until the end</html>", "403", 1},
    {"HTTP/1.1 302 Else\r\nLocation: https://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", "302", 1},
    {"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", "503", 8},
    {"", "", 8}, /* the proxy closes the connection */
    {"SSH-2.0-nonsense\r\n\r\n", "", 8},
};

START_TEST(refusing_proxy)
{
    const struct refusal *x = &refusals[_i];
    const bcda_error *e;
    struct run *r;

    open_server();
    open_proxy();
    scripted_text(scripted_on(proxy, "CONNECT", 0), x->answer);
    use_proxy(scripted_origin(proxy));
    r = go();
    e = check_failed(r, BCDA_ERR_PROXY, x->hint);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "proxy"));
    ck_assert_int_eq(bcda_error_is_retryable(e), x->attempts > 1);
    ck_assert_str_eq(bcda_error_server_text(e), ""); /* the proxy answered, not the server */
    ck_assert_int_eq(bcda_error_http_status(e), 0);
    ck_assert_uint_eq(check_proxy_saw(), x->attempts);
    ck_assert_uint_eq(scripted_connections(fx.server), 0);
    close_servers();
}
END_TEST

/* The proxy fails for two requests, and works afterwards. */
START_TEST(proxy_mends)
{
    struct run *r;

    open_server();
    open_proxy();
    scripted_text(scripted_on(proxy, "CONNECT", 2),
                  "HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n");
    use_proxy(scripted_origin(proxy));
    r = go();
    check_came(r);
    ck_assert_uint_eq(check_proxy_saw(), 6);
    close_servers();
}
END_TEST

/* Makes a socket on which nothing listens, and writes its URL to `url`. Its port refuses
 * connections, and as long as it is open, no other process gets the port. */
static int bind_closed(char *url, size_t size)
{
    struct sockaddr_in a = {0};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(url, size, "http://127.0.0.1:%d", ntohs(a.sin_port));
    return fd;
}

/* Nothing listens at the address of the proxy, or its name has no address. */
START_TEST(no_proxy_there)
{
    char url[64];
    struct run *r;
    int fd = bind_closed(url, sizeof url);

    open_server();
    use_proxy(_i ? "http://proxy.invalid:3128" : url);
    r = go();
    ck_assert_int_eq(bcda_error_is_retryable(check_failed(r, BCDA_ERR_PROXY, "proxy")), 1);
    ck_assert_uint_eq(scripted_connections(fx.server), 0);
    ck_assert_int_eq(atomic_load(&lookups) > 0, _i);
    close_servers();
    close(fd);
}
END_TEST

/* A proxy URL that is malformed, or has an unknown scheme, may contain a password. No text shows
 * that password. */
START_TEST(proxy_url_is_not_shown)
{
    static const char *const urls[] = {"http://me:secretpw@[proxy:3128",
                                       "http://me:secretpw@a b:3128",
                                       "gopher://me:secretpw@127.0.0.1:3128"};
    const bcda_error *e;
    struct run *r;

    open_server();
    use_proxy(urls[_i]);
    r = go();
    e = check_failed(r, BCDA_ERR_PROXY, "proxy");
    ck_assert_ptr_null(strstr(bcda_error_text(e), "secretpw"));
    ck_assert_int_eq(bcda_error_is_retryable(e), 0);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 0);
    ck_assert_uint_eq(scripted_connections(fx.server), 0);
    close_servers();
}
END_TEST

/* The proxy does not answer the CONNECT, or it opens the tunnel but lets no byte through. */
START_TEST(silent_proxy)
{
    struct scripted_answer *a;
    struct run *r;

    open_server();
    open_proxy();
    a = scripted_on(proxy, "CONNECT", 0);
    scripted_text(a, _i ? "HTTP/1.1 200 Open\r\n\r\n" : "");
    scripted_finish(a, SCRIPTED_STAY);
    use_proxy(scripted_origin(proxy));
    r = run_into_timeouts(proxy, "CONNECT");
    (void)check_failed(r, BCDA_ERR_CONNECT_TIMEOUT, "30000 ms");
    ck_assert_uint_eq(check_proxy_saw(), 2);
    ck_assert_uint_eq(scripted_connections(fx.server), 0);
    close_servers();
}
END_TEST

/* Proxy variables in the environment are ignored, both those that name a proxy and those that
 * exclude hosts. */
START_TEST(environment)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY",
                                        "all_proxy"};
    struct run *r;
    size_t i;

    open_server();
    open_proxy();
    for (i = 0; i < LEN(names); i++)
        ck_assert_int_eq(setenv(names[i], _i ? "http://127.0.0.1:9" : scripted_origin(proxy), 1),
                         0);
    if (_i) {
        setenv("NO_PROXY", "*", 1);
        setenv("no_proxy", "127.0.0.1", 1);
        use_proxy(scripted_origin(proxy));
    }
    r = go();
    check_came(r);
    ck_assert_uint_eq(scripted_connections(proxy), _i ? 4 : 0);
    close_servers();
}
END_TEST

/* No proxy is used for http, which is allowed for this machine only. */
START_TEST(who_is_proxied)
{
    struct run *r;
    char *head;
    unsigned i;

    proxy = scripted_start(0);
    ck_assert_ptr_nonnull(proxy);
    scripted_reply(proxy, " ", "502 Bad Gateway", "", "", 0);
    fixture_open_scripted(&fx, _i);
    fixture_reply_patients(&fx, "/data/", 0, 3);
    scripted_export(fx.server, fixture_files, 1);
    fixture_config(&fx);
    ck_assert_ok(
        bcda_config_set_proxy(fx.config, scripted_origin(proxy), "someone", "proxy-secret"));
    r = fixture_run(&fx, BY_RESOURCE);
    if (_i == 0) { /* http to this machine: the proxy is not contacted */
        fixture_check_result(r, 0);
        fixture_check_patients(r, 0, 0, 3);
        ck_assert_uint_eq(scripted_connections(proxy), 0);
    } else {
        ck_assert_int_lt(r->result, 0);
        ck_assert_uint_eq(scripted_connections(fx.server), 0);
        ck_assert_uint_gt(scripted_count(proxy, NULL), 0);
        for (i = 0; (head = scripted_request(proxy, i)); i++) {
            ck_assert_msg(strncmp(head, "CONNECT 127.0.0.1:", 18) == 0, "%s", head);
            ck_assert_ptr_null(strstr(head, "\r\nAuthorization:"));
            free(head);
        }
    }
    close_servers();
}
END_TEST

/* ---- name lookups ---- */

/* Configures a server, or a proxy, whose name lookup blocks. The first request is for a token or,
 * with `has_token`, for the job. */
static void begin_blocked(int through_proxy, int has_token)
{
    open_fixture(NULL);
    fixture_config_at(&fx, through_proxy ? "https://127.0.0.1:9" : "https://fhir.blocked.invalid",
                      NULL);
    if (through_proxy)
        use_proxy("http://proxy.blocked.invalid:3128");
    if (has_token)
        ck_assert_ok(bcda_config_set_bearer_token(fx.config, "tok.en"));
}

static void until_blocked(int count)
{
    fixture_until(&fx, atomic_load(&blocked) >= count);
}

/* A job is cancelled while a name lookup blocks: on_done is called although the lookup does not
 * return. */
START_TEST(cancel_while_looking_up)
{
    int threads = count_threads();
    struct run *r;

    begin_blocked(_i & 1, _i & 2);
    r = begin();
    until_blocked(1);
    ck_assert_ok(bcda_job_cancel(r->job));
    while (!r->done)
        ck_assert(fixture_step(&fx));
    ck_assert_int_eq(r->result, BCDA_ERR_CANCELLED);
    ck_assert_int_eq(atomic_load(&blocked), 1);
    if (_i & 2) /* a token request would continue, because another job may need the token */
        ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TRANSFERS), 0);
    release_names(threads);
    fixture_end(&fx);
}
END_TEST

/* The test blocks the name lookup until bcda_session_free() has returned, so bcda_session_free()
 * must not wait for it. */
START_TEST(free_while_looking_up)
{
    int threads = count_threads(), fds;
    struct run *r;

    begin_blocked(_i & 1, _i & 2);
    r = begin();
    until_blocked(1);
    fds = fx.fds;
    fixture_free_session(&fx);
    ck_assert_int_eq(r->done, 1);
    ck_assert_int_eq(r->result, BCDA_ERR_CANCELLED);
    ck_assert_int_eq(atomic_load(&blocked), 1);
    release_names(threads);
    ck_assert_int_le(fixture_count_fds(), fds);
    fixture_end(&fx);
}
END_TEST

START_TEST(lookup_takes_too_long)
{
    int threads = count_threads(), i;
    struct run *r;

    begin_blocked(_i & 1, _i & 2);
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 3);
    r = begin();
    for (i = 1; i <= 3; i++) {
        until_blocked(i); /* the earlier lookups still run */
        ck_assert_int_eq(r->done, 0);
        fixture_advance(&fx, 29000);
        ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TRANSFERS), 1);
        fx.now += 1000;
        fixture_drain(&fx);
        ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TRANSFERS), 0);
    }
    ck_assert_int_eq(atomic_load(&blocked), 3);
    (void)check_failed(r, BCDA_ERR_CONNECT_TIMEOUT, "30000 ms");
    release_names(threads);
    fixture_end(&fx);
}
END_TEST

START_TEST(no_such_name)
{
    struct run *r;

    open_fixture(NULL);
    fixture_config_at(&fx, "https://fhir.invalid", NULL);
    r = fixture_run(&fx, BY_RESOURCE);
    (void)check_failed(r, BCDA_ERR_RESOLVE, "fhir.invalid");
    ck_assert_int_eq(atomic_load(&lookups), 4);
    fixture_end(&fx);
}
END_TEST

/* ---- handshakes ---- */

/* During the TLS handshake, the server is silent or sends a byte now and then. The client's timeout
 * ends this handshake, and the next attempt succeeds. */
START_TEST(stalled_handshake)
{
    struct scripted_options o = {.tls = 1, .mute = _i == 0, .drip = _i == 1};
    struct run *r;

    open_fixture(&o);
    scripted_export(fx.server, fixture_files, 1);
    scripted_reply(fx.server, "/data/", "200 OK", "", LINES, sizeof LINES - 1);
    r = begin();
    fixture_until(&fx, scripted_connections(fx.server) > 0);
    fx.now += 29000;
    (void)fixture_step(&fx);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 0);
    fx.now += 1000;
    while (fixture_stat(&fx, BCDA_STAT_RETRIES) == 0)
        (void)fixture_step(&fx);
    fixture_finish(&fx);
    check_came(r);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 1);
    ck_assert_uint_eq(scripted_connections(fx.server), 5);
    close_servers();
}
END_TEST

START_TEST(handshake_never_ends)
{
    struct scripted_options o = {.tls = 1, .mute = _i == 0 ? 9 : 0, .drip = _i == 1 ? 9 : 0};
    struct run *r;

    open_fixture(&o);
    r = run_into_timeouts(fx.server, NULL);
    (void)check_failed(r, BCDA_ERR_CONNECT_TIMEOUT, "30000 ms");
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 0);
    close_servers();
}
END_TEST

/* Each connection after the first resumes the TLS session of an earlier one. */
START_TEST(resumed_sessions)
{
    struct scripted_options o = {.tls = 1, .tls12 = _i};
    struct run *r;

    open_fixture(&o);
    r = go();
    check_came(r);
    ck_assert_uint_eq(scripted_connections(fx.server), 4);
    ck_assert_uint_eq(scripted_resumed(fx.server), 3);
    close_servers();
}
END_TEST

/* ---- responses with the file that violate HTTP ---- */

#define OK_HEAD "HTTP/1.1 200 OK\r\nConnection: close\r\n"
#define LENGTH  "Content-Length: 74\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define CHUNKS  "25\r\n" LINE_0 "\r\n25\r\n" LINE_1 "\r\n0\r\n"
#define FOREVER 0

struct fault {
    const char *answer;
    unsigned times; /* number of such answers before a good one, or FOREVER */
    int code;
    unsigned requests; /* all requests for the file */
    size_t count;      /* resources delivered; on an error, at most so many */
};

static const struct fault faults[] = {
    /* the connection ends before, or within, the head */
    {"", 1, 0, 2, 2},
    {"", 7, 0, 8, 2},
    {"", FOREVER, BCDA_ERR_TRANSFER, 8, 0},
    {"HTTP/1.1 200", 1, 0, 2, 2},
    {OK_HEAD LENGTH, 1, 0, 2, 2},
    {OK_HEAD LENGTH, FOREVER, BCDA_ERR_TRUNCATED, 8, 0},
    {OK_HEAD, 1, 0, 2, 2},
    {OK_HEAD, FOREVER, BCDA_ERR_TRANSFER, 8, 0},
    {OK_HEAD CHUNKED, FOREVER, BCDA_ERR_TRUNCATED, 8, 0},
    /* no valid status line */
    {"nonsense\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {"HTTP/1.1 abc OK\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {"HTTP/1.1 20 OK\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {"HTTP/1.1 2000 OK\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {"HTTP/1.1 000 OK\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {"HTTP/1.1 -200 OK\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {"HTTP/1.1\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {"HTTP/7.1 200 OK\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {"ICY 200 OK\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {"nonsense\r\n\r\n" LINES, 1, 0, 2, 2},
    /* older servers, and interim responses before the final one */
    {"HTTP/1.0 200 OK\r\n" LENGTH "\r\n" LINES, FOREVER, 0, 1, 2},
    {"HTTP/1.1 200\r\n" LENGTH "\r\n" LINES, FOREVER, 0, 1, 2},
    {"HTTP/1.0 200 OK\r\n\r\n" LINES, FOREVER, BCDA_ERR_TRUNCATED, 9, 2},
    {"HTTP/1.1 100 Continue\r\n\r\n" OK_HEAD LENGTH "\r\n" LINES, FOREVER, 0, 1, 2},
    {"HTTP/1.1 103 Early\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\n"
     "HTTP/1.1 102 Wait\r\n" CHUNKED "\r\n" OK_HEAD LENGTH "\r\n" LINES,
     FOREVER, 0, 1, 2},
    {"HTTP/1.1 103 Early\r\n\r\n", FOREVER, BCDA_ERR_TRANSFER, 8, 0},
    /* Content-Length: too large, too small, given twice, or no number */
    {OK_HEAD "Content-Length: 75\r\n\r\n" LINES, 2, 0, 3, 2},
    {OK_HEAD "Content-Length: 75\r\n\r\n" LINES, FOREVER, BCDA_ERR_TRUNCATED, 9, 2},
    {OK_HEAD "Content-Length: 99999999999\r\n\r\n" LINES, FOREVER, BCDA_ERR_TRUNCATED, 9, 2},
    {OK_HEAD LENGTH "\r\n" LINES SURPLUS, FOREVER, 0, 1, 2},
    {OK_HEAD "Content-Length: 60\r\n\r\n" LINES, FOREVER, BCDA_ERR_LINE_CUT, 1, 1},
    {OK_HEAD "Content-Length: 0\r\n\r\n" LINES, FOREVER, 0, 1, 0},
    {OK_HEAD LENGTH LENGTH "\r\n" LINES, FOREVER, 0, 1, 2},
    {OK_HEAD "Content-Length: 37\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD LENGTH "Content-Length: 37\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length: 74, 37\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length: 74 37\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length: 74x\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length: 0x4a\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length: +74\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length: -74\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length: -1\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length: many\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length:\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length: 9223372036854775808\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length: 18446744073709551690\r\n\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Content-Length: 18446744073709551690\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_HTTP,
     8, 0},
    /* chunks */
    {OK_HEAD CHUNKED "\r\n" CHUNKS "\r\n", FOREVER, 0, 1, 2},
    {OK_HEAD CHUNKED "\r\n" CHUNKS "\r\n" SURPLUS, FOREVER, 0, 1, 2},
    {OK_HEAD CHUNKED "\r\n" CHUNKS "X-Trailer: " SURPLUS "\r\n\r\n", FOREVER, 0, 1, 2},
    {OK_HEAD CHUNKED "\r\n" CHUNKS "Content-Length: 37\r\n\r\n", FOREVER, 0, 1, 2},
    {OK_HEAD CHUNKED "\r\n25\r\n" LINE_0 "\r\n", FOREVER, BCDA_ERR_TRUNCATED, 9, 1},
    {OK_HEAD CHUNKED LENGTH "\r\n" CHUNKS "\r\n", FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD LENGTH CHUNKED "\r\n" CHUNKS "\r\n", FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD LENGTH CHUNKED "\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD CHUNKED CHUNKED "\r\n" CHUNKS "\r\n", FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n" CHUNKS "\r\n", FOREVER, BCDA_ERR_HTTP, 8,
     0},
    {OK_HEAD "Transfer-Encoding: xchunked\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_HTTP, 8, 0},
    {OK_HEAD "Transfer-Encoding: chunked, identity\r\n\r\n" CHUNKS "\r\n", FOREVER, BCDA_ERR_HTTP,
     8, 0},
    {OK_HEAD CHUNKED "\r\n10000000000000025\r\n" LINES, FOREVER, BCDA_ERR_TRANSFER, 8, 0},
    {OK_HEAD CHUNKED "\r\nFFFFFFFFFFFFFFFF\r\n" LINES, FOREVER, BCDA_ERR_TRANSFER, 8, 0},
    {OK_HEAD CHUNKED "\r\n7FFFFFFFFFFFFFFF\r\n" LINES, FOREVER, BCDA_ERR_TRUNCATED, 9, 2},
    {OK_HEAD CHUNKED "\r\n-25\r\n" LINES, FOREVER, BCDA_ERR_TRANSFER, 8, 0},
    {OK_HEAD CHUNKED "\r\nxyz\r\n" LINES, FOREVER, BCDA_ERR_TRANSFER, 8, 0},
    {OK_HEAD CHUNKED "\r\n25\r\n" LINES "0\r\n\r\n", FOREVER, BCDA_ERR_TRANSFER, 9, 1},
    /* statuses that never have a body */
    {"HTTP/1.1 204 None\r\nConnection: close\r\n\r\n" LINES, FOREVER, BCDA_ERR_STATUS, 1, 0},
    {"HTTP/1.1 204 None\r\nConnection: close\r\n" LENGTH "\r\n" LINES, FOREVER, BCDA_ERR_STATUS, 1,
     0},
    {"HTTP/1.1 304 Same\r\nConnection: close\r\n" LENGTH "\r\n", FOREVER, BCDA_ERR_STATUS, 1, 0},
    {"HTTP/1.1 304 Same\r\nConnection: close\r\n" CHUNKED "\r\n" CHUNKS "\r\n", FOREVER,
     BCDA_ERR_STATUS, 1, 0},
};

START_TEST(faulty_file)
{
    const struct fault *f = &faults[_i];
    struct run *r;
    size_t i;

    open_server();
    scripted_text(scripted_on(fx.server, "/data/", f->times), f->answer);
    r = go();
    ck_assert_msg(r->result == f->code, "%s (%s), not %s", bcda_error_name(r->result),
                  bcda_error_text(bcda_job_error(r->job)), bcda_error_name(f->code));
    if (f->code) {
        (void)check_failed(r, f->code, "");
        ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)), BCDA_VERDICT_FAILED);
        ck_assert_uint_le(r->count, f->count);
    } else {
        ck_assert_uint_eq(r->count, f->count);
        ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)), BCDA_VERDICT_COMPLETE);
    }
    for (i = 0; i < r->count; i++)
        ck_assert_str_eq(r->got[i].id, i ? "p1" : "p0");
    ck_assert_uint_eq(r->bad_count, 0);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), f->requests);
    close_servers();
}
END_TEST

/* In HTTP/1.x, the only version that this library requests, a body that just ends with the
 * connection may have been cut. From HTTP/2 on, the protocol marks the end of each body. */
static int http_major; /* version to report; 0 = the real one */
int __real_bcda__transfer_http_major(const struct bcda__transfer *t);
int __wrap_bcda__transfer_http_major(const struct bcda__transfer *t);

int __wrap_bcda__transfer_http_major(const struct bcda__transfer *t)
{
    int real = __real_bcda__transfer_http_major(t);

    ck_assert_int_eq(real, 1);
    return http_major ? http_major : real;
}

START_TEST(body_without_framing)
{
    static const char *const heads[] = {"HTTP/1.1 200 OK\r\n\r\n" LINES,
                                        "HTTP/1.0 200 OK\r\n\r\n" LINES};
    struct run *r;

    open_server();
    http_major = _i / 2 ? 1 + _i / 2 : 0;
    scripted_text(scripted_on(fx.server, "/data/", 0), heads[_i % 2]);
    r = go();
    if (http_major)
        check_came(r);
    else
        (void)check_failed(r, BCDA_ERR_TRUNCATED, "neither length nor end");
    close_servers();
}
END_TEST

/* ---- the same rules for JSON answers ---- */

struct json_fault {
    const char *match, *answer;
    int code;
};

/* 67 bytes */
#define TOKEN "{\"access_token\":\"tok.en\",\"token_type\":\"bearer\",\"expires_in\":\"1200\"}"

static const struct json_fault json_faults[] = {
    {"/auth/token", OK_HEAD "Content-Length: 67x\r\n\r\n" TOKEN, BCDA_ERR_HTTP},
    {"/auth/token", OK_HEAD "Content-Length: 67\r\nContent-Length: 3\r\n\r\n" TOKEN, BCDA_ERR_HTTP},
    {"/auth/token", OK_HEAD "Content-Length: 99\r\n\r\n" TOKEN, BCDA_ERR_TRUNCATED},
    {"/auth/token", OK_HEAD "Content-Length: 30\r\n\r\n" TOKEN, BCDA_ERR_NOT_JSON},
    {"/auth/token", "HTTP/1.1 204 None\r\n\r\n" TOKEN, BCDA_ERR_STATUS},
    {"$export", "HTTP/1.1 204 None\r\nContent-Length: 9\r\n\r\n", BCDA_ERR_STATUS},
    {"$export", "HTTP/1.1 202 Yes\r\nContent-Length: 9\r\n\r\n", BCDA_ERR_TRUNCATED},
    {"/jobs/1", OK_HEAD CHUNKED LENGTH "\r\n0\r\n\r\n", BCDA_ERR_HTTP},
    {"/jobs/1", "HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n", BCDA_ERR_STATUS},
};

START_TEST(faulty_json)
{
    const struct json_fault *f = &json_faults[_i];
    struct run *r;

    open_server();
    scripted_text(scripted_on(fx.server, f->match, 0), f->answer);
    r = go();
    (void)check_failed(r, f->code, "");
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 0);
    close_servers();
}
END_TEST

/* For an expired job, today's server sends two documents in one body (bcda-api 5.1). The first one
 * counts. */
START_TEST(two_documents)
{
    static const char body[] =
        "{\"issue\":[{\"code\":\"not-found\",\"diagnostics\":\"Job not found\",\"severity\":"
        "\"error\"}],\"resourceType\":\"OperationOutcome\"}{\"issue\":[{\"code\":\"processing\","
        "\"diagnostics\":\"Job expired\",\"severity\":\"error\"}],\"resourceType\":"
        "\"OperationOutcome\"}";
    const bcda_error *e;
    struct run *r;

    open_server();
    scripted_reply(fx.server, _i ? "/data/" : "/jobs/1", "404 Not Found",
                   "Content-Type: application/fhir+json\r\n", body, sizeof body - 1);
    r = go();
    e = check_failed(r, BCDA_ERR_NOT_FOUND, "404");
    ck_assert_str_eq(bcda_error_server_text(e), "Job not found");
    ck_assert_int_eq(bcda_error_http_status(e), 404);
    close_servers();
}
END_TEST

/* In one body, a token answer is followed by another one, or a manifest by another one. The client
 * uses neither of the two. */
START_TEST(two_answers)
{
    static const struct scripted_entry other[] = {{"Coverage", "/data/other.ndjson", NULL, 0}};
    struct buf body = {0};
    struct run *r;

    open_server();
    if (_i) {
        scripted_manifest(fx.server, &body, fixture_files, 1);
        scripted_manifest(fx.server, &body, other, 1);
    } else {
        buf_str(&body, TOKEN "{\"access_token\":\"other\",\"token_type\":\"bearer\"}");
    }
    scripted_reply(fx.server, _i ? "/jobs/1" : "/auth/token", "200 OK", "", body.p, body.len);
    r = go();
    (void)check_failed(r, BCDA_ERR_NOT_JSON, _i ? "behind the end" : "one JSON document");
    ck_assert_uint_eq(scripted_count(fx.server, "Authorization: Bearer "), _i ? 2 : 0);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 0);
    buf_free(&body);
    close_servers();
}
END_TEST

/* A gateway in front of the server answers with an HTML page. */
struct page {
    const char *match, *status;
    int code;
    const char *hint;
    unsigned attempts;
};

static const struct page pages[] = {
    {"/auth/token", "403 Forbidden", BCDA_ERR_FORBIDDEN, "address", 1},
    {"$export", "403 Forbidden", BCDA_ERR_FORBIDDEN, "403", 1},
    {"/jobs/1", "403 Forbidden", BCDA_ERR_FORBIDDEN, "address", 1},
    {"/data/", "403 Forbidden", BCDA_ERR_FORBIDDEN, "address", 1},
    {"/auth/token", "502 Bad Gateway", BCDA_ERR_SERVER, "gateway", 8},
    {"$export", "502 Bad Gateway", BCDA_ERR_SERVER, "gateway", 8},
    {"/jobs/1", "502 Bad Gateway", BCDA_ERR_SERVER, "gateway", 8},
    {"/data/", "502 Bad Gateway", BCDA_ERR_SERVER, "gateway", 8},
};

START_TEST(html_page)
{
    static const char html[] = "<html><body><h1>Access denied</h1>Call 0123456789012</body></html>";
    const struct page *p = &pages[_i];
    const bcda_error *e;
    struct run *r;

    open_server();
    scripted_reply(fx.server, p->match, p->status, "Content-Type: text/html\r\n", html,
                   sizeof html - 1);
    r = go();
    e = check_failed(r, p->code, p->hint);
    ck_assert_str_eq(bcda_error_server_text(e), "");
    ck_assert_int_eq(bcda_error_http_status(e), (int)strtol(p->status, NULL, 10));
    ck_assert_uint_eq(scripted_count(fx.server, p->match), p->attempts);
    ck_assert_uint_eq(r->count, 0);
    close_servers();
}
END_TEST

/* ---- headers ---- */

enum { HEADERS_MAX = 4096 };

/* Adds a response head of `size` bytes, filled up with header lines of at most `line` bytes. */
static void add_head(struct buf *b, size_t size, size_t line)
{
    size_t left;

    buf_str(b, OK_HEAD LENGTH);
    while (b->len < size - 2) {
        left = size - 2 - b->len;
        if (left > line)
            left = left - line < 6 ? line - 6 : line; /* leaves room for a last line "x: \r\n" */
        buf_str(b, "x: ");
        buf_fill(b, 'y', left - 5);
        buf_str(b, "\r\n");
    }
    buf_str(b, "\r\n");
    ck_assert_uint_eq(b->len, size);
}

/* Heads of one byte less than the limit, of exactly the limit and of one byte more; filled up by
 * one long line, or by lines of 50 bytes. */
START_TEST(headers_max)
{
    int more = _i / 2 - 1;
    struct buf b = {0};
    struct run *r;

    open_server();
    fixture_set(&fx, BCDA_OPT_HEADERS_MAX, HEADERS_MAX);
    add_head(&b, (size_t)(HEADERS_MAX + more), _i % 2 ? 50 : HEADERS_MAX);
    buf_str(&b, LINES);
    scripted_send(scripted_on(fx.server, "/data/", 0), b.p, b.len);
    r = go();
    if (more > 0)
        (void)check_failed(r, BCDA_ERR_HEADERS_TOO_LARGE, "4096");
    else
        check_came(r);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 1);
    buf_free(&b);
    close_servers();
}
END_TEST

/* libcurl accepts no header line over 100 KiB, whatever BCDA_OPT_HEADERS_MAX says. */
START_TEST(long_header_line)
{
    struct buf b = {0};
    struct run *r;

    open_server();
    fixture_set(&fx, BCDA_OPT_HEADERS_MAX, 1024 * 1024);
    add_head(&b, _i ? 200 * 1024 : 99 * 1024, 1024 * 1024);
    buf_str(&b, LINES);
    scripted_send(scripted_on(fx.server, "/data/", 0), b.p, b.len);
    r = go();
    if (_i)
        (void)check_failed(r, BCDA_ERR_HEADERS_TOO_LARGE, "line");
    else
        check_came(r);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 1);
    buf_free(&b);
    close_servers();
}
END_TEST

/* Heads that never end. The server keeps the connection open, and the limit on headers ends the
 * transfer. */
static const char *const endless[][2] = {
    {OK_HEAD LENGTH, "X-More: of the same\r\n"},
    {OK_HEAD LENGTH "X-Long: ", "and so on "},
    {"HTTP/1.1 ", "9"},
    {"", "HTTP/1.1 100 Continue\r\n\r\n"},
    {"", "HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n"},
    {OK_HEAD CHUNKED "\r\n" CHUNKS, "X-Trailer: more\r\n"},
};

START_TEST(endless_head)
{
    struct scripted_answer *a;
    struct buf b = {0};
    struct run *r;

    open_server();
    a = scripted_on(fx.server, "/data/", 0);
    while (b.len < (1 << 20))
        buf_str(&b, endless[_i][1]);
    scripted_text(a, endless[_i][0]);
    scripted_send(a, b.p, b.len);
    scripted_finish(a, SCRIPTED_STAY);
    r = go();
    (void)check_failed(r, BCDA_ERR_HEADERS_TOO_LARGE, "");
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 1);
    buf_free(&b);
    close_servers();
}
END_TEST

SUITE("transport")
{
    suite_case("tls");
    suite_loop(server_certificate, 0, LEN(named));
    suite_loop(other_authority, 0, 3);
    suite_loop(no_tls_there, 0, 2 * LEN(greetings));
    suite_loop(broken_handshake, 0, 2);
    suite_loop(alerted, 0, LEN(alerts));
    suite_loop(missing_file, 0, 3);
    suite_loop(client_certificate, 0, 2 * LEN(clients));
    suite_loop(stalled_handshake, 0, 2);
    suite_loop(handshake_never_ends, 0, 2);
    suite_loop(resumed_sessions, 0, 2);
    suite_case("descriptors");
    suite_loop(no_descriptors, 0, 5);
    suite_test(no_descriptors_for_a_name);
    suite_case("proxy");
    suite_loop(through_a_proxy, 0, 2);
    suite_loop(who_is_proxied, 0, 2);
    suite_loop(refusing_proxy, 0, LEN(refusals));
    suite_test(proxy_mends);
    suite_loop(no_proxy_there, 0, 2);
    suite_loop(proxy_url_is_not_shown, 0, 3);
    suite_loop(silent_proxy, 0, 2);
    suite_loop(environment, 0, 2);
    suite_case("names");
    suite_loop(cancel_while_looking_up, 0, 4);
    suite_loop(free_while_looking_up, 0, 4);
    suite_loop(lookup_takes_too_long, 0, 4);
    suite_test(no_such_name);
    suite_case("http");
    suite_loop(faulty_file, 0, LEN(faults));
    suite_loop(body_without_framing, 0, 6);
    suite_loop(faulty_json, 0, LEN(json_faults));
    suite_loop(two_documents, 0, 2);
    suite_loop(two_answers, 0, 2);
    suite_loop(html_page, 0, LEN(pages));
    suite_loop(headers_max, 0, 6);
    suite_loop(long_header_line, 0, 2);
    suite_loop(endless_head, 0, LEN(endless));
}
