/* Writes what exists on a day, for a comparison with what a client has (--dump-state). */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int dump_line(FILE *f, const struct buf *b)
{
    return fwrite(b->p, 1, b->len, f) == b->len && putc('\n', f) != EOF ? 0 : -1;
}

/* Writes all resources of a type that one person has. */
static int dump_person(const struct sandbox_options *o, const struct synth *synth,
                       const struct people *people, const char *type, unsigned person, FILE *f)
{
    bool eob = strcmp(type, "ExplanationOfBenefit") == 0;
    struct buf b = {0};
    char id[48];
    int result = 0;

    for (unsigned i = 0; !result && (!eob || i < o->claims) && synth_id(synth, type, person, i, id);
         i++) {
        unsigned day = people_changed(people, type, person, i);

        if (eob)
            synth_eob(synth, &b, person, i, day);
        else
            synth_other(synth, &b, type, person, i, day);
        result = dump_line(f, &b);
    }
    buf_free(&b);
    return result;
}

static int dump_type(const struct sandbox_options *o, const struct synth *synth,
                     const struct people *people, const char *type, const char *dir)
{
    char *path = xasprintf("%s/%s.ndjson", dir, type);
    FILE *f = fopen(path, "w");
    int result = f ? 0 : -1;

    for (unsigned p = 0; !result && p < people_count(people); p++)
        if (people_present(people, p))
            result = dump_person(o, synth, people, type, p, f);
    if (f && fclose(f))
        result = -1;
    if (result)
        sandbox_set_error("%s: %s", path, strerror(errno));
    free(path);
    return result;
}

int sandbox_dump_state(const struct sandbox_options *options, int version, const char *dir)
{
    struct sandbox_options o = options_complete(options);
    const struct era *era = era_find(options->era ? options->era : "2019-04");
    const char *const *types = era ? era_types(era, version) : NULL;
    struct people *people;
    struct synth *synth;
    int result = 0;

    if (!era || version < 1 || version > era->versions || !people_day_valid(&o, o.day)) {
        sandbox_set_error("there is no such era, version or day");
        return -1;
    }
    if (mkdir(dir, 0700) && errno != EEXIST) {
        sandbox_set_error("%s: %s", dir, strerror(errno));
        return -1;
    }
    people = people_new(&o, o.day);
    synth = synth_new(o.seed, version, era->envelope, era_patient_prefix(era));
    for (size_t i = 0; types[i] && !result; i++)
        result = dump_type(&o, synth, people, types[i], dir);
    synth_free(synth);
    free(people);
    return result;
}
