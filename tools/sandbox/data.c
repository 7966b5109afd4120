/* GET /data/{job}/{file}, with ranges, gzip and the faults of bodies (bcda-api 6.1). */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define BLOCK      (64 * 1024)
#define MAX_RANGES 32
/* Size of the buffer of Go's net/http. If a handler does not set a length and its whole body fits
 * in the buffer, net/http sets Content-Length. */
#define GO_BUFFER 2048

/* The output of a Go gzip writer that is closed before any byte was written to it. */
static const char empty_member[23] = "\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\0\0\xff\xff\0\0\0\0\0\0\0\0";

/* One piece of a response body: either bytes in memory, or a range of the generated file. */
struct span {
    char *mem; /* owned; NULL: the range of the generated file that begins at `at` */
    uint64_t at, len;
};

enum transform { SEND_AS_IS, SEND_INFLATED, SEND_DEFLATED };

struct body {
    struct sandbox *sb;
    int client; /* the socket, which shows when the client closes the connection */
    /* the source: the stored file with the changes that faults make to it */
    int fd;
    uint64_t file_size, size;
    uint64_t flip;
    const char *plain; /* path of the plain NDJSON of the file, for faults that count lines */
    bool encrypted;
    char *tail; /* bytes sent after those of the file, or in place of the file */
    /* the pieces of which the response body consists */
    struct span *span;
    size_t spans, current;
    uint64_t span_done;
    enum transform transform;
    z_stream zip;
    bool zip_open, zip_ended, source_ended;
    unsigned char in[BLOCK];
    struct buf ahead; /* bytes read before the headers were sent, to find out the length */
    size_t ahead_sent;
    /* how the body is sent */
    uint64_t sent, cut_at, stall_at, rate;
    bool no_end, reset;
};

static void body_free(void *cls)
{
    struct body *b = cls;

    for (size_t i = 0; i < b->spans; i++)
        free(b->span[i].mem);
    free(b->span);
    free(b->tail);
    buf_free(&b->ahead);
    if (b->fd >= 0)
        close(b->fd);
    if (b->zip_open && b->transform == SEND_INFLATED)
        inflateEnd(&b->zip);
    else if (b->zip_open)
        deflateEnd(&b->zip);
    free(b);
}

static void add_span(struct body *b, char *mem, uint64_t at, uint64_t len)
{
    b->span = xrealloc(b->span, (b->spans + 1) * sizeof *b->span);
    b->span[b->spans++] = (struct span){mem, at, len};
}

/* Reads up to n bytes of the stored file, with the changes of faults, from offset `at`. Returns
 * their number, or -1 if the file could not be read. */
static ssize_t read_content(struct body *b, uint64_t at, char *out, size_t n)
{
    ssize_t got;

    if (at >= b->file_size) {
        memcpy(out, b->tail + (at - b->file_size), n);
        got = (ssize_t)n;
    } else {
        if (n > b->file_size - at)
            n = (size_t)(b->file_size - at);
        do
            got = pread(b->fd, out, n, (off_t)at);
        while (got < 0 && errno == EINTR);
    }
    if (got > 0 && b->flip >= at && b->flip - at < (uint64_t)got)
        out[b->flip - at] ^= 1;
    return got;
}

/* Reads the next bytes of the pieces in b->span, before they are inflated or deflated. Returns
 * their number, 0 at the end, or -1 on failure. */
static ssize_t read_source(struct body *b, char *out, size_t max)
{
    while (b->current < b->spans) {
        struct span *s = &b->span[b->current];
        uint64_t left = s->len - b->span_done;
        size_t n = left < max ? (size_t)left : max;
        ssize_t got = (ssize_t)n;

        if (n == 0) {
            b->current++;
            b->span_done = 0;
            continue;
        }
        if (s->mem)
            memcpy(out, s->mem + b->span_done, n);
        else
            got = read_content(b, s->at + b->span_done, out, n);
        if (got > 0)
            b->span_done += (uint64_t)got;
        return got > 0 ? got : -1;
    }
    return 0;
}

static int refill(struct body *b)
{
    ssize_t n;

    if (b->zip.avail_in || b->source_ended)
        return 0;
    n = read_source(b, (char *)b->in, sizeof b->in);
    if (n < 0)
        return -1;
    b->source_ended = n == 0;
    b->zip.next_in = b->in;
    b->zip.avail_in = (uInt)n;
    return 0;
}

static ssize_t read_zipped(struct body *b, char *out, size_t max)
{
    if (max > 1u << 30)
        max = 1u << 30;
    b->zip.next_out = (unsigned char *)out;
    b->zip.avail_out = (uInt)max;
    while (!b->zip_ended && b->zip.avail_out == max) {
        int rc;

        if (refill(b))
            return -1;
        if (b->transform == SEND_INFLATED)
            rc = inflate(&b->zip, Z_NO_FLUSH);
        else
            rc = deflate(&b->zip, b->source_ended ? Z_FINISH : Z_NO_FLUSH);
        if (rc == Z_STREAM_END)
            b->zip_ended = true;
        else if (rc != Z_OK &&
                 (rc != Z_BUF_ERROR || (b->source_ended && b->transform == SEND_INFLATED)))
            return -1; /* the stored file is damaged: the connection closes, as at the real server
                        */
    }
    return (ssize_t)(max - b->zip.avail_out);
}

/* Reads the next bytes of the body. Returns their number, 0 at the end of the body, or -1 on
 * failure. */
static ssize_t read_body(struct body *b, char *out, size_t max)
{
    size_t left = b->ahead.len - b->ahead_sent;

    if (!left)
        return b->transform == SEND_AS_IS ? read_source(b, out, max) : read_zipped(b, out, max);
    if (max > left)
        max = left;
    memcpy(out, b->ahead.p + b->ahead_sent, max);
    b->ahead_sent += max;
    return (ssize_t)max;
}

/* Reads the response body into b->ahead before it is sent, up to `most` bytes. Returns the length
 * of the body, or MHD_SIZE_UNKNOWN if that exceeds `most`. */
static uint64_t measure(struct body *b, uint64_t most)
{
    struct buf ahead = {0};
    char block[4096];
    ssize_t n = 1;

    while (n > 0 && ahead.len <= most) {
        n = read_body(b, block, sizeof block);
        if (n > 0)
            buf_add(&ahead, block, (size_t)n);
    }
    b->ahead = ahead;
    return n == 0 ? ahead.len : MHD_SIZE_UNKNOWN;
}

static bool client_gone(const struct body *b)
{
    struct pollfd p = {.fd = b->client, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void stall(struct body *b)
{
    while (!client_gone(b) && sandbox_sleep(b->sb, 50))
        ;
}

/* Makes the coming close of the connection send RST. First waits until the client has received all
 * that was sent; otherwise the number of lost bytes would be random. */
static void reset(struct body *b)
{
    struct linger now = {.l_onoff = 1};
    int waiting = 1;

    while (ioctl(b->client, TIOCOUTQ, &waiting) == 0 && waiting && !client_gone(b) &&
           sandbox_sleep(b->sb, 1))
        ;
    setsockopt(b->client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* Returns how many bytes may be sent now; 0 if the body is to be cut short here. */
static size_t allowance(struct body *b, size_t max)
{
    if (b->sent >= b->stall_at) {
        stall(b);
        return 0;
    }
    if (b->cut_at - b->sent < max)
        max = (size_t)(b->cut_at - b->sent);
    if (b->stall_at - b->sent < max)
        max = (size_t)(b->stall_at - b->sent);
    if (b->rate) {
        size_t part = b->rate > 20 ? (size_t)(b->rate / 20) : 1;
        unsigned wait = b->rate > 20 ? 50 : (unsigned)(1000 / b->rate);

        if (b->sent && (!sandbox_sleep(b->sb, wait) || client_gone(b)))
            return 0;
        if (max > part)
            max = part;
    }
    return max;
}

static ssize_t body_read(void *cls, uint64_t pos, char *out, size_t max)
{
    struct body *b = cls;
    ssize_t n;

    (void)pos;
    max = allowance(b, max);
    if (max == 0 && b->reset)
        reset(b);
    if (max == 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    n = read_body(b, out, max);
    if (n < 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n == 0)
        return b->no_end ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    b->sent += (uint64_t)n;
    return n;
}

/* ---- ranges, by the rules of Go's net/http ---- */

struct range {
    uint64_t start, len;
};

enum range_result { RANGES_NONE, RANGES_GOOD, RANGES_INVALID, RANGES_NO_OVERLAP };

static bool parse_number(const char *s, size_t n, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || *out > UINT64_MAX / 20)
            return false;
        *out = *out * 10 + (uint64_t)(s[i] - '0');
    }
    return n > 0;
}

static void trim(const char **s, size_t *n)
{
    while (*n && (**s == ' ' || **s == '\t')) {
        (*s)++;
        (*n)--;
    }
    while (*n && ((*s)[*n - 1] == ' ' || (*s)[*n - 1] == '\t'))
        (*n)--;
}

/* Parses one range. Returns 1 if *out is set, 0 if the range lies beyond the end, or -1 if it is
 * malformed. */
static int parse_one(const char *s, size_t n, uint64_t size, struct range *out)
{
    const char *dash = memchr(s, '-', n);
    const char *last = dash ? dash + 1 : NULL;
    size_t first_len = dash ? (size_t)(dash - s) : 0, last_len = dash ? n - first_len - 1 : 0;
    uint64_t a, z;

    if (!dash)
        return -1;
    trim(&s, &first_len);
    trim(&last, &last_len);
    if (first_len == 0) {
        if (!parse_number(last, last_len, &z))
            return -1;
        if (z > size)
            z = size;
        *out = (struct range){size - z, z};
        return 1;
    }
    if (!parse_number(s, first_len, &a))
        return -1;
    if (a >= size)
        return 0;
    if (last_len == 0) {
        *out = (struct range){a, size - a};
        return 1;
    }
    if (!parse_number(last, last_len, &z) || z < a)
        return -1;
    *out = (struct range){a, (z < size ? z + 1 : size) - a};
    return 1;
}

static enum range_result parse_ranges(const char *s, uint64_t size, struct range *out,
                                      size_t *count)
{
    bool beyond = false;

    *count = 0;
    if (strncmp(s, "bytes=", 6) != 0)
        return RANGES_INVALID;
    for (s += 6; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL) {
        const char *item = s;
        size_t n = strcspn(s, ",");
        int rc;

        trim(&item, &n);
        if (n == 0)
            continue;
        rc = *count < MAX_RANGES ? parse_one(item, n, size, &out[*count]) : -1;
        if (rc < 0)
            return RANGES_INVALID;
        beyond = beyond || rc == 0;
        *count += (size_t)rc;
    }
    if (*count == 0)
        return beyond ? RANGES_NO_OVERLAP : RANGES_NONE;
    return RANGES_GOOD;
}

static uint64_t add_parts(struct body *b, const struct range *r, size_t n, const char *boundary,
                          const char *type)
{
    uint64_t total = 0;

    for (size_t i = 0; i <= n; i++) {
        char *head;

        if (i < n)
            head = xasprintf(
                "%s--%s\r\nContent-Range: bytes %llu-%llu/%llu\r\nContent-Type: %s\r\n\r\n",
                i ? "\r\n" : "", boundary, (unsigned long long)r[i].start,
                (unsigned long long)(r[i].start + r[i].len - 1), (unsigned long long)b->size, type);
        else
            head = xasprintf("\r\n--%s--\r\n", boundary);
        total += strlen(head) + (i < n ? r[i].len : 0);
        add_span(b, head, 0, strlen(head));
        if (i < n)
            add_span(b, NULL, r[i].start, r[i].len);
    }
    return total;
}

/* Sets the headers of a 206 answer, and the pieces of its body in b->span. Returns the length of
 * the body. */
static uint64_t use_ranges(struct request *rq, struct body *b, const struct range *r, size_t n,
                           const char *type)
{
    char text[160], uuid[37];
    uint64_t total, later;

    if (n == 1) {
        later = fault_take(rq->sb, F_RANGE_WRONG, NULL, NULL);
        snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)(r->start + later),
                 (unsigned long long)(r->start + r->len - 1), (unsigned long long)b->size);
        reply_header(rq, "Content-Range", text);
        add_span(b, NULL, r->start, r->len);
        return r->len;
    }
    crypt_uuid(uuid);
    total = add_parts(b, r, n, uuid, type);
    snprintf(text, sizeof text, "multipart/byteranges; boundary=%s", uuid);
    reply_header(rq, "Content-Type", text);
    return total;
}

/* ---- the answer ---- */

struct file_view {
    char *path;
    char *plain; /* path of the plain NDJSON of the file, or NULL */
    char *type;
    bool encrypted, gzipped;
    uint8_t key[32];
};

struct accepts {
    enum gzip_rule rule;
    bool gzip;
};

static enum MHD_Result see_encoding(void *cls, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    struct accepts *a = cls;

    (void)kind;
    if (strcasecmp(key, "Accept-Encoding") != 0 || !value)
        return MHD_YES;
    if (a->rule == GZIP_EXACT)
        a->gzip = a->gzip || strcmp(value, "gzip") == 0;
    else
        a->gzip = a->gzip || strstr(value, "gzip") != NULL; /* true even for gzip;q=0 and x-gzip */
    return MHD_YES;
}

static bool accepts_gzip(struct request *rq)
{
    struct accepts a = {rq->sb->era->gzip, false};

    if (a.rule != GZIP_NEVER)
        MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, see_encoding, &a);
    return a.gzip;
}

/* Answers that there is no such file. In 2021 the file server compressed every answer
 * (bcda-api 6.1). */
static enum MHD_Result reply_missing(struct request *rq)
{
    static const char text[] = "404 page not found\n";
    struct buf b = {0};
    z_stream z = {0};
    uint8_t out[128];

    if (rq->sb->era->id == ERA_CURRENT)
        return reply_text(rq, 404, "Not Found");
    if (!accepts_gzip(rq) ||
        deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return reply_not_found(rq);
    z.next_in = (uint8_t *)(uintptr_t)text;
    z.avail_in = sizeof text - 1;
    z.next_out = out;
    z.avail_out = sizeof out;
    deflate(&z, Z_FINISH);
    buf_add(&b, out, sizeof out - z.avail_out);
    deflateEnd(&z);
    reply_header(rq, "Content-Encoding", "gzip");
    reply_header(rq, "X-Content-Type-Options", "nosniff");
    return reply_buf(rq, 404, "text/plain; charset=utf-8", &b);
}

static bool open_content(struct request *rq, struct body *b, const struct file_view *v,
                         time_t *modified)
{
    struct stat st;

    b->fd = open(v->path, O_RDONLY | O_CLOEXEC);
    if (b->fd < 0 || fstat(b->fd, &st))
        return false;
    b->file_size = b->size = (uint64_t)st.st_size;
    *modified = st.st_mtime;
    if (fault_take(rq->sb, F_CHANGED, v->type, NULL))
        *modified += 60;
    return true;
}

/* Fills `p` with bytes that are neither text nor the zeros that may follow a gzip member. The bytes
 * are the same in every run. */
static void fill_garbage(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(0xff - i % 7);
}

/* Returns the offset at which the n-th line ends in the stored file, which must not be gzip, or
 * UINT64_MAX if b->plain, in which lines are counted, cannot be read. */
static uint64_t end_of_line(const struct body *b, long long n)
{
    FILE *f = b->plain ? fopen(b->plain, "r") : NULL;
    uint64_t at = b->encrypted ? 12 : 0;
    int c;

    if (!f)
        return UINT64_MAX;
    while (n > 0 && (c = getc_unlocked(f)) != EOF) {
        at++;
        n -= c == '\n';
    }
    fclose(f);
    return at;
}

/* Applies the faults that change the bytes of the stored file. Returns true if a fault cut or
 * replaced them, so that the response does not end as the stored file does. */
static bool spoil_content(struct request *rq, struct body *b, const struct file_view *v)
{
    struct sandbox *sb = rq->sb;
    bool cut = false;
    uint64_t at;
    long long n;

    b->flip = UINT64_MAX;
    if (fault_take_offset(sb, F_DATA_SHORT, v->type, b->size, &at)) {
        b->file_size = at < b->file_size ? at : b->file_size;
        cut = true;
    }
    if (fault_take(sb, F_DATA_SHORT_LINES, v->type, &n) && end_of_line(b, n) < b->file_size) {
        b->file_size = end_of_line(b, n);
        cut = true;
    }
    if (fault_take(sb, F_DATA_EMPTY, v->type, NULL)) {
        b->file_size = 0;
        cut = true;
    }
    b->size = b->file_size;
    if (fault_take(sb, F_DATA_28, v->type, NULL)) {
        b->file_size = 0;
        b->size = v->encrypted ? 28 : 0;
        b->tail = xcalloc(1, 28);
        crypt_empty(v->key, (uint8_t *)b->tail);
        cut = true;
    }
    if (fault_take(sb, F_DATA_EXTRA, v->type, &n) && n > 0 && !b->tail) {
        b->tail = xcalloc(1, (size_t)n);
        fill_garbage(b->tail, (size_t)n);
        b->size += (uint64_t)n;
    }
    if (fault_take_offset(sb, F_DATA_FLIP, v->type, b->size, &at))
        b->flip = at;
    return cut;
}

/* Applies the faults that occur while the body is sent: cut, reset, stalled or slow. `size` is the
 * size of the body, or, if that is not known, the size of the file. Returns true if there is such a
 * fault. */
static bool spoil_sending(struct request *rq, struct body *b, const char *type, uint64_t size)
{
    long long n = 0;

    b->cut_at = b->stall_at = UINT64_MAX;
    fault_take_offset(rq->sb, F_DATA_CUT, type, size, &b->cut_at);
    if (fault_take(rq->sb, F_DATA_CUT_LINES, type, &n))
        b->cut_at = end_of_line(b, n);
    b->reset = fault_take_offset(rq->sb, F_DATA_RESET, type, size, &b->cut_at) ||
               rq->random == R_BODY_RESET;
    if (rq->random == R_CUT || rq->random == R_BODY_RESET)
        b->cut_at = size * rq->random_place >> 32;
    if (fault_take(rq->sb, F_STALL, type, NULL))
        b->stall_at = b->size / 2;
    if (fault_take(rq->sb, F_SLOW, type, &n) && n > 0)
        b->rate = (uint64_t)n;
    b->no_end = fault_take(rq->sb, F_CHUNKED_NO_END, type, NULL) || rq->random == R_NO_END;
    return b->cut_at != UINT64_MAX || b->stall_at != UINT64_MAX || b->rate || b->no_end;
}

static int start_transform(struct body *b, enum transform transform)
{
    b->transform = transform;
    if (transform == SEND_INFLATED)
        b->zip_open = inflateInit2(&b->zip, 15 + 16) == Z_OK;
    else if (transform == SEND_DEFLATED)
        b->zip_open = deflateInit2(&b->zip, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
    return transform == SEND_AS_IS || b->zip_open ? 0 : -1;
}

static bool not_modified(struct request *rq, time_t modified)
{
    const char *since = request_header(rq, "If-Modified-Since");
    time_t t;

    return since && time_parse_http(since, &t) && modified <= t;
}

/* Returns the Range header, or NULL if the request has none, or if its If-Range names another time
 * than Last-Modified. */
static const char *wanted_range(struct request *rq, time_t modified)
{
    const char *range = request_header(rq, "Range"), *condition = request_header(rq, "If-Range");
    time_t t;

    if (range)
        rq->sb->counts[C_RANGE]++;
    if (!range || !condition)
        return range;
    return time_parse_http(condition, &t) && t == modified ? range : NULL;
}

static enum MHD_Result bad_range(struct request *rq, struct body *b, bool overlap)
{
    char text[48];

    if (!overlap) {
        snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)b->size);
        reply_header(rq, "Content-Range", text);
    }
    body_free(b);
    return reply_text(rq, 416, overlap ? "invalid range" : "invalid range: failed to overlap");
}

/* Returns the value for Content-Length: `length`, unless a fault falsifies it. */
static uint64_t announced(struct request *rq, const char *type, uint64_t length)
{
    long long n = 0;

    if (fault_take(rq->sb, F_LENGTH_MORE, type, &n))
        return length + (uint64_t)n;
    if (fault_take(rq->sb, F_LENGTH_LESS, type, &n))
        return length > (uint64_t)n ? length - (uint64_t)n : 0;
    return length;
}

/* Lets the kernel send the file (sendfile): for a body without faults, and without TLS. */
static enum MHD_Result send_quickly(struct request *rq, struct body *b, unsigned status,
                                    uint64_t length)
{
    struct MHD_Response *r = MHD_create_response_from_fd_at_offset64(length, b->fd, b->span->at);

    b->fd = r ? -1 : b->fd; /* the response `r` will close the descriptor */
    body_free(b);
    return reply_response(rq, status, r);
}

static enum MHD_Result send_body(struct request *rq, struct body *b, unsigned status,
                                 uint64_t length, const char *type)
{
    bool spoilt = spoil_sending(rq, b, type, length == MHD_SIZE_UNKNOWN ? b->size : length);
    bool none = fault_take(rq->sb, F_LENGTH_NONE, type, NULL);
    struct MHD_Response *response;
    uint64_t said;
    bool sized;

    if (length == MHD_SIZE_UNKNOWN)
        length = measure(b, fault_take(rq->sb, F_BUFFERED, type, NULL) ? UINT64_MAX : GO_BUFFER);
    sized = length != MHD_SIZE_UNKNOWN && !b->no_end;
    said = sized ? announced(rq, type, length) : length;

    if (sized && !spoilt && !none && said == length && !rq->sb->options.tls && b->spans == 1 &&
        !b->span->mem && !b->ahead.len && b->flip == UINT64_MAX && b->size == b->file_size &&
        length)
        return send_quickly(rq, b, status, length);
    if (sized && !none && said == 0) {
        body_free(b);
        return reply_empty(rq, status);
    }
    response = MHD_create_response_from_callback(sized && !none ? said : MHD_SIZE_UNKNOWN,
                                                 2 * BLOCK, body_read, b, body_free);
    if (none)
        MHD_set_response_options(response, MHD_RF_HTTP_VERSION_1_0_ONLY, MHD_RO_END);
    return reply_response(rq, status, response);
}

static enum MHD_Result send_whole(struct request *rq, struct body *b, bool member, const char *type)
{
    long long more = 0;

    add_span(b, NULL, 0, b->size);
    if (member)
        fault_take(rq->sb, F_EXTRA_MEMBERS, type, &more);
    for (long long i = member ? 0 : 1; i <= more; i++) {
        char *mem = xcalloc(1, sizeof empty_member);

        memcpy(mem, empty_member, sizeof empty_member);
        add_span(b, mem, 0, sizeof empty_member);
    }
    return send_body(rq, b, 200, member || b->transform != SEND_AS_IS ? MHD_SIZE_UNKNOWN : b->size,
                     type);
}

struct plan {
    const char *type; /* Content-Type */
    bool gzip;        /* the answer has Content-Encoding: gzip */
    bool member;      /* an empty gzip member follows the file */
    bool ranges;      /* the answer may be a 206 to a Range header */
    const char *file; /* resource type of the file */
    time_t modified;
};

static void make_headers(struct request *rq, const struct plan *p)
{
    reply_header(rq, "Content-Type", p->type);
    if (p->gzip)
        reply_header(rq, "Content-Encoding", "gzip");
    if (p->ranges)
        reply_header(rq, "Accept-Ranges", "bytes");
}

static void set_modified(struct request *rq, const struct plan *p)
{
    char when[48];

    time_http(p->modified, when);
    if (p->ranges)
        reply_header(rq, "Last-Modified", when);
}

static enum MHD_Result serve(struct request *rq, struct body *b, const struct plan *p)
{
    const char *want = p->ranges ? wanted_range(rq, p->modified) : NULL;
    struct range r[MAX_RANGES];
    size_t n = 0;
    uint64_t sum = 0, length;
    long long most;
    enum range_result rc;

    if (want && fault_take(rq->sb, F_RANGE_IGNORED, p->file, NULL))
        want = NULL;
    rc = want ? parse_ranges(want, b->size, r, &n) : RANGES_NONE;
    set_modified(rq, p);
    if (p->ranges && not_modified(rq, p->modified)) {
        body_free(b);
        return reply_empty(rq, 304);
    }
    if (rc == RANGES_INVALID || rc == RANGES_NO_OVERLAP)
        return bad_range(rq, b, rc == RANGES_INVALID);
    if (n == 1 && fault_take(rq->sb, F_RANGE_MAX, NULL, &most) && (uint64_t)most < r->len)
        r->len = (uint64_t)most;
    make_headers(rq, p);
    for (size_t i = 0; i < n; i++)
        sum += r[i].len;
    if (rc == RANGES_NONE ||
        sum > b->size) /* the ranges add up to more than the file: Go takes that for an attack */
        return send_whole(rq, b, p->member, p->file);
    length = use_ranges(rq, b, r, n, p->type);
    return send_body(rq, b, 206, b->transform == SEND_AS_IS ? length : MHD_SIZE_UNKNOWN, p->file);
}

static enum MHD_Result send_file(struct request *rq, const struct file_view *v)
{
    struct body *b = xcalloc(1, sizeof *b);
    struct plan p = {0};
    bool gzip = accepts_gzip(rq), cut;
    const union MHD_ConnectionInfo *info;

    b->sb = rq->sb;
    if (!open_content(rq, b, v, &p.modified)) {
        body_free(b);
        return reply_missing(rq);
    }
    info = MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    b->client = info ? info->connect_fd : -1;
    b->plain = v->plain;
    b->encrypted = v->encrypted;
    cut = spoil_content(rq, b, v);
    p.file = v->type;
    /* A file that is not gzip is compressed on the fly, except with --mixed. */
    if (rq->sb->options.mixed && !v->gzipped)
        gzip = false;
    p.gzip = gzip;
    p.member = v->gzipped && gzip && !cut;
    p.ranges = !(v->gzipped && !gzip) && !fault_take(rq->sb, F_NO_RANGE, v->type, NULL);
    p.type = rq->sb->era->data_type;
    if (!p.type)
        p.type = v->encrypted ? "application/octet-stream" : "text/plain; charset=utf-8";
    if (start_transform(b, v->gzipped == gzip ? SEND_AS_IS
                           : gzip             ? SEND_DEFLATED
                                              : SEND_INFLATED)) {
        body_free(b);
        return MHD_NO;
    }
    return serve(rq, b, &p);
}

static bool data_faults(struct request *rq, const char *type, enum MHD_Result *result)
{
    struct sandbox *sb = rq->sb;
    long long n;
    char *url;

    if (fault_take(sb, F_DATA_404_ONCE, type, NULL) || fault_take(sb, F_DATA_404, type, NULL)) {
        *result = reply_missing(rq);
    } else if (fault_take(sb, F_DATA_503_ONCE, type, NULL)) {
        *result = reply_later(rq, 503, 0, "Service Unavailable");
    } else if (fault_take(sb, F_DATA_429, type, &n)) {
        *result = reply_later(rq, 429, n, NULL);
    } else if (fault_take(sb, F_DATA_500, type, NULL)) {
        *result = reply_text(rq, 500, "Internal Server Error");
    } else if (fault_take(sb, F_DATA_HTML, type, NULL)) {
        *result = reply_html(rq, 200);
    } else if ((url = fault_take_text(sb, F_REDIRECT, type)) != NULL) {
        reply_header(rq, "Location", url);
        free(url);
        *result = reply_string(rq, 302, "text/html; charset=utf-8", "<a href=\"#\">Found</a>.\n\n");
    } else {
        return true;
    }
    return false;
}

/* Copies to *v what is needed to send the file `name` of a finished job. Returns false if the job
 * has no such file. */
static bool find_file(struct sandbox *sb, const struct job *job, const char *name,
                      struct file_view *v)
{
    const struct data_file *f = NULL;

    pthread_mutex_lock(&sb->lock);
    if (job->state == JOB_READY)
        for (f = job->files; f && strcmp(f->name, name) != 0; f = f->next)
            ;
    if (f) {
        v->path = xstrdup(f->path);
        v->plain = f->plain_path && !f->gzipped ? xstrdup(f->plain_path) : NULL;
        v->type = xstrdup(f->type);
        v->encrypted = f->encrypted;
        v->gzipped = f->gzipped;
        memcpy(v->key, f->key, sizeof v->key);
    }
    pthread_mutex_unlock(&sb->lock);
    return f != NULL;
}

/* Answers for a file of an archived job. The newest server writes a 404 outcome, fails to stop
 * there, and appends the text of a missing file. Earlier servers sent the answer for a missing
 * file. */
static enum MHD_Result expired_file(struct request *rq)
{
    struct buf b = {0};

    if (rq->sb->era->id != ERA_CURRENT)
        return reply_missing(rq);
    outcome_write(&b, rq->sb->era, 1, 404, O_NOT_FOUND, "Job not found");
    buf_str(&b, "Not Found\n");
    return reply_buf(rq, 404, rq->sb->era->error_type, &b);
}

static void count_served(struct job *job)
{
    pthread_mutex_lock(&job->sb->lock);
    job->served++;
    pthread_mutex_unlock(&job->sb->lock);
}

static enum MHD_Result known_job(struct request *rq, struct job *job, const char *name)
{
    bool current = rq->sb->era->id == ERA_CURRENT;
    struct file_view v = {0};
    enum MHD_Result result = MHD_NO;

    if (job_expired(job))
        return expired_file(rq);
    if (strcmp(name, "..") == 0)
        return reply_text(rq, 400, "invalid URL path");
    if (!find_file(rq->sb, job, name, &v))
        return current ? reply_outcome(rq, 404, O_NOT_FOUND, "Job not found") : reply_missing(rq);
    if (data_faults(rq, v.type, &result)) {
        count_served(job);
        result = send_file(rq, &v);
    }
    free(v.path);
    free(v.plain);
    free(v.type);
    return result;
}

/* Before 2019-02-27 only the name of a file identified its owner: the server compared the UUID
 * in the name with the token's organization. A name without a UUID crashed the handler
 * (bcda-api 5.1). */
static bool name_check_2018(struct request *rq, const char *name, enum MHD_Result *result)
{
    static const char hex[] = "0123456789abcdefABCDEF-";

    if (strspn(name, hex) < 36)
        *result = MHD_NO;
    else if (strncasecmp(name, ACO_UUID, 36) != 0)
        *result = reply_outcome(rq, 401, O_TOKEN, NULL);
    else
        return true;
    return false;
}

enum MHD_Result data_file(struct request *rq, const char *id, const char *name)
{
    enum MHD_Result result = MHD_NO;
    struct job *job = NULL;

    rq->sb->counts[C_DATA]++;
    if (!token_check(rq, true, &result))
        return result;
    if (fault_take(rq->sb, F_DATA_401_ONCE, NULL, NULL))
        return reply_outcome(rq, 401, O_TOKEN, NULL);
    if (rq->sb->era->keys_2018 && !name_check_2018(rq, name, &result))
        return result;
    if (*id && strspn(id, "0123456789") == strlen(id))
        job = job_find(rq->sb, strtoull(id, NULL, 10));
    if (!job && rq->sb->era->keys_2018)
        return reply_missing(rq);
    if (!job)
        return reply_outcome(rq, 404, O_NOT_FOUND,
                             rq->sb->era->id == ERA_CURRENT ? "Job not found" : NULL);
    return known_job(rq, job, name);
}
