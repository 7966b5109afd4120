/*
 * bcda/decoder.h - decodes a file that was already downloaded, without a session. Include
 * <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_DECODER_H
#define BCDA_DECODER_H

#include <bcda/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Takes the bytes of one file as the server stores it, in pieces of any size, and passes its
 * resources to on_resource or on_batch, and its invalid lines to on_bad_line, of `handlers`. The
 * `job` argument of these callbacks is NULL; the other handlers are not used. Callbacks run inside
 * _write and _finish, on the calling thread. If one returns BCDA_PAUSE, the call fails with
 * BCDA_ERR_CALLBACK.
 *
 * Thread: owner, for all functions; different decoders are independent. From callbacks: only the
 * getters; _write, _finish and the setters give BCDA_ERR_REENTRANT; _free inside a callback of the
 * same decoder is deferred. Since 0.1.
 */

/*
 * `config` gives the private keys and limits; it is copied, may be NULL, and needs no URL. If
 * `handlers` is NULL, the file is only checked. Errors: BCDA_ERR_INVALID (`out` is NULL, or
 * `handlers` has both on_resource and on_batch); BCDA_ERR_LIBRARY; BCDA_ERR_NOMEM.
 * bcda_config_error(config) says more.
 */
BCDA_API int bcda_decoder_new(bcda_decoder **out, bcda_config *config,
                              const bcda_handlers *handlers);
BCDA_API void bcda_decoder_free(bcda_decoder *decoder);

/* Sets the name of the file in error texts. It is copied. Default: "file". Errors: BCDA_ERR_STATE
 * (called after the first _write); BCDA_ERR_INVALID (an argument is NULL); BCDA_ERR_NOMEM. */
BCDA_API int bcda_decoder_set_name(bcda_decoder *decoder, const char *name);

/*
 * Sets the key of an encrypted file (bcda-api 7.1). In the manifest, `wrapped_key_hex` is the
 * file's `encryptedKey` or its entry in `KeyMap`. `label` is the file's name in its URL, whatever
 * its local name is. If `wrapped_key_hex` is 4e4f5f454e4352595054494f4e ("NO_ENCRYPTION") or "",
 * the file is not encrypted. Errors: BCDA_ERR_STATE (called after the first _write);
 * BCDA_ERR_KEY_MISSING (the config has no private key); BCDA_ERR_KEY_VALUE; BCDA_ERR_KEY_UNWRAP;
 * BCDA_ERR_KEY_LABEL; BCDA_ERR_INVALID; BCDA_ERR_NOMEM; BCDA_ERR_LIBRARY.
 */
BCDA_API int bcda_decoder_set_wrapped_key(bcda_decoder *decoder, const char *wrapped_key_hex,
                                          const char *label);

/* Sets whether the bytes are gzip (1) or not (0). Errors: BCDA_ERR_STATE (called after the first
 * _write); BCDA_ERR_INVALID (`decoder` is NULL). */
BCDA_API int bcda_decoder_set_gzip(bcda_decoder *decoder, int is_gzip);

/* Does the same as bcda_export_add_field(), with the same errors, and BCDA_ERR_STATE if called
 * after the first _write. */
BCDA_API int bcda_decoder_add_field(bcda_decoder *decoder, const char *path, int *out_index);

/*
 * Decodes the next bytes of the file. What is delivered is provisional
 * (bcda_resource_is_provisional()) until _finish. Errors: BCDA_ERR_GZIP; BCDA_ERR_STOPPED;
 * BCDA_ERR_CALLBACK; BCDA_ERR_BAD_LINES or a BCDA_ERR_LINE_* (more invalid lines than
 * BCDA_OPT_BAD_LINES_MAX; for an encrypted or gzip file only _finish returns these, after the
 * checks of the whole file); BCDA_ERR_STATE (after _finish); BCDA_ERR_INVALID (`decoder` is NULL,
 * or `data` and `len` is not 0); BCDA_ERR_LIBRARY; BCDA_ERR_NOMEM; BCDA_ERR_REENTRANT. After an
 * error in the file, every later call returns the same error.
 */
BCDA_API int bcda_decoder_write(bcda_decoder *decoder, const void *data, size_t len);

/*
 * Ends the file. BCDA_OK: the file is complete and unaltered, as far as its format allows a check.
 * Otherwise everything that was delivered is void. Errors: BCDA_ERR_GZIP_CUT,
 * BCDA_ERR_CIPHER_SHORT, BCDA_ERR_TAG, BCDA_ERR_LINE_CUT, and those of _write. A second call
 * returns the same code.
 */
BCDA_API int bcda_decoder_finish(bcda_decoder *decoder);

/* Why the last call failed, for every code except BCDA_ERR_REENTRANT; NULL if it did not fail.
 * Valid until the next call. */
BCDA_API const bcda_error *bcda_decoder_error(const bcda_decoder *decoder);

/* Resources, invalid lines and decoded bytes so far; 0 if `decoder` is NULL. */
BCDA_API int64_t bcda_decoder_resources(const bcda_decoder *decoder);
BCDA_API int64_t bcda_decoder_bad_lines(const bcda_decoder *decoder);
BCDA_API int64_t bcda_decoder_bytes(const bcda_decoder *decoder); /* decoded */

#ifdef __cplusplus
}
#endif

#endif
