#!/usr/bin/env python3
"""Checks that lib/net/curl.c uses only symbols that the oldest supported libcurl has, except where an #if
checks LIBCURL_VERSION_NUM. The versions below come from libcurl-symbols(3), which is not on every
machine: a symbol that is in neither list must be looked up there and added."""
import os
import re

from house import ROOT, code, finish, problem, read

LEAST = (7, 76)
# Symbols that libcurl has since 7.61 or earlier.
OLD = set("""
    CURLE_BAD_CONTENT_ENCODING CURLE_COULDNT_CONNECT CURLE_COULDNT_RESOLVE_HOST
    CURLE_COULDNT_RESOLVE_PROXY CURLE_GOT_NOTHING CURLE_INTERFACE_FAILED CURLE_OK
    CURLE_OPERATION_TIMEDOUT CURLE_OUT_OF_MEMORY CURLE_PARTIAL_FILE
    CURLE_PEER_FAILED_VERIFICATION CURLE_RECV_ERROR CURLE_SEND_ERROR CURLE_SSL_CACERT_BADFILE
    CURLE_SSL_CERTPROBLEM CURLE_SSL_CIPHER CURLE_SSL_CONNECT_ERROR CURLE_SSL_ENGINE_NOTFOUND
    CURLE_SSL_ENGINE_SETFAILED CURLE_SSL_INVALIDCERTSTATUS CURLE_SSL_ISSUER_ERROR
    CURLE_TOO_MANY_REDIRECTS CURLE_UNSUPPORTED_PROTOCOL CURLE_URL_MALFORMAT CURLE_USE_SSL_FAILED
    CURLE_WEIRD_SERVER_REPLY CURLINFO_HTTP_CONNECTCODE
    CURLINFO_PRETRANSFER_TIME_T CURLINFO_PRIVATE CURLINFO_SSL_VERIFYRESULT CURLINFO_STARTTRANSFER_TIME_T
    CURLMOPT_SOCKETDATA CURLMOPT_SOCKETFUNCTION CURLMOPT_TIMERDATA CURLMOPT_TIMERFUNCTION
    CURLMSG_DONE CURLM_OK CURLM_OUT_OF_MEMORY CURLOPT_CAINFO CURLOPT_CAPATH
    CURLOPT_CLOSESOCKETDATA CURLOPT_CLOSESOCKETFUNCTION CURLOPT_OPENSOCKETDATA
    CURLOPT_OPENSOCKETFUNCTION CURL_SOCKET_BAD
    CURLOPT_CONNECTTIMEOUT_MS CURLOPT_CUSTOMREQUEST CURLOPT_ERRORBUFFER CURLOPT_FOLLOWLOCATION CURLOPT_FRESH_CONNECT
    CURLOPT_HEADERDATA CURLOPT_HEADERFUNCTION CURLOPT_HTTPHEADER CURLOPT_HTTP_VERSION
    CURLOPT_KEYPASSWD CURLOPT_NETRC CURLOPT_NOPROXY CURLOPT_NOSIGNAL CURLOPT_POST
    CURLOPT_POSTFIELDS CURLOPT_POSTFIELDSIZE CURLOPT_PRIVATE CURLOPT_PROTOCOLS CURLOPT_PROXY
    CURLOPT_PROXYPASSWORD CURLOPT_PROXYUSERNAME CURLOPT_REDIR_PROTOCOLS CURLOPT_SHARE
    CURLOPT_SSLCERT CURLOPT_SSLKEY CURLOPT_SSLVERSION CURLOPT_SSL_VERIFYHOST
    CURLOPT_SSL_VERIFYPEER CURLOPT_SUPPRESS_CONNECT_HEADERS CURLOPT_URL CURLOPT_USERAGENT
    CURLOPT_WRITEDATA CURLOPT_WRITEFUNCTION CURLPAUSE_CONT CURLPROTO_HTTP CURLPROTO_HTTPS
    CURLSHOPT_LOCKFUNC CURLSHOPT_SHARE CURLSHOPT_UNLOCKFUNC CURLSHOPT_USERDATA
    CURLVERSION_NOW CURL_CSELECT_IN CURL_CSELECT_OUT CURL_ERROR_SIZE
    CURL_GLOBAL_ALL CURL_HTTP_VERSION_1_1 CURL_LOCK_DATA_SSL_SESSION CURL_NETRC_IGNORED
    CURL_POLL_IN CURL_POLL_INOUT CURL_POLL_OUT CURL_SOCKET_TIMEOUT CURL_SSLVERSION_TLSv1_2
    CURL_VERSION_ASYNCHDNS CURL_VERSION_SSL CURL_WRITEFUNC_PAUSE
""".split())
NEWER = {
    "CURLOPT_HTTP09_ALLOWED": (7, 64),
    "CURLE_PROXY": (7, 73),
    "CURLE_SSL_CLIENTCERT": (7, 77),
    "CURLOPT_PROTOCOLS_STR": (7, 85),
    "CURLOPT_REDIR_PROTOCOLS_STR": (7, 85),
    "CURLOPT_QUICK_EXIT": (7, 87),
}

path = os.path.join(ROOT, "lib", "net", "curl.c")
conditions = []  # for each level of #if: the least version of libcurl; None if unknown
seen = set()
for number, line in enumerate(code(read(path)).split("\n"), 1):
    directive = re.match(r"\s*#\s*(if\w*|else|elif|endif)\b(.*)", line)
    if directive:
        word, rest = directive.groups()
        at_least = re.fullmatch(r"\s*LIBCURL_VERSION_NUM >= 0x([0-9a-f]{6})\s*", rest)
        version = at_least and tuple(bytes.fromhex(at_least.group(1))[:2])
        if word.startswith("if"):
            conditions.append(version)
        elif word == "endif":
            conditions.pop()
        else:
            conditions[-1] = version if word == "elif" else None
        continue
    have = max([LEAST] + [c for c in conditions if c])
    for symbol in re.findall(r"\bCURL[A-Z0-9]*_\w+", line):
        seen.add(symbol)
        if symbol in NEWER and NEWER[symbol] > have:
            problem(path, number, "%s is there since libcurl %d.%d" % (symbol, *NEWER[symbol]))
        elif symbol not in NEWER and symbol not in OLD:
            problem(path, number, f"{symbol}: since when? (libcurl-symbols(3))")
for symbol in sorted((OLD | set(NEWER)) - seen):
    problem(path, 0, f"{symbol} is in the list, but not used any more")
finish("curl")
