/* The C library may ask for a heap (newlib's printf family does for long doubles). There is none. */
#include <errno.h>
#include <stddef.h>

void *_sbrk(ptrdiff_t bytes);

void *_sbrk(ptrdiff_t bytes) {
    errno = ENOMEM;
    return (void *)-1;
}
