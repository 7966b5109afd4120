#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "bcda/error.h"
#include "bcda/session.h"
#include "bcda/version.h"
#include "client/global.h"
#include "codec/crypto.h"
#include "net/http.h"

/* The number of users of libcurl and libgcrypt. This is the only global state of the library. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint users;
static int leave_gcrypt; /* BCDA_INIT_NO_GCRYPT was given: the application initialises libgcrypt */

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

/* Adds `by` to the number of users if that number is greater than `least`, and then returns 1. Only
 * the first user and the last take the lock. A child of fork() whose parent had a session is never
 * the first or the last. So it does not wait for a lock that a thread of the parent held. */
static int count_user(unsigned least, int by)
{
    unsigned n = atomic_load(&users);

    while (n > least)
        if (atomic_compare_exchange_weak(&users, &n, by > 0 ? n + 1 : n - 1))
            return 1;
    return 0;
}

int bcda_global_init(int flags)
{
    int rc = 0;

    if (flags & ~BCDA_INIT_NO_GCRYPT)
        return BCDA_ERR_INVALID;
    if (!flags && count_user(0, 1))
        return 0;
    pthread_mutex_lock(&lock);
    if (flags & BCDA_INIT_NO_GCRYPT)
        leave_gcrypt = 1;
    if (!count_user(0, 1)) {
        rc = init_libraries();
        atomic_store(&users, rc ? 0 : 1);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

void bcda_global_cleanup(void)
{
    if (count_user(1, -1))
        return;
    pthread_mutex_lock(&lock);
    if (count_user(0, -1) && !atomic_load(&users))
        bcda__http_global_cleanup();
    pthread_mutex_unlock(&lock);
}

int bcda__global_crypto(struct bcda_error *err)
{
    int rc;

    if (atomic_load(&users)) /* libgcrypt is already initialised */
        return bcda__crypto_init(1, err);
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
