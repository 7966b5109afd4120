/* A broken client, which the bench must detect: it does not check the GCM tag of an encrypted file.
 */
#include "codec/crypto.h"

int __wrap_bcda__gcm_finish(struct bcda__gcm *g);

int __wrap_bcda__gcm_finish(struct bcda__gcm *g)
{
    (void)g;
    return 0;
}
