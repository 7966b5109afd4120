#include <pthread.h>

#include "base/mem.h"
#include "bcda/error.h"
#include "bcda/session.h"
#include "bcda/version.h"
#include "client/global.h"
#include "codec/crypto.h"
#include "net/http.h"

/* The only state of the process (DESIGN 1.4): how often the libraries below were asked for. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;
static int leave_gcrypt; /* BCDA_INIT_NO_GCRYPT was given: the host sets libgcrypt up */

static int init_libraries(void)
{
    int rc = bcda__http_global_init(NULL);

    if (rc)
        return rc;
    rc = bcda__crypto_init(leave_gcrypt, NULL);
    if (rc)
        bcda__http_global_cleanup();
    return rc;
}

int bcda_global_init(int flags)
{
    int rc = 0;

    if (flags & ~BCDA_INIT_NO_GCRYPT)
        return BCDA_ERR_INVALID;
    pthread_mutex_lock(&lock);
    if (flags & BCDA_INIT_NO_GCRYPT)
        leave_gcrypt = 1;
    if (users == 0)
        rc = init_libraries();
    if (!rc)
        users++;
    pthread_mutex_unlock(&lock);
    return rc;
}

void bcda_global_cleanup(void)
{
    pthread_mutex_lock(&lock);
    if (users > 0 && --users == 0)
        bcda__http_global_cleanup();
    pthread_mutex_unlock(&lock);
}

int bcda__global_crypto(struct bcda_error *err)
{
    int rc;

    pthread_mutex_lock(&lock);
    rc = bcda__crypto_init(leave_gcrypt, err);
    pthread_mutex_unlock(&lock);
    return rc;
}

void bcda_free(void *memory)
{
    bcda__free(memory);
}

int bcda_version_number(void)
{
    return BCDA_VERSION_NUMBER;
}

const char *bcda_version_string(void)
{
    return BCDA_VERSION_STRING;
}
