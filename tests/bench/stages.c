/* Measures each stage of the pipeline alone, as the lower bound that the library is compared with.
 * Uses libcurl, zlib and libgcrypt directly, and of lib/ only the line reader.
 *
 *     bench-stages curl  FORM PLAIN STORED URL        prints "curl <CPU seconds>"
 *     bench-stages rest  FORM PLAIN STORED URL        the same for all other stages, one per line
 *     bench-stages count FORM PLAIN STORED URL SMALL  calls bench_mark() around each, prints names
 *
 * FORM is plain, gzip or encrypted. PLAIN is the decoded file, STORED the file as the server stores
 * it, URL the address of that file, SMALL the address of a smaller file on the same server. The
 * cost of URL minus that of SMALL does not include the cost of a connection. The token comes from
 * BCDA_BENCH_TOKEN.
 *
 * As in the library, pieces have the same sizes, readers and buffers are reused, and the input of a
 * stage is in the CPU cache, where the previous stage would have left it. The stage "yajl" is the
 * line reader without its scanner. It is not a part of the pipeline; it shows what the scanner
 * saves. */
#include <curl/curl.h>
#include <gcrypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bench.h"
#include "codec/line.h"
#include "input.h"

enum { DEPTH = 64 }; /* the default of BCDA_OPT_JSON_DEPTH_MAX */

static int counting;
static uint8_t *hot;  /* the current piece */
static uint8_t *text; /* the output of a stage */
static unsigned long used;

static void die(const char *what)
{
    fprintf(stderr, "bench-stages: %s failed\n", what);
    exit(1);
}

/* ---- the stages: each is given one piece ---- */

static gcry_cipher_hd_t cipher;
static gcry_mac_hd_t mac;
static z_stream zip;
static struct bcda__line_reader *reader;

static void open_gcm(void)
{
    static const uint8_t key[32] = {1}, nonce[12] = {2};

    /* The cost of decryption does not depend on the bytes, so any key will do. */
    if (gcry_cipher_open(&cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0) ||
        gcry_cipher_setkey(cipher, key, sizeof key) ||
        gcry_cipher_setiv(cipher, nonce, sizeof nonce))
        die("AES-GCM");
}

static void run_gcm(const uint8_t *at, size_t len)
{
    if (gcry_cipher_decrypt(cipher, text, len, at, len))
        die("AES-GCM");
}

static void open_mac(void)
{
    static const uint8_t key[32] = {3}, iv[12] = {4};

    if (gcry_mac_open(&mac, GCRY_MAC_GMAC_AES, 0, NULL) || gcry_mac_setkey(mac, key, sizeof key) ||
        gcry_mac_setiv(mac, iv, sizeof iv))
        die("GMAC");
}

static void run_mac(const uint8_t *at, size_t len)
{
    if (gcry_mac_write(mac, at, len))
        die("GMAC");
}

static void open_inflate(void)
{
    if (inflateInit2(&zip, 15 + 16) != Z_OK)
        die("inflate");
}

static void run_inflate(const uint8_t *at, size_t len)
{
    zip.next_in = (z_const Bytef *)(uintptr_t)at;
    zip.avail_in = (uInt)len;
    do {
        int rc;

        zip.next_out = text;
        zip.avail_out = TEXT;
        rc = inflate(&zip, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_BUF_ERROR && rc != Z_STREAM_END)
            die("inflate");
    } while (zip.avail_out == 0);
}

static void open_scanner(void)
{
    if (bcda__line_reader_new(&reader, DEPTH, NULL, 0))
        die("the line reader");
}

static void open_yajl(void)
{
    if (bcda__line_reader_new(&reader, DEPTH, NULL, 1))
        die("the line reader");
}

/* Finds the lines, as the decoder does, and reads them. */
static void run_lines(const uint8_t *at, size_t len)
{
    const uint8_t *end = at + len, *lf;
    struct bcda__line_info info;

    for (; (lf = memchr(at, '\n', (size_t)(end - at))); at = lf + 1, used++)
        if (bcda__line_read(reader, (const char *)at, (size_t)(lf - at), &info) || info.code)
            die("reading a line");
}

struct stage {
    const char *name;
    void (*open)(void);
    void (*run)(const uint8_t *at, size_t len);
    int stored; /* 1: input is the stored file, by RUN bytes; 0: the decoded text, by TEXT bytes */
    const char *form;
};

static const struct stage stages[] = {
    {"hash", open_mac, run_mac, 1, NULL},       {"inflate", open_inflate, run_inflate, 1, "gzip"},
    {"gcm", open_gcm, run_gcm, 1, "encrypted"}, {"scanner", open_scanner, run_lines, 0, NULL},
    {"yajl", open_yajl, run_lines, 0, "plain"},
};

enum { STAGES = sizeof stages / sizeof *stages };

static void mark_if(int wanted)
{
    if (wanted)
        bench_mark();
}

static double run_stage(const struct stage *s, const struct input *f)
{
    double spent = 0;
    size_t at, len;

    s->open();
    mark_if(counting);
    for (at = 0; at < f->len; at += len) {
        const uint8_t *from = f->at + at;
        double before;

        len = input_piece(f, at, s->stored);
        if (counting) {
            s->run(from, len);
            continue;
        }
        memcpy(hot, from, len); /* before the measured time: brings the input into the CPU cache */
        before = bench_cpu();
        s->run(hot, len);
        spent += bench_cpu() - before;
    }
    mark_if(counting);
    return spent;
}

/* ---- libcurl, with the data discarded ---- */

static size_t nowhere(char *data, size_t size, size_t count, void *ctx)
{
    (void)data;
    (void)ctx;
    used += size * count;
    return size * count;
}

static double fetch(const char *url, int marked)
{
    char header[4096];
    struct curl_slist *headers = NULL;
    CURL *e = curl_easy_init();
    long status = 0;
    double before;

    snprintf(header, sizeof header, "Authorization: Bearer %s", bench_need("BCDA_BENCH_TOKEN"));
    headers = curl_slist_append(headers, header);
    headers = curl_slist_append(headers, strcmp(bench_need("BCDA_BENCH_FORM"), "gzip")
                                             ? "Accept-Encoding:"
                                             : "Accept-Encoding: gzip");
    if (!e || !headers)
        die("libcurl");
    curl_easy_setopt(e, CURLOPT_URL, url);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(e, CURLOPT_CAINFO, bench_need("BCDA_CA_FILE"));
    curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, nowhere);
    mark_if(marked);
    before = bench_cpu();
    if (curl_easy_perform(e) || curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status) ||
        status != 200)
        die("downloading");
    before = bench_cpu() - before;
    mark_if(marked);
    curl_easy_cleanup(e);
    curl_slist_free_all(headers);
    return before;
}

static void start(char **argv)
{
    counting = strcmp(argv[1], "count") == 0;
    setenv("BCDA_BENCH_FORM", argv[2], 1);
    hot = malloc(TEXT + BCDA__LINE_PADDING);
    text = malloc(TEXT);
    if (!hot || !text || curl_global_init(CURL_GLOBAL_ALL) || !gcry_check_version(NULL))
        die("starting");
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

static void run_curl(char **argv)
{
    if (counting) {
        (void)fetch(argv[6], 0); /* the first transfer initialises TLS */
        printf("small %.6f\n", fetch(argv[6], 1));
    }
    printf("curl %.6f\n", fetch(argv[5], counting));
}

/* Runs all stages but libcurl. */
static void run_rest(char **argv)
{
    struct input plain = input_map(argv[3]), stored = input_map(argv[4]);
    int i;

    for (i = 0; i < STAGES; i++)
        if (!stages[i].form || strcmp(stages[i].form, argv[2]) == 0)
            printf("%s %.6f\n", stages[i].name,
                   run_stage(&stages[i], stages[i].stored ? &stored : &plain));
}

int main(int argc, char **argv)
{
    if (argc < 6 || (strcmp(argv[1], "count") == 0 && argc < 7))
        return 2;
    start(argv);
    if (counting || strcmp(argv[1], "curl") == 0)
        run_curl(argv);
    if (counting || strcmp(argv[1], "rest") == 0)
        run_rest(argv);
    return used ? 0 : 1;
}
