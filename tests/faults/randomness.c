/* A random number generator that fails when it is told to: preloaded in front of the C library's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

static int failing, failed;

/* For Python: fails from now on, or works again. Returns how often it failed. */
int randomness_fail(int on) {
    failing = on;
    return failed;
}

ssize_t getrandom(void *buffer, size_t length, unsigned flags) {
    /* A length of zero only asks whether there is such a call. */
    if (failing && length) {
        failed++;
        errno = EIO;
        return -1;
    }
    return ((__typeof__(&getrandom))dlsym(RTLD_NEXT, "getrandom"))(buffer, length, flags);
}

/* The kernel's generator without a system call (__vdso_getrandom) cannot be made to fail, so there is none. */
void *dlopen(const char *name, int flags) {
    if (name && strstr(name, "linux-vdso"))
        return NULL;
    return ((__typeof__(&dlopen))dlsym(RTLD_NEXT, "dlopen"))(name, flags);
}
