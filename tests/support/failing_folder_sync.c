/* A file system on which folders cannot be synced, or one whose medium fails at it: FOLDER_SYNC is the error. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

int fsync(int file) {
    struct stat status;
    const char *error = getenv("FOLDER_SYNC");
    if (error && fstat(file, &status) == 0 && S_ISDIR(status.st_mode)) {
        errno = atoi(error);
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}
