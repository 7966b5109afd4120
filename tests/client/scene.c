#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE = 100 }; /* quiet turns of 0.2 s, before something is called stuck */

static struct scripted *to_stop;

static void stop_at_exit(void)
{
    scripted_stop(to_stop);
    to_stop = NULL;
}

static int64_t read_clock(void *ctx)
{
    return ((struct harness *)ctx)->now;
}

static void on_log(int level, const char *component, const char *message, void *userdata)
{
    (void)level;
    (void)component;
    harness_check_text(userdata, message);
}

/* Starts the server; what it says is added next. */
void scene_open(struct scene *c, int tls)
{
    memset(c, 0, sizeof *c);
    c->h.now = 1700000000000;
    c->h.stay = 1; /* the harness would wait for files of its sandbox: we move the clock */
    c->s = scripted_start(tls);
    ck_assert_ptr_nonnull(c->s);
    to_stop = c->s;
    atexit(stop_at_exit);
}

bcda_config *scene_config(struct scene *c)
{
    bcda_config *config;
    char url[128];

    snprintf(url, sizeof url, "%s/api/v1", scripted_origin(c->s));
    ck_assert_int_eq(bcda_config_new(&config), 0);
    c->h.config = config;
    config->clock.now_ms = config->clock.wall_ms = read_clock;
    config->clock.ctx = &c->h;
    ck_assert_int_eq(bcda_config_set_fhir_url(config, url), 0);
    ck_assert_int_eq(bcda_config_set_client_credentials(config, "me", "a-secret"), 0);
    ck_assert_int_eq(bcda_config_set_log(config, BCDA_LOG_DEBUG, on_log, &c->h, NULL), 0);
    if (scripted_ca_file(c->s))
        ck_assert_int_eq(bcda_config_set_ca_file(config, scripted_ca_file(c->s)), 0);
    else
        ck_assert_int_eq(bcda_config_set_int(config, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1), 0);
    return config;
}

void scene_set(struct scene *c, int option, int64_t value)
{
    ck_assert_int_eq(bcda_config_set_int(c->h.config, option, value), 0);
}

void scene_key(struct scene *c)
{
    ck_assert_int_eq(bcda_config_add_private_key_file(c->h.config, scripted_key_file(c->s), NULL),
                     0);
}

void scene_session(struct scene *c)
{
    if (!c->h.config)
        scene_config(c);
    harness_session(&c->h);
    harness_export(&c->h, BCDA_LEVEL_PATIENT, NULL);
}

void scene_add_patients(struct buf *b, size_t first, size_t count)
{
    size_t i;

    for (i = first; i < first + count; i++)
        buf_printf(b, "{\"resourceType\":\"Patient\",\"id\":\"p%zu\",\"x\":\"%0100zu\"}\n", i, i);
}

void scene_reply_patients(struct scene *c, const char *match, size_t first, size_t count)
{
    struct buf b = {0};

    scene_add_patients(&b, first, count);
    scripted_reply(c->s, match, "200 OK", "", b.p, b.len);
    buf_free(&b);
}

const struct scripted_entry scene_files[2] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                              {"Patient", "/data/b.ndjson", NULL, 0}};

void scene_check_result(const struct run *r, int code)
{
    ck_assert_int_eq(r->done, 1);
    ck_assert_msg(r->result == code, "%s (%s), not %s", bcda_error_name(r->result),
                  bcda_error_text(bcda_job_error(r->job)), bcda_error_name(code));
}

void scene_check_patients(const struct run *r, size_t file, size_t first, size_t count)
{
    size_t i, seen = 0;
    char id[32];

    for (i = 0; i < r->count; i++) {
        if (r->got[i].file != file)
            continue;
        snprintf(id, sizeof id, "p%zu", first + seen++);
        ck_assert_str_eq(r->got[i].id, id);
    }
    ck_assert_uint_eq(seen, count);
}

void scene_export_many(struct scene *c, size_t n, const char *key_hex)
{
    struct scripted_entry *e = calloc(n, sizeof *e);
    char(*paths)[40] = calloc(n, sizeof *paths);
    size_t i;

    ck_assert(e && paths);
    for (i = 0; i < n; i++) {
        snprintf(paths[i], sizeof paths[i], "/data/%zu.ndjson", i);
        e[i].type = "Patient";
        e[i].path = paths[i];
        e[i].key_hex = key_hex;
    }
    scripted_export(c->s, e, n);
    free(paths);
    free(e);
}

void scene_close(struct scene *c)
{
    harness_end(&c->h);
    scripted_stop(c->s);
    c->s = to_stop = NULL;
}

/* One turn; where nothing comes and no transfer is open, the clock goes to the next timer. */
int scene_turn(struct scene *c)
{
    int64_t left;
    int quiet;

    for (quiet = 0; quiet < PATIENCE; quiet++) {
        if (harness_turn(&c->h))
            return 1;
        if (harness_stat(&c->h, BCDA_STAT_TRANSFERS) == 0)
            break;
    }
    left = bcda__session_next_timer_ms(c->h.session);
    if (quiet == PATIENCE || left < 0)
        return 0;
    c->h.now += left;
    return 1;
}

void scene_finish(struct scene *c)
{
    struct run *r;

    for (r = c->h.runs; r; r = r->next)
        scene_until(c, r->done);
    (void)harness_turn(&c->h); /* takes what the pull door still has */
}

struct run *scene_attach(struct scene *c, enum door door, const char *path, hook_fn hook, void *arg)
{
    char url[160];
    struct run *r;

    snprintf(url, sizeof url, "%s%s", scripted_origin(c->s), path);
    r = harness_attach(&c->h, door, url);
    r->hook = hook;
    r->arg = arg;
    return r;
}
