/* What belongs to the process. */
#ifndef BCDA_CLIENT_GLOBAL_H
#define BCDA_CLIENT_GLOBAL_H

#include "base/err.h"

/* libgcrypt, ready for use, before a session or decoder has been made: a config reads keys. */
int bcda__global_crypto(struct bcda_error *err);

#endif
