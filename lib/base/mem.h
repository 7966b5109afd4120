/* The memory allocator. Each function that allocates may return NULL. No other file of lib/ calls
 * malloc(). So a test that replaces these functions at link time can make any allocation fail. */
#ifndef BCDA_BASE_MEM_H
#define BCDA_BASE_MEM_H

#include <stddef.h>

void *bcda__alloc(size_t size);
void *bcda__calloc(size_t count, size_t size); /* zeroed; NULL if count * size overflows */
void *bcda__realloc(void *ptr, size_t size);
void bcda__free(void *ptr); /* NULL is allowed */

#endif
