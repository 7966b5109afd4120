#include "client/credentials.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "bcda/error.h"

static void signing_key_unref(struct bcda__shared_signing_key *k)
{
    if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
        return;
    bcda__signing_key_free(k->key);
    bcda__free(k);
}

void bcda__credentials_free(struct bcda__credentials *c)
{
    bcda__free(c->client_id);
    bcda__secret_free(&c->client_secret);
    signing_key_unref(c->signing_key);
    bcda__secret_free(&c->bearer);
    bcda__registration_unref(c->provider);
    bcda__free(c->source);
    memset(c, 0, sizeof *c);
}

int bcda__credentials_copy(struct bcda__credentials *to, const struct bcda__credentials *from)
{
    to->way = from->way;
    if (from->signing_key)
        atomic_fetch_add(&from->signing_key->refs, 1);
    to->signing_key = from->signing_key;
    to->provider = bcda__registration_ref(from->provider);
    if ((from->client_id && !(to->client_id = bcda__strdup(from->client_id))) ||
        (from->source && !(to->source = bcda__strdup(from->source))) ||
        bcda__secret_copy(&to->client_secret, &from->client_secret) ||
        bcda__secret_copy(&to->bearer, &from->bearer))
        return BCDA_ERR_NOMEM;
    return 0;
}
