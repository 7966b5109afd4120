/* A broken client: it does not check the authentication tag. */
#include "codec/crypto.h"

int __wrap_bcda__gcm_finish(struct bcda__gcm *g);

int __wrap_bcda__gcm_finish(struct bcda__gcm *g)
{
    (void)g;
    return 0;
}
