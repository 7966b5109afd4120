/* Timeouts: of a job, of a file that stalls, and of a connection attempt. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static struct fixture fx;

#define EOB "ExplanationOfBenefit"

START_TEST(job_timeout)
{
    struct sandbox_options options = {0};
    const bcda_error *e;
    int64_t start;
    struct run *r;

    options.polls = 100000;
    fixture_open_sandbox(&fx, &options);
    fixture_set(&fx, BCDA_OPT_JOB_TIMEOUT_MS, 90000);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
    start = fx.now;
    r = fixture_run(&fx, BY_RESOURCE);
    e = fixture_check_failed(r, BCDA_ERR_JOB_TIMEOUT);
    ck_assert_int_eq(fx.now - start, 90000);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "resumed by its status URL"));
    fixture_close(&fx);
}
END_TEST

/* The server stops sending in the middle of a file. */
START_TEST(stall)
{
    int64_t start;
    struct run *r;

    fixture_setup_one_file(&fx);
    fixture_fault(&fx, "stall");
    fixture_fault(&fx, "no-range"); /* the whole file is requested, and stalls at the same offset */
    start = fx.now;
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until_state(&fx, r, BCDA_JOB_DOWNLOADING);
    while (!r->done)
        fixture_stall(&fx, r, 1000);
    ck_assert_int_ge(fx.now - start, 60000);
    ck_assert_str_eq(bcda_error_file(fixture_check_failed(r, BCDA_ERR_STALLED)),
                     bcda_file_name(bcda_job_file(r->job, 0)));
    fixture_close(&fx);
}
END_TEST

/* A transfer that stalls is resumed with a range. */
START_TEST(stall_resumed)
{
    int64_t start;
    struct run *r;

    fixture_setup_one_file(&fx);
    fixture_fault(&fx, "stall*1");
    start = fx.now;
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until_state(&fx, r, BCDA_JOB_DOWNLOADING);
    fixture_stall(&fx, r, 1000);
    fixture_finish(&fx);
    fixture_check_export(r);
    ck_assert_int_ge(fx.now - start, 60000);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "range"), 1);
    fixture_close(&fx);
}
END_TEST

/* Makes a listening socket on which nothing is accepted: the kernel completes connections, but
 * nobody answers. Writes the URL of the socket to `url`. */
static int listen_deaf(char *url, size_t size)
{
    struct sockaddr_in a = {0};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(url, size, "https://127.0.0.1:%d/api/v1", ntohs(a.sin_port));
    return fd;
}

/* The TCP connection succeeds, but the TLS handshake is never answered. */
START_TEST(connect_timeout)
{
    struct sandbox_options options = {0};
    int64_t start;
    struct run *r;
    char url[80];
    int fd = listen_deaf(url, sizeof url);

    fixture_open_sandbox(&fx, &options);
    fixture_config(&fx);
    ck_assert_ok(bcda_config_set_fhir_url(fx.config, url));
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 2);
    fixture_session(&fx);
    fx.jump_open = 1;
    start = fx.now;
    r = fixture_run(&fx, BY_RESOURCE);
    (void)fixture_check_failed(r, BCDA_ERR_CONNECT_TIMEOUT);
    ck_assert_int_ge(fx.now - start, 2 * 30000);
    ck_assert_int_le(fx.now - start, 2 * 30000 + 1000);
    fixture_close(&fx);
    close(fd);
}
END_TEST

SUITE("timeouts")
{
    suite_case("timeouts");
    suite_test(job_timeout);
    suite_test(stall);
    suite_test(stall_resumed);
    suite_test(connect_timeout);
}
