/* A session at a scripted server, on a clock that goes to the next timer where nothing is under
 * way. What the server says is added between scene_open() and scene_session(). */
#ifndef BCDA_TESTS_SCENE_H
#define BCDA_TESTS_SCENE_H

#include "harness.h"
#include "scripted.h"

struct scene {
    struct harness h;
    struct scripted *s;
};

void scene_open(struct scene *c, int tls); /* starts the server */
bcda_config *scene_config(struct scene *c);
void scene_set(struct scene *c, int option, int64_t value); /* of the config */
void scene_key(struct scene *c);                            /* the server's, to the config */
void scene_session(struct scene *c); /* of the config, or of a usual one; exports Patient */
/* Patients p<first>, p<first + 1> and so on, a line each. */
void scene_add_patients(struct buf *b, size_t first, size_t count);
void scene_reply_patients(struct scene *c, const char *match, size_t first, size_t count);
/* Two entries: /data/a.ndjson and /data/b.ndjson, both of Patient and not encrypted. */
extern const struct scripted_entry scene_files[2];
/* The job is done with this code. */
void scene_check_result(const struct run *r, int code);
/* The resources of this file are those of scene_add_patients(), each once and in order. */
void scene_check_patients(const struct run *r, size_t file, size_t first, size_t count);
/* A job that is done at once with so many files, /data/0.ndjson and so on. */
void scene_export_many(struct scene *c, size_t n, const char *key_hex);
/* One turn; 0: nothing comes any more. */
int scene_turn(struct scene *c);
void scene_finish(struct scene *c); /* until every run is done */
void scene_close(struct scene *c);
struct run *scene_attach(struct scene *c, enum door door, const char *path, hook_fn hook,
                         void *arg);

#define scene_until(scene, condition)                                              \
    do {                                                                           \
        while (!(condition))                                                       \
            ck_assert_msg(scene_turn(scene), "stuck before this: %s", #condition); \
    } while (0)

#endif
