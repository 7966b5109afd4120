/* Initialisation that all sessions of the process share. */
#ifndef BCDA_CLIENT_GLOBAL_H
#define BCDA_CLIENT_GLOBAL_H

#include "base/err.h"

/* Initialises libgcrypt for a config that reads a key before a session or decoder exists. */
int bcda__global_crypto(struct bcda_error *err);

#endif
