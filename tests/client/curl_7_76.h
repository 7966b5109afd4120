/* Included with -include, so that curl.c is built as with the oldest libcurl that is supported. The
 * headers of the installed libcurl are newer. A test with this build therefore shows that the code
 * for the old version works; tests/house/curl.py checks that this code uses nothing newer. */
#define CURL_DISABLE_DEPRECATION
#include <curl/curl.h>
#undef LIBCURL_VERSION_NUM
#define LIBCURL_VERSION_NUM 0x074c00
