/* The state of the process. */
#ifndef BCDA_CLIENT_GLOBAL_H
#define BCDA_CLIENT_GLOBAL_H

#include "base/err.h"

/* Initialises libgcrypt before a session or decoder exists: a config reads keys. */
int bcda__global_crypto(struct bcda_error *err);

#endif
