/* bcda_decoder: decodes a file that the application downloaded earlier. */
#include "codec/decoder.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "bcda/decoder.h"
#include "bcda/session.h"
#include "client/config.h"
#include "client/deliver.h"
#include "client/export.h"

struct bcda_decoder {
    bcda_config *config;
    struct bcda_handlers handlers;
    struct bcda__field_set *fields;
    char *name;
    struct bcda__secret key; /* unset = not encrypted */
    const struct bcda__coding *coding;
    struct bcda__decoder *codec; /* created by the first write */
    struct bcda_error err;       /* error of the last call; code 0 = none */
    int code;                    /* the first failure, which all later calls return */
    int finished;
    int in_callback, closing;
    int64_t sum[BCDA__SUMS];
};

static int prepare_decoder(bcda_decoder *d, const bcda_config *config)
{
    int rc = config ? bcda__config_copy(&d->config, config) : bcda_config_new(&d->config);

    if (rc)
        return rc;
    d->name = bcda__strdup("file");
    if (!d->name || bcda__field_set_new(&d->fields))
        return BCDA_ERR_NOMEM;
    return 0;
}

static void destroy_decoder(bcda_decoder *d)
{
    bcda__decoder_free(d->codec);
    bcda__field_set_free(d->fields);
    bcda__handlers_drop(&d->handlers);
    bcda__secret_free(&d->key);
    bcda_config_free(d->config);
    bcda__free(d->name);
    bcda__free(d);
    bcda_global_cleanup();
}

/* Stores the error in the config, if there is one. */
static int refuse_new(bcda_config *config, int code, const char *why)
{
    return bcda__err_set(config ? &config->err : NULL, code, "%s", why);
}

int bcda_decoder_new(bcda_decoder **out, bcda_config *config, const bcda_handlers *handlers)
{
    bcda_decoder *d;
    int rc;

    if (!out)
        return refuse_new(config, BCDA_ERR_INVALID, "no place for the decoder was given");
    if (handlers && handlers->at[BCDA__ON_RESOURCE] && handlers->at[BCDA__ON_BATCH])
        return refuse_new(config, BCDA_ERR_INVALID, "on_resource and on_batch exclude each other");
    rc = bcda_global_init(0);
    if (rc)
        return refuse_new(config, rc, bcda_error_string(rc));
    d = bcda__calloc(1, sizeof *d);
    if (!d) {
        bcda_global_cleanup();
        return refuse_new(config, BCDA_ERR_NOMEM, "out of memory");
    }
    bcda__err_clear(&d->err);
    rc = prepare_decoder(d, config);
    if (rc) {
        destroy_decoder(d);
        return refuse_new(config, rc, bcda_error_string(rc));
    }
    bcda__handlers_copy(&d->handlers, handlers);
    *out = d;
    return 0;
}

void bcda_decoder_free(bcda_decoder *d)
{
    if (!d)
        return;
    if (d->in_callback)
        d->closing = 1;
    else
        destroy_decoder(d);
}

/* The checks of every function except the getters. `early` means that the function is allowed only
 * before the first write. */
static int check_decoder_call(bcda_decoder *d, int early)
{
    if (!d)
        return BCDA_ERR_INVALID;
    if (d->in_callback)
        return BCDA_ERR_REENTRANT;
    bcda__err_clear(&d->err);
    if (early && d->codec)
        return bcda__err_set(&d->err, BCDA_ERR_STATE,
                             "this is set before the first bytes of the file");
    return 0;
}

static int refuse_decoder_call(bcda_decoder *d, const char *why)
{
    return bcda__err_set(&d->err, BCDA_ERR_INVALID, "%s", why);
}

int bcda_decoder_set_name(bcda_decoder *d, const char *name)
{
    int rc = check_decoder_call(d, 1);
    char *copy;

    if (rc)
        return rc;
    if (!name)
        return refuse_decoder_call(d, "the name is missing");
    copy = bcda__strdup(name);
    if (!copy)
        return bcda__err_nomem(&d->err);
    bcda__free(d->name);
    d->name = copy;
    return 0;
}

int bcda_decoder_set_wrapped_key(bcda_decoder *d, const char *wrapped_key_hex, const char *label)
{
    int rc = check_decoder_call(d, 1);

    if (rc)
        return rc;
    if (!wrapped_key_hex || !label)
        return refuse_decoder_call(d, "the wrapped key or its label is missing");
    bcda__secret_free(&d->key);
    if (!*wrapped_key_hex || strcmp(wrapped_key_hex, "4e4f5f454e4352595054494f4e") == 0)
        return 0;
    if (bcda__secret_set(&d->key, NULL, BCDA__GCM_KEY))
        return bcda__err_nomem(&d->err);
    rc = bcda__config_unwrap(d->config, wrapped_key_hex, label, (uint8_t *)d->key.data, &d->err);
    if (rc)
        bcda__secret_free(&d->key);
    return rc;
}

int bcda_decoder_set_gzip(bcda_decoder *d, int is_gzip)
{
    int rc = check_decoder_call(d, 1);

    if (!rc)
        d->coding = is_gzip ? &bcda__coding_gzip : NULL;
    return rc;
}

int bcda_decoder_add_field(bcda_decoder *d, const char *path, int *out_index)
{
    int rc = check_decoder_call(d, 1);

    if (rc)
        return rc;
    rc = path && out_index ? bcda__field_set_add(d->fields, path, out_index) : BCDA_ERR_INVALID;
    if (rc == BCDA_ERR_NOMEM)
        return bcda__err_nomem(&d->err);
    return rc ? refuse_decoder_call(d, BCDA__FIELD_RULE) : 0;
}

/* ---- bytes ---- */

static int open_codec(bcda_decoder *d)
{
    const struct bcda__options *from = &d->config->options;
    struct bcda__decoder_options o = {0};

    if (d->codec)
        return 0;
    o.name = d->name;
    o.coding = d->coding;
    o.key = (const uint8_t *)d->key.data;
    o.line_max = (size_t)bcda__option(from, BCDA_OPT_LINE_MAX);
    o.depth_max = (int)bcda__option(from, BCDA_OPT_JSON_DEPTH_MAX);
    o.batch_size = (size_t)bcda__option(from, BCDA_OPT_BATCH_SIZE);
    o.fields = d->fields;
    o.yajl_only = !bcda__option(from, BCDA_OPT_SCANNER);
    return bcda__decoder_new(&d->codec, &o, &d->err);
}

static void enter_decoder_callback(void *ctx)
{
    ((bcda_decoder *)ctx)->in_callback++;
}

static void leave_decoder_callback(void *ctx)
{
    ((bcda_decoder *)ctx)->in_callback--;
}

static void count_decoded(void *ctx, enum bcda__sum sum, int64_t n)
{
    ((bcda_decoder *)ctx)->sum[sum] += n;
}

static int is_decoder_stopped(void *ctx)
{
    return ((bcda_decoder *)ctx)->closing;
}

static int deliver_batch(bcda_decoder *d)
{
    struct bcda__delivery to = {0};
    struct bcda__cursor cursor = {0};
    struct bcda_batch *batch;
    int rc, line_failed;

    if (!bcda__decoder_has_batch(d->codec))
        return 0;
    rc = bcda__decoder_take(d->codec, &batch);
    if (rc)
        return bcda__err_set(&d->err, rc, "%s: %s", d->name, bcda_error_string(rc));
    batch->name = d->name;
    to.handlers = &d->handlers;
    to.bad_max = bcda__option(&d->config->options, BCDA_OPT_BAD_LINES_MAX);
    to.bad_lines = &d->sum[BCDA__SUM_BAD_LINES];
    to.count = count_decoded;
    to.interrupted = is_decoder_stopped;
    to.enter = enter_decoder_callback;
    to.leave = leave_decoder_callback;
    to.ctx = d;
    rc = bcda__deliver(&to, batch, &cursor, &line_failed, &d->err);
    if (line_failed)
        rc = bcda__decoder_refuse_line(d->codec, &d->err);
    batch->name = ""; /* the application may keep the batch after the decoder is freed */
    bcda__decoder_give_back(d->codec, batch);
    return rc;
}

/* If a callback freed the decoder, that takes effect here, when the outermost call returns. */
static int unwind_decoder(bcda_decoder *d, int rc)
{
    if (rc)
        d->code = rc;
    if (d->closing)
        destroy_decoder(d);
    return rc;
}

static int begin_decoder(bcda_decoder *d)
{
    int rc = check_decoder_call(d, 0);

    if (rc)
        return rc;
    if (d->code) /* the first failure is permanent */
        return bcda__err_set(&d->err, d->code, "%s: %s", d->name, bcda_error_string(d->code));
    if (d->finished)
        return bcda__err_set(&d->err, BCDA_ERR_STATE, "the file is finished");
    return open_codec(d);
}

/* The file has failed, but the valid lines before the failure are still delivered. Returns the code
 * of the failure, or of the delivery if that failed. */
static int give_good(bcda_decoder *d, int code)
{
    struct bcda_error err;
    int rc;

    bcda__err_copy(&err, &d->err);
    rc = deliver_batch(d);
    if (rc)
        return rc; /* the delivery failed first: by the application, or at an invalid line */
    bcda__err_copy(&d->err, &err);
    return code;
}

int bcda_decoder_write(bcda_decoder *d, const void *data, size_t len)
{
    const uint8_t *p = data;
    size_t used;
    int rc;

    rc = check_decoder_call(d, 0);
    if (!rc && !data && len)
        return refuse_decoder_call(d, "the data is missing");
    if (!rc)
        rc = begin_decoder(d);
    if (rc)
        return rc;
    while (!rc && len) {
        rc = bcda__decoder_write(d->codec, p, len, &used, &d->err);
        p += used;
        len -= used;
        if (rc)
            rc = give_good(d, rc);
        else if (bcda__decoder_is_full(d->codec))
            rc = deliver_batch(d);
    }
    return unwind_decoder(d, rc);
}

int bcda_decoder_finish(bcda_decoder *d)
{
    int rc = begin_decoder(d);

    if (rc)
        return rc;
    while ((rc = bcda__decoder_finish(d->codec, &d->err)) == BCDA_ERR_AGAIN &&
           !(rc = deliver_batch(d)))
        ;
    if (rc) {
        rc = give_good(d, rc);
    } else {
        d->finished = 1;
        rc = deliver_batch(d);
    }
    return unwind_decoder(d, rc);
}

const bcda_error *bcda_decoder_error(const bcda_decoder *d)
{
    return d && d->err.code ? &d->err : NULL;
}

int64_t bcda_decoder_resources(const bcda_decoder *d)
{
    return d ? d->sum[BCDA__SUM_RESOURCES] : 0;
}

int64_t bcda_decoder_bad_lines(const bcda_decoder *d)
{
    return d ? d->sum[BCDA__SUM_BAD_LINES] : 0;
}

int64_t bcda_decoder_bytes(const bcda_decoder *d)
{
    return d && d->codec ? bcda__decoder_bytes(d->codec) : 0;
}
