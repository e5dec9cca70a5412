/* Preloaded in front of the C library: random numbers that can be made to fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

/* Set from outside. */
int no_random = 0;
/* How often a failure was asked for and given. */
int no_random_failures = 0;

ssize_t getrandom(void *buffer, size_t length, unsigned flags) {
    static ssize_t (*next)(void *, size_t, unsigned);
    if (no_random) {
        no_random_failures++;
        errno = EIO;
        return -1;
    }
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "getrandom");
    return next(buffer, length, flags);
}
