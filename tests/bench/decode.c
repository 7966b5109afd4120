/* Decodes stored files from disk in THREADS threads, each file with a decoder of its own, and
 * prints what that cost:
 *
 *     "<resources> <bytes> <wall seconds> <CPU seconds> <peak KiB>"
 *
 * Usage: bench-decode THREADS FORM FILE[=WRAPPED_KEY]... (FORM: plain, gzip or encrypted). */
#include <bcda/bcda.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "peak.h"

/* Bytes per read from disk. The library gets at most this many from one read from the network. */
enum { RUN = 128 * 1024 };

struct work {
    bcda_config *config;
    const char *form;
    char **files;
    int count;
    atomic_int next;
    atomic_int failed;
    atomic_llong resources, bytes;
};

struct sums {
    long long resources, bytes;
};

static int on_resource(bcda_job *job, const bcda_resource *resource, void *userdata)
{
    struct sums *sums = userdata;
    size_t len;

    (void)job;
    (void)bcda_resource_json(resource, &len);
    sums->bytes += (long long)len;
    sums->resources += strcmp(bcda_resource_type(resource), "ExplanationOfBenefit") == 0;
    return BCDA_CONTINUE;
}

static int feed(bcda_decoder *d, const char *path)
{
    char *block = malloc(RUN);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;
    int rc = 0;

    while (block && fd >= 0 && !rc && (n = read(fd, block, RUN)) > 0)
        rc = bcda_decoder_write(d, block, (size_t)n);
    if (!rc)
        rc = n < 0 ? BCDA_ERR_IO : bcda_decoder_finish(d);
    if (fd >= 0)
        close(fd);
    free(block);
    return rc;
}

static int decode(const struct work *w, char *spec, struct sums *sums)
{
    char *equals = strchr(spec, '='), *name;
    bcda_handlers *handlers = NULL;
    bcda_decoder *d = NULL;
    int rc;

    if (equals)
        *equals = '\0';
    name = strrchr(spec, '/');
    rc = bcda_handlers_new(&handlers);
    if (!rc)
        rc = bcda_handlers_on_resource(handlers, on_resource, sums, NULL);
    if (!rc)
        rc = bcda_decoder_new(&d, w->config, handlers);
    if (!rc && strcmp(w->form, "encrypted") == 0)
        rc = bcda_decoder_set_wrapped_key(d, equals ? equals + 1 : "", name ? name + 1 : spec);
    if (!rc)
        rc = bcda_decoder_set_gzip(d, strcmp(w->form, "gzip") == 0);
    if (!rc)
        rc = feed(d, spec);
    bcda_decoder_free(d);
    bcda_handlers_free(handlers);
    return rc;
}

static void *run(void *ctx)
{
    struct work *w = ctx;
    struct sums sums = {0};
    int i, rc;

    while ((i = atomic_fetch_add(&w->next, 1)) < w->count) {
        rc = decode(w, w->files[i], &sums);
        if (rc) {
            fprintf(stderr, "bench-decode: %s\n", bcda_error_string(rc));
            atomic_store(&w->failed, 1);
        }
    }
    atomic_fetch_add(&w->resources, sums.resources);
    atomic_fetch_add(&w->bytes, sums.bytes);
    return NULL;
}

int main(int argc, char **argv)
{
    struct work w = {0};
    pthread_t threads[16];
    double wall, cpu;
    int i, count = argc > 3 ? atoi(argv[1]) : 0;

    if (count < 1 || count > 16)
        return 2;
    w.form = argv[2];
    w.files = argv + 3;
    w.count = argc - 3;
    if (bcda_global_init(0) || bcda_config_new(&w.config) ||
        bcda_config_add_private_key_file(w.config, bench_need("BCDA_PRIVATE_KEY"), NULL))
        return 1;
    wall = bench_wall();
    cpu = bench_cpu();
    for (i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, run, &w))
            return 1;
    for (i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("%lld %lld %.6f %.6f %ld\n", atomic_load(&w.resources), atomic_load(&w.bytes),
           bench_wall() - wall, bench_cpu() - cpu, peak_kib());
    bcda_config_free(w.config);
    bcda_global_cleanup();
    return atomic_load(&w.failed);
}
