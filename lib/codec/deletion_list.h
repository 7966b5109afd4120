/* The deletions in a batch of a file of deletions. */
#ifndef BCDA_CODEC_DELETION_LIST_H
#define BCDA_CODEC_DELETION_LIST_H

#include "codec/batch.h"

/* Counts the deletions of a batch. Returns 0 or BCDA_ERR_NOMEM. */
int bcda__count_deletions(const bcda_batch *b, size_t *count);

#endif
