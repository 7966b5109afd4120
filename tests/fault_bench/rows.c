/* The rows of the table: every fault. */
#include "bench.h"

#define P  ON(PLAIN)
#define E  ON(ENCRYPTED)
#define G  ON(GZIP)
#define PE (P | E)

/* A fault that any response can have: one row each for the token, kick-off, status and file
 * requests. */
#define STAGES(name, spec)                                                                       \
    {name ", token", {spec "@token"}, 0, 0, 0}, {name ", kick-off", {spec "@kickoff"}, 0, 0, 0}, \
        {name ", status", {spec "@status"}, 0, 0, 0},                                            \
    {                                                                                            \
        name ", file", {spec "@data"}, 0, 0, 0                                                   \
    }

/* The server answers 429 twice, with Retry-After: one row each for the token, kick-off, status and
 * file requests. The client's clock begins on 14 November 2023 at 22:13:20 (1700000000), which is
 * shortly before the dates in these rows. */
#define LATER(name, text)                                                               \
    {"429, " name ", token", {"token-429:0*2", "retry-after:" text}, 0, 0, 0},          \
        {"429, " name ", kick-off", {"kickoff-429:0*2", "retry-after:" text}, 0, 0, 0}, \
        {"429, " name ", status", {"status-429:0*2", "retry-after:" text}, 0, 0, 0},    \
    {                                                                                   \
        "429, " name ", file", {"data-429:0*2", "retry-after:" text}, 0, 0, 0           \
    }

/* Two rows: at this offset of the body the server once closes the connection, or once resets it. */
#define BROKEN(name, offset)                                              \
    {"body cut " name ", once", {"data-cut:" offset "*1"}, 0, 0, 0},      \
    {                                                                     \
        "body reset " name ", once", {"data-reset:" offset "*1"}, 0, 0, 0 \
    }

const struct row rows[] = {
    {"none", {NULL}, SHORT, 0, 0},

    /* ---- faults of every kind of request: token, kick-off, status, file ---- */
    STAGES("closed without an answer, 3 times", "reset*3"),
    STAGES("closed without an answer, always", "reset"),
    STAGES("502 with an HTML page, 3 times", "gateway*3"),
    STAGES("502 with an HTML page, always", "gateway"),
    STAGES("200,000 bytes of headers", "headers-huge:200000"),
    STAGES("280,000 bytes of headers", "headers-huge:280000"),
    STAGES("redirect to another origin", "redirect-elsewhere"),
    STAGES("redirect to http", "redirect-http"),
    STAGES("redirect to itself", "redirect-loop"),
    {"two JSON documents in one body, token", {"two-documents@token"}, 0, 0, 0},
    {"two JSON documents in one body, manifest", {"two-documents@status"}, 0, 0, 0},
    LATER("Retry-After absent", ""),
    LATER("Retry-After 0", "0"),
    LATER("Retry-After 1", "1"),
    LATER("Retry-After 90", "90"),
    LATER("Retry-After a date", "Tue, 14 Nov 2023 22:20:00 GMT"),
    LATER("Retry-After in seconds since 1970", "1700000300"),
    LATER("Retry-After in milliseconds since 1970", "1700000300000"),
    LATER("Retry-After garbage", "in a while; -7"),
    {"a transient fault in every third answer, seed 1", {"random:1"}, SHORT, 0, 0},
    {"a transient fault in every third answer, seed 2", {"random:2"}, 0, 0, 0},
    {"a transient fault in every third answer, seed 3", {"random:3"}, 0, 0, 0},

    /* ---- token ---- */
    {"token: 500 once", {"token-500-once"}, 0, 0, 0},
    {"token: 500 always", {"token-500-once*1000"}, 0, 0, 0},
    {"token: 429 always", {"token-429:1*1000"}, 0, 0, 0},
    {"token: 200 with an HTML page", {"token-html"}, 0, 0, 0},
    {"token: no access_token", {"token-no-token"}, 0, 0, 0},
    {"token: expires_in is a number", {"token-number-expires"}, 0, 0, 0},
    {"token: lives 3 seconds", {"token-seconds:3"}, SHORT, 0, 0},
    {"token: good for one request", {"token-uses:1"}, 0, 0, 0},
    {"token: good for none", {"token-uses:0"}, 0, 0, 0},

    /* ---- discovery and token of a SMART server ---- */
    {"SMART: none", {NULL}, SMART | SHORT, 0, 0},
    {"SMART token: invalid_client", {"token-invalid-client"}, SMART, 0, 0},
    {"SMART token: invalid_client, with the assertion in its text",
     {"token-echo"},
     SMART | SHORT,
     0,
     0},
    {"SMART token: invalid_scope", {"token-invalid-scope"}, SMART, 0, 0},
    {"SMART token: ES384 is refused", {"token-refuse-alg:ES384"}, SMART, 0, 0},
    {"SMART token: redirect to another origin", {"token-redirect"}, SMART | SHORT, 0, 0},
    {"SMART token: 500 once", {"token-500-once"}, SMART, 0, 0},
    {"SMART token: good for one request", {"token-uses:1"}, SMART, 0, 0},
    {"SMART configuration: 200 with an HTML page", {"smart-configuration-html"}, SMART, 0, 0},
    {"SMART configuration: no token_endpoint",
     {"smart-configuration-no-token-endpoint"},
     SMART,
     0,
     0},
    {"SMART configuration: token_endpoint with http", {"smart-configuration-http"}, SMART, 0, 0},
    {"SMART configuration: 500 once", {"smart-configuration-500*1"}, SMART, 0, 0},
    {"SMART configuration: 500 always", {"smart-configuration-500"}, SMART, 0, 0},

    /* ---- kick-off ---- */
    {"kick-off: 401 once", {"kickoff-401-once"}, 0, 0, 0},
    {"kick-off: 401 always", {"kickoff-401-once*1000"}, 0, 0, 0},
    {"kick-off: 429, 1,000 times", {"kickoff-429:1*1000"}, 0, 0, 0},
    {"kick-off: 500 once", {"kickoff-500-once"}, 0, 0, 0},
    {"kick-off: 500 always", {"kickoff-500-once*1000"}, 0, 0, 0},
    {"kick-off: 404, no attribution data", {"kickoff-404"}, 0, 0, 0},
    {"kick-off: 200 with an HTML page", {"kickoff-html"}, 0, 0, 0},
    {"kick-off: no Content-Location", {"kickoff-no-location"}, 0, 0, 0},
    {"kick-off: Content-Location with http", {"location-http"}, 0, 0, 0},

    /* ---- status ---- */
    {"status: 401 once", {"status-401-once"}, 0, 0, 0},
    {"status: 401 always", {"status-401-once*1000"}, 0, 0, 0},
    {"status: 429 always", {"status-429:1*1000"}, 0, 0, 0},
    {"status: 500 once", {"status-500-once"}, 0, 0, 0},
    {"status: 500 always", {"status-500"}, 0, 0, 0},
    {"status: 503 always", {"status-503:1*1000"}, 0, 0, 0},
    {"status: 200 with an HTML page", {"status-html"}, 0, 0, 0},
    {"status: no output at first", {"manifest-null-output-once"}, 0, 0, 0},
    {"status: half a manifest", {"manifest-not-json"}, SHORT, 0, 0},
    {"status: a Bundle for a manifest", {"manifest-not-manifest"}, 0, 0, 0},
    {"status: Expires is no date", {"expires-not-date"}, 0, 0, 0},
    {"status: X-Progress is nonsense", {"progress:%n%s 9999999999%"}, 0, 0, 0},
    {"status: the job has failed", {"job-failed"}, 0, 0, 0},
    {"status: the job has expired", {"job-expired"}, 0, 0, 0},
    {"status: the job was cancelled", {"job-cancelled"}, 0, 0, 0},
    {"manifest: files at another origin", {"output-other-origin"}, 0, 0, 0},
    {"manifest: an error file", {"error-file"}, 0, 0, 0},
    {"manifest: deletions", {"deleted"}, SHORT | DELETES, 0, 0},
    {"manifest: deletions, the file is listed twice", {"deleted-twice"}, DELETES, 0, 0},
    {"manifest: deletions, the last line is cut in half", {"deleted-cut"}, SHORT | DELETES, 0, 0},
    {"manifest: deletions, line 2 is a Patient", {"deleted-invalid"}, SHORT | DELETES, 0, 0},
    {"manifest: another page", {"manifest-next-page"}, 0, 0, 0},
    {"manifest: names in upper case", {"upper-names"}, GENERATED, 0, 0},

    /* ---- the response with the file ---- */
    {"file: 401 once", {"data-401-once"}, 0, 0, 0},
    {"file: 401 always", {"data-401-once*1000"}, 0, 0, 0},
    {"file: 401 in the middle", {"data-cut:50%*1", "data-401-once*1+1"}, 0, 0, 0},
    {"file: 401 from the middle on", {"data-cut:50%*1", "data-401-once*1000+1"}, SHORT, 0, 0},
    {"file: 404 once", {"data-404-once"}, 0, 0, 0},
    {"file: 404 always", {"data-404"}, 0, 0, 0},
    {"file: 404 from the middle on", {"data-cut:50%*1", "data-404+1"}, 0, 0, 0},
    {"file: 429 always", {"data-429:1*1000"}, 0, 0, 0},
    {"file: 500 always", {"data-500"}, 0, 0, 0},
    {"file: 500 from the middle on", {"data-cut:50%*1", "data-500+1"}, 0, 0, 0},
    {"file: 503 once", {"data-503-once"}, 0, 0, 0},
    {"file: 503 always", {"data-503-once*1000"}, 0, 0, 0},
    {"file: 200 with an HTML page", {"data-html"}, ALTERS, 0, 0},
    {"file: the job has expired", {"job-expired+3"}, 0, 0, 0},
    {"file: the job expires in the middle", {"data-cut:50%*1", "job-expires-after:1"}, 0, 0, 0},

    /* ---- response bodies that end early ---- */
    BROKEN("before its first byte", "0"),
    BROKEN("behind 1 byte", "1"),
    BROKEN("inside the gzip header", "9"),
    BROKEN("behind the nonce", "12"),
    BROKEN("behind 27 bytes", "27"),
    BROKEN("behind 28 bytes", "28"),
    BROKEN("in the middle", "50%"),
    BROKEN("before the last 17 bytes", "-17"),
    BROKEN("before the tag", "-16"),
    BROKEN("before the gzip trailer", "-8"),
    BROKEN("before its last byte", "-1"),
    {"body cut before its first byte, always", {"data-cut:0"}, 0, 0, 0},
    {"body cut in the middle, always", {"data-cut:50%", "no-range"}, SHORT, 0, 0},
    {"body reset in the middle, always", {"data-reset:50%", "no-range"}, 0, 0, 0},
    {"body cut before its last byte, always", {"data-cut:-1", "no-range"}, SHORT, 0, 0},
    {"body cut every 20,000 bytes", {"data-cut:20000"}, 0, 0, 0},
    {"body stalls in the middle, once", {"stall*1"}, WAITS, 0, 0},
    {"body stalls in the middle, always", {"stall", "no-range"}, WAITS, 0, 0},
    {"body drips, once", {"slow:4*1"}, WAITS, 0, 0},
    {"chunked without end, once", {"chunked-no-end*1"}, 0, 0, 0},
    {"chunked without end, always", {"chunked-no-end", "no-range"}, SHORT, 0, 0},
    {"body cut behind line 10, once", {"data-cut-lines:10*1"}, SHORT, PE, 0},
    {"body cut behind line 10, always", {"data-cut-lines:10", "no-range"}, SHORT, PE, 0},
    {"chunked, cut behind line 10, always",
     {"chunked-no-end", "data-cut-lines:10", "no-range"},
     0,
     PE,
     0},
    {"neither length nor chunks", {"length-none"}, 0, 0, 0},
    {"neither length nor chunks, cut behind line 10, always",
     {"length-none", "data-cut-lines:10", "no-range"},
     0,
     PE,
     0},
    {"neither length nor chunks, cut in the middle, always",
     {"length-none", "data-cut:50%", "no-range"},
     0,
     0,
     0},
    {"Content-Length 10 too long, once", {"length-more:10*1"}, 0, PE, 0},
    {"Content-Length 10 too long, always", {"length-more:10"}, 0, PE, 0},
    {"Content-Length by a proxy", {"buffered"}, 0, G, 0},
    {"Content-Length by a proxy, cut in the middle", {"buffered", "data-cut:50%*1"}, 0, G, 0},
    {"Content-Length by a proxy, cut before the last stored byte",
     {"buffered", "data-cut:-1*1"},
     0,
     G,
     0},
    {"Content-Length by a proxy, cut behind the stored file",
     {"buffered", "data-cut:100%*1"},
     0,
     G,
     0},
    {"Content-Length 1 too short", {"length-less:1"}, 0, PE, 0},
    {"Content-Length 1,000 too short", {"length-less:1000"}, SHORT, PE, 0},

    /* ---- downloads that the client resumes with a Range request ---- */
    {"Range ignored", {"data-cut:50%*1", "range-ignored"}, 0, 0, 0},
    {"no Range at all", {"data-cut:50%*1", "no-range"}, 0, 0, 0},
    {"wrong Content-Range", {"data-cut:50%*1", "range-wrong"}, 0, 0, 0},
    {"ranges of at most 4,096 bytes", {"data-cut:50%*1", "range-max:4096"}, 0, 0, 0},
    {"ranges of at most 64 bytes", {"data-cut:50%*1", "range-max:64"}, 0, 0, 0},
    {"another date, the same file", {"data-cut:50%*1", "changed+1"}, 0, 0, 0},
    {"another file: what came before differs",
     {"data-cut:50%*1", "changed+1", "data-flip:10%+1"},
     SHORT,
     0,
     0},
    {"another file: what comes differs, the date does not",
     {"data-cut:50%*1", "data-flip:75%+1"},
     ALTERS,
     0,
     P},
    {"another file: longer", {"data-cut:50%*1", "changed+1", "data-extra:10+1"}, 0, 0, 0},
    {"another file: shorter", {"data-cut:50%*1", "changed+1", "data-short:60%+1"}, 0, 0, 0},

    /* ---- bytes altered, missing or added ---- */
    {"a bit flipped in the first byte", {"data-flip:0"}, ALTERS, 0, P},
    {"a bit flipped in the first block", {"data-flip:20"}, ALTERS, 0, P},
    {"a bit flipped in the middle", {"data-flip:50%"}, SHORT | ALTERS, 0, P},
    {"a bit flipped 17 bytes before the end", {"data-flip:-17"}, ALTERS, 0, P},
    {"a wrong tag", {"data-flip:-1"}, SHORT | MUST_FAIL, E, 0},
    {"a wrong checksum in the gzip trailer", {"data-flip:-8"}, SHORT | MUST_FAIL, G, 0},
    {"a wrong length in the gzip trailer", {"data-flip:-1"}, MUST_FAIL, G, 0},
    {"an empty file", {"data-empty"}, 0, 0, P},
    {"the 28 bytes of an encrypted empty file", {"data-28"}, 0, E, E},
    {"the first byte only", {"data-short:1"}, 0, 0, 0},
    {"27 bytes only", {"data-short:27"}, 0, 0, 0},
    {"28 bytes only", {"data-short:28"}, 0, 0, 0},
    {"half of it only", {"data-short:50%"}, SHORT, 0, 0},
    {"10 lines of it only", {"data-short-lines:10"}, SHORT, PE, P},
    {"the last 17 bytes missing", {"data-short:-17"}, 0, 0, 0},
    {"the last 16 bytes missing", {"data-short:-16"}, 0, 0, 0},
    {"the last 8 bytes missing", {"data-short:-8"}, SHORT, 0, 0},
    {"the last byte missing", {"data-short:-1"}, 0, 0, 0},
    {"1 byte of garbage behind it", {"data-extra:1"}, 0, 0, 0},
    {"5,000 bytes of garbage behind it", {"data-extra:5000"}, 0, 0, 0},
    {"three more empty gzip members", {"extra-members:3"}, 0, G, 0},

    /* ---- faults in the stored file or its key, not in the response ---- */
    {"key wrapped with another label", {"wrong-label"}, GENERATED, E, 0},
    {"key wrapped for another RSA key", {"wrong-key"}, GENERATED, E, 0},
    {"wrapped key is no hex", {"key-not-hex"}, GENERATED, E, 0},
    {"encrypted, but no key named", {"no-key"}, GENERATED | NOISE, E, 0},
    {"line 2 is no JSON", {"bad-json"}, GENERATED, 0, 0},
    {"line 2 is not UTF-8", {"bad-utf8"}, GENERATED, 0, 0},
    {"line 2 has two documents", {"two-on-line"}, GENERATED, 0, 0},
    {"line 2 has 1,000,000 bytes", {"long-line:1000000"}, GENERATED, 0, 0},
    {"line 2 is nested 64 deep", {"deep-line:64"}, GENERATED, 0, 0},
    {"line 2 is nested 65 deep", {"deep-line:65"}, GENERATED, 0, 0},
    {"the last line is cut in half", {"cut-line"}, GENERATED | SHORT, 0, 0},
};

const size_t row_count = sizeof rows / sizeof *rows;
