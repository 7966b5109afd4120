/* Reads the state and the folder of earlier runs before an export begins. */
#include "export.h"

#include <stdlib.h>
#include <string.h>

static int other_export(const struct state *s, const char *what)
{
    complain("%s is of %s: give another --resume FILE, or remove it to start a new export", s->path,
             what);
    return -1;
}

/* Checks that the command line is for the same export as the --resume file. Otherwise the jobs of
 * that file cannot be resumed. */
static int check_same(const struct state *s, const struct args *a, const char *out,
                      const char *asks)
{
    if (s->out && out && strcmp(s->out, out) != 0)
        return other_export(s, "an export to another --out");
    if (s->complete >= 0)
        return 0;
    if (s->asks && strcmp(s->asks, asks) != 0)
        return other_export(s, "an export with another --level, --group or --type");
    if (s->replace != a->replace)
        return other_export(s, s->replace ? "an export with --replace"
                                          : "an export without --replace");
    return 0;
}

/* Gives up the jobs of an unfinished export whose staging folder is missing. The other files of
 * these jobs will be replaced. */
static int give_up_jobs(struct state *s)
{
    struct kept *k;
    size_t i;

    say("the files of the unfinished export are missing: a new export starts");
    *s->stage = '\0';
    for (k = s->jobs; k < s->jobs + s->count; k++) {
        for (i = 0; i < k->files.count; i++)
            if (!k->files.at[i].staged && ranges_add(&s->old, k->files.at[i].type,
                                                     k->files.at[i].first, k->files.at[i].last, 0))
                return -1;
        state_forget_job(k);
    }
    return 0;
}

/* Uses the staging folder that the --resume file names, and removes the data files in it that the
 * --resume file does not list. A kill can leave such files: a file that was not recorded yet, or
 * files of a job that was removed from the --resume file. */
static int resume_stage(struct state *s, struct folder *f)
{
    struct ranges staged = {0};
    int rc = folder_use_stage(f, s->stage);
    size_t i;
    size_t k;

    if (rc)
        return rc < 0 ? -1 : give_up_jobs(s);
    for (i = 0; !rc && i < s->count; i++)
        for (k = 0; !rc && k < s->jobs[i].files.count; k++) {
            const struct range *r = &s->jobs[i].files.at[k];

            if (r->staged)
                rc = ranges_add(&staged, r->type, r->first, r->last, 1);
        }
    if (!rc)
        rc = folder_trim_stage(f, &staged);
    ranges_free(&staged);
    return rc;
}

/* Uses the staging folder that the --resume file names. If it names none and this export replaces
 * files, creates one. */
static int open_stage(struct state *s, struct folder *f)
{
    if ((*s->stage && resume_stage(s, f)) || folder_tidy(f, s->stage))
        return -1;
    if (*s->stage || (!s->replace && !s->old.count))
        return 0;
    if (folder_stage(f, s->path))
        return -1;
    memcpy(s->stage, f->stage, sizeof s->stage);
    return 0;
}

int prepare_complete(struct state *s, struct folder *f)
{
    if (f && *f->stage) {
        if (folder_install(f, s->replace ? NULL : &s->old))
            return EXIT_FAILED; /* the next run in the directory does the rest */
    }
    state_remove(s);
    return s->complete;
}

/* Finishes an export whose files were all complete when the previous run ended, before it had done
 * the last steps. */
static int finish_earlier(struct state *s, struct folder *f)
{
    /* If the staging folder does not exist, folder_open() has moved its files. It cannot have been
     * removed, because no run removes a staging folder that a state names. */
    if (*s->stage && folder_use_stage(f, s->stage) < 0)
        return EXIT_FAILED;
    say("the export of the previous run is complete");
    return prepare_complete(s, f);
}

static void forget_counts(struct state *s)
{
    size_t i;

    for (i = 0; i < s->count; i++)
        if (s->jobs[i].saved)
            return;
    s->count = 0; /* no job to resume: determine the level again */
}

static int prepare_export(const struct args *a, struct state *s, struct folder *f, int *status)
{
    if (!state_is_used(s) && !a->add && !a->replace && folder_holds_data(f)) {
        complain("%s holds files of an earlier export: use --replace to replace them, --add to add "
                 "the new files to them, or another --out",
                 a->out);
        *status = EXIT_USAGE;
        return -1;
    }
    s->replace = a->replace;
    *status = EXIT_FAILED;
    if (open_stage(s, f))
        return -1;
    forget_counts(s);
    return 0;
}

static void replace_text_of(char **to, char *text)
{
    free(*to);
    *to = text;
}

int prepare(const struct args *a, struct state *s, struct folder *f, int *status)
{
    char *out = f ? realpath(a->out, NULL) : NULL;
    char *asks = request_text(&a->request);
    int rc = -1;

    *status = EXIT_FAILED;
    if (!asks)
        goto out;
    *status = EXIT_USAGE;
    if (state_is_used(s) && check_same(s, a, out, asks))
        goto out;
    if (s->complete >= 0) {
        *status = finish_earlier(s, f);
        goto out;
    }
    rc = f ? prepare_export(a, s, f, status) : 0;
    if (rc)
        goto out;
    replace_text_of(&s->out, out);
    replace_text_of(&s->asks, asks);
    return 0;
out:
    free(out);
    free(asks);
    return rc;
}
