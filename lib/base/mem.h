/* The only access to the allocator. Each function may give NULL; nobody else in lib/ calls
 * malloc, so a test can wrap these names at link time and refuse any allocation it likes. */
#ifndef BCDA_BASE_MEM_H
#define BCDA_BASE_MEM_H

#include <stddef.h>

void *bcda__alloc(size_t size);
void *bcda__calloc(size_t count, size_t size); /* zeroed; NULL where count * size overflows */
void *bcda__realloc(void *ptr, size_t size);
void bcda__free(void *ptr); /* NULL is fine */

#endif
