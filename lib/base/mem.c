#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>

void *bcda__alloc(size_t size)
{
    return malloc(size ? size : 1);
}

void *bcda__calloc(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    return calloc(count ? count : 1, size ? size : 1);
}

void *bcda__realloc(void *ptr, size_t size)
{
    return realloc(ptr, size ? size : 1);
}

void bcda__free(void *ptr)
{
    free(ptr);
}
