#include "base/url.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"
#include "bcda/error.h"

static int is_host_char(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

static int is_ipv6_char(int c)
{
    return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == ':' ||
           c == '.';
}

static int scan_host(const char **at, struct bcda__url *u)
{
    const char *p = *at;
    struct in6_addr address;
    size_t len = 0;

    u->is_ipv6 = *p == '[';
    p += u->is_ipv6;
    while (u->is_ipv6 ? is_ipv6_char((unsigned char)*p) : is_host_char((unsigned char)*p)) {
        if (len + 1 == sizeof u->host)
            return BCDA_ERR_URL;
        u->host[len++] = *p >= 'A' && *p <= 'Z' ? (char)(*p + ('a' - 'A')) : *p;
        p++;
    }
    u->host[len] = '\0';
    if (u->is_ipv6 && (*p++ != ']' || inet_pton(AF_INET6, u->host, &address) != 1))
        return BCDA_ERR_URL;
    *at = p;
    return len ? 0 : BCDA_ERR_URL;
}

static int scan_port(const char **at, struct bcda__url *u)
{
    const char *digits;
    int64_t port;

    u->port = u->https ? 443 : 80;
    if (**at != ':')
        return 0;
    digits = ++*at;
    while (**at >= '0' && **at <= '9')
        ++*at;
    if (bcda__text_to_int64(digits, (size_t)(*at - digits), &port) || port < 1 || port > 65535)
        return BCDA_ERR_URL;
    u->port = (int)port;
    return 0;
}

int bcda__url_parse(const char *text, struct bcda__url *out)
{
    struct bcda__url u = {0};
    const char *p = text;
    const char *c;

    if (bcda__text_starts_nocase(text, "https://"))
        u.https = 1;
    else if (!bcda__text_starts_nocase(text, "http://"))
        return BCDA_ERR_URL;
    for (c = text; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7F || strchr("\\#\"<>^`{|}", *c))
            return BCDA_ERR_URL;
    p += u.https ? 8 : 7;
    if (scan_host(&p, &u) || scan_port(&p, &u))
        return BCDA_ERR_URL;
    if (*p && *p != '/' && *p != '?')
        return BCDA_ERR_URL;
    u.path = p;
    u.path_len = strcspn(p, "?");
    p += u.path_len;
    if (*p == '?') {
        u.query = p + 1;
        u.query_len = strlen(u.query);
    }
    *out = u;
    return 0;
}

int bcda__url_same_origin(const struct bcda__url *a, const struct bcda__url *b)
{
    return a->https == b->https && a->port == b->port && a->is_ipv6 == b->is_ipv6 &&
           strcmp(a->host, b->host) == 0;
}

int bcda__url_is_loopback(const struct bcda__url *u)
{
    struct in_addr address;

    if (u->is_ipv6)
        return strcmp(u->host, "::1") == 0;
    if (strcmp(u->host, "localhost") == 0)
        return 1;
    /* 127.0.0.1.example.com and 127.0.0.999 are host names, not addresses. */
    return strncmp(u->host, "127.", 4) == 0 && inet_pton(AF_INET, u->host, &address) == 1;
}

int bcda__url_add_origin(struct bcda__buf *to, const struct bcda__url *u)
{
    int rc = bcda__buf_addf(to, "%s://%s%s%s", u->https ? "https" : "http", u->is_ipv6 ? "[" : "",
                            u->host, u->is_ipv6 ? "]" : "");

    if (!rc && u->port != (u->https ? 443 : 80))
        rc = bcda__buf_addf(to, ":%d", u->port);
    return rc;
}

int bcda__url_add_base(struct bcda__buf *to, const char *url)
{
    size_t len = strlen(url);

    while (len && url[len - 1] == '/')
        len--;
    return bcda__buf_add(to, url, len);
}

void bcda__url_last_segment(const struct bcda__url *u, const char **name, size_t *len)
{
    size_t at = u->path_len;

    while (at > 0 && u->path[at - 1] != '/')
        at--;
    *name = u->path + at;
    *len = u->path_len - at;
}

int bcda__url_add_escaped(struct bcda__buf *to, const char *text, const char *also)
{
    static const char hex[] = "0123456789ABCDEF";
    const unsigned char *p;
    int rc = 0;

    for (p = (const unsigned char *)text; *p && !rc; p++) {
        int plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                    (*p >= '0' && *p <= '9') || strchr("-._~", *p) || strchr(also, *p);
        char out[3] = {'%', hex[*p >> 4], hex[*p & 15]};

        rc = plain ? bcda__buf_add(to, p, 1) : bcda__buf_add(to, out, 3);
    }
    return rc;
}

int bcda__url_add_unescaped(struct bcda__buf *to, const char *text, size_t len)
{
    size_t i, made;
    int rc = 0;

    for (i = 0; i < len && !rc; i++) {
        uint8_t c = text[i] == '+' ? ' ' : (uint8_t)text[i];

        if (text[i] == '%' && len - i > 2 &&
            !bcda__text_hex_decode(text + i + 1, 2, &c, 1, &made) && c)
            i += 2;
        else if (text[i] == '%')
            c = '%';
        rc = bcda__buf_add(to, &c, 1);
    }
    return rc;
}

/* Returns the precision for "%.*s" of a text of `len` bytes. A text that is too long for the buffer
 * gets `size`, one byte more than fits, so that bcda__text_print() marks it as cut. */
static int shown_len(size_t len, size_t size)
{
    return (int)(len < size ? len : size);
}

void bcda__url_show(const char *text, char *out, size_t size)
{
    const char *host = strstr(text, "://");
    size_t scheme = host ? (size_t)(host - text) + 3 : 0;
    size_t len = strcspn(text + scheme, "/?#"), at = len;

    while (at > 0 && text[scheme + at - 1] != '@')
        at--;
    len = strcspn(text + scheme + at, "?#");
    bcda__text_print(out, size, "%.*s%.*s", shown_len(scheme, size), text, shown_len(len, size),
                     text + scheme + at);
    out[strcspn(out, "?#")] = '\0'; /* in a text that is not a URL, '?' or '#' may precede "://" */
}
