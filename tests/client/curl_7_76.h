/* Put before a build by way of -include: curl.c as it is built where libcurl is the oldest that
 * will do. The headers at hand are newer, so this shows that the older ways work, not that nothing
 * newer is used: that is what tests/house/curl.py looks for. */
#define CURL_DISABLE_DEPRECATION
#include <curl/curl.h>
#undef LIBCURL_VERSION_NUM
#define LIBCURL_VERSION_NUM 0x074c00
