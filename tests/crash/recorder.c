/* Records what a process does to the files of one directory, in order: opens, writes, truncations, links,
 * renames, deletions and syncs, those of the directory included.
 *
 * A preloaded library that stands in front of the C library's functions. It therefore sees SQLite's own VFS, the
 * engine below it and Python's os module alike, and nothing has to be modelled: a directory is synced where
 * SQLite syncs it. The log is kept in memory; log.py reads it.
 *
 * A sync can be made to fail, as on a medium that refuses what it is given: disk.py has what that means.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FD 4096
#define CREATED 1
#define EMPTIED 2
#define REAL(name) ((__typeof__(&name))real(#name))

/* One entry of the log; `length` bytes of data follow. All fields little-endian, as the machine is. */
struct entry {
    uint32_t operation;
    int32_t file;
    int64_t number;
    uint64_t length;
};

static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char *root;
static char tracked[MAX_FD];
/* What of the path of a descriptor comes behind the folder; "." for the folder itself. */
static char names[MAX_FD][256];
/* Syncs, or with `failing_write` writes, of files whose names match `failing`, after `failing_after` others, fail
 * `failing_times`, with `failing_error`. */
static char *failing;
static int failing_write, failing_after, failing_times, failing_error;
static void (*on_failure)(int file);
static char *log_bytes;
static size_t log_length, log_capacity;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static void append(char operation, int file, int64_t number, const void *data, size_t length) {
    struct entry entry = {(uint32_t)operation, file, number, length};
    if (log_length + sizeof entry + length > log_capacity) {
        log_capacity = (log_length + sizeof entry + length) * 2;
        log_bytes = realloc(log_bytes, log_capacity);
        if (!log_bytes) abort();
    }
    memcpy(log_bytes + log_length, &entry, sizeof entry);
    if (length) memcpy(log_bytes + log_length + sizeof entry, data, length);
    log_length += sizeof entry + length;
}

static void record(char operation, int file, int64_t number, const void *data, size_t length) {
    int saved = errno;
    pthread_mutex_lock(&mutex);
    append(operation, file, number, data, length);
    pthread_mutex_unlock(&mutex);
    errno = saved;
}

/* For Python: starts anew with the files of `directory`, an absolute path. */
void recorder_start(const char *directory) {
    pthread_mutex_lock(&mutex);
    free(root);
    root = strdup(directory);
    memset(tracked, 0, sizeof tracked);
    log_length = 0;
    failing_times = 0;
    pthread_mutex_unlock(&mutex);
}

/* From the start of a recording on: `times` syncs, or writes, of files whose names match `pattern`, as fnmatch has it, fail
 * with `error` after `after` others. `failed` is called with the descriptor before the caller learns of it; it may be
 * NULL. */
void recorder_fail(const char *pattern, int write, int after, int times, int error, void (*failed)(int file)) {
    pthread_mutex_lock(&mutex);
    free(failing);
    failing = strdup(pattern);
    failing_after = after;
    failing_times = times;
    failing_write = write;
    failing_error = error;
    on_failure = failed;
    pthread_mutex_unlock(&mutex);
}

/* Ends the recording; the log stays until the next start. */
void recorder_stop(void) {
    pthread_mutex_lock(&mutex);
    free(root);
    root = NULL;
    memset(tracked, 0, sizeof tracked);
    pthread_mutex_unlock(&mutex);
}

void recorder_mark(int64_t number) { record('m', -1, number, NULL, 0); }

const char *recorder_log(size_t *length) {
    *length = log_length;
    return log_bytes;
}

static int is_inside(const char *path) {
    size_t length;
    if (!root || !path) return 0;
    length = strlen(root);
    return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int is_tracked(int file) { return root && file >= 0 && file < MAX_FD && tracked[file]; }

static int opened(int file, const char *path, int existed, int flags) {
    if (file >= 0 && file < MAX_FD) {
        tracked[file] = (char)is_inside(path);
        if (tracked[file]) {
            const char *name = path + strlen(root);
            strncpy(names[file], *name ? name + 1 : ".", sizeof names[file] - 1);
            record('o', file, (existed ? 0 : CREATED) | ((flags & O_TRUNC) ? EMPTIED : 0), path, strlen(path));
        }
    }
    return file;
}

#define HELD "/proc/self/fd/"

/* The full name of a file that is named within an open folder, by its descriptor or by the path of that. */
static const char *located(int at, const char *path, char *full) {
    char link[64];
    char *rest;
    ssize_t length;
    int saved = errno;
    if (!path) return path;
    if (strncmp(path, HELD, strlen(HELD)) == 0) {
        at = (int)strtol(path + strlen(HELD), &rest, 10);
        if (*rest != '/') return path;
        path = rest + 1;
    }
    if (path[0] == '/' || at == AT_FDCWD) return path;
    snprintf(link, sizeof link, HELD "%d", at);
    length = readlink(link, full, PATH_MAX - 1);
    errno = saved;
    if (length < 0) return path;
    full[length] = 0;
    if (strcmp(path, ".") != 0) snprintf(full + length, PATH_MAX - (size_t)length, "/%s", path);
    return full;
}

static int exists(const char *path) {
    int saved = errno, found = access(path, F_OK) == 0;
    errno = saved;
    return found;
}

/* What is opened with O_PATH can be neither read nor written nor synced. */
#define OPEN(name, at, parameters, arguments, flags_name)                    \
    int name parameters {                                                    \
        mode_t mode = 0;                                                     \
        char full[PATH_MAX];                                                 \
        const char *place = located(at, path, full);                         \
        int existed = is_inside(place) && exists(place);                     \
        va_list list;                                                        \
        va_start(list, flags_name);                                          \
        if (flags_name & (O_CREAT | __O_TMPFILE)) mode = va_arg(list, mode_t); \
        va_end(list);                                                        \
        if (flags_name & O_PATH) return REAL(name) arguments;                \
        return opened(REAL(name) arguments, place, existed, flags_name);     \
    }

OPEN(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode), flags)
OPEN(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode), flags)
OPEN(openat, at, (int at, const char *path, int flags, ...), (at, path, flags, mode), flags)
OPEN(openat64, at, (int at, const char *path, int flags, ...), (at, path, flags, mode), flags)

/* What a call without a mode becomes where the C library's checks are compiled in. */
int __open_2(const char *path, int flags) { return open(path, flags); }
int __open64_2(const char *path, int flags) { return open64(path, flags); }

/* A second descriptor of a file is opened under the name that the file has. */
static int duplicated(int file, int command, int result) {
    char full[PATH_MAX];
    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && result >= 0 && is_tracked(file))
        opened(result, located(file, ".", full), 1, 0);
    return result;
}

#define CONTROL(name)                                                               \
    int name(int file, int command, ...) {                                          \
        va_list list;                                                               \
        void *argument;                                                             \
        va_start(list, command);                                                    \
        argument = va_arg(list, void *);                                            \
        va_end(list);                                                               \
        return duplicated(file, command, REAL(name)(file, command, argument));      \
    }

CONTROL(fcntl)
CONTROL(fcntl64)

int close(int file) {
    if (is_tracked(file)) {
        record('c', file, 0, NULL, 0);
        tracked[file] = 0;
    }
    return REAL(close)(file);
}

/* Is this the sync, or the write, that is to fail? */
static int fails(int file, int write) {
    int found;
    if (!is_tracked(file)) return 0;
    pthread_mutex_lock(&mutex);
    found = failing_times > 0 && failing_write == write && fnmatch(failing, names[file], 0) == 0 && --failing_after < 0;
    if (found) failing_times--;
    pthread_mutex_unlock(&mutex);
    return found;
}

static int refused(int file) {
    if (!fails(file, 1)) return 0;
    record('n', file, 0, NULL, 0);
    errno = failing_error;
    return 1;
}

static ssize_t written(int file, const void *data, ssize_t count, off64_t offset) {
    if (count > 0 && is_tracked(file)) record('w', file, offset, data, (size_t)count);
    return count;
}

ssize_t pwrite(int file, const void *data, size_t count, off_t offset) {
    if (refused(file)) return -1;
    return written(file, data, REAL(pwrite)(file, data, count, offset), offset);
}

ssize_t pwrite64(int file, const void *data, size_t count, off64_t offset) {
    if (refused(file)) return -1;
    return written(file, data, REAL(pwrite64)(file, data, count, offset), offset);
}

ssize_t write(int file, const void *data, size_t count) {
    ssize_t done;
    if (refused(file)) return -1;
    done = REAL(write)(file, data, count);
    if (done > 0 && is_tracked(file)) written(file, data, done, lseek(file, 0, SEEK_CUR) - done);
    return done;
}

static int truncated(int file, int result, off64_t size) {
    if (result == 0 && is_tracked(file)) record('t', file, size, NULL, 0);
    return result;
}

int ftruncate(int file, off_t size) { return truncated(file, REAL(ftruncate)(file, size), size); }
int ftruncate64(int file, off64_t size) { return truncated(file, REAL(ftruncate64)(file, size), size); }

static int synced(int file, int (*sync)(int)) {
    int result;
    if (fails(file, 0)) {
        record('f', file, 0, NULL, 0);
        if (on_failure) on_failure(file);
        errno = failing_error;
        return -1;
    }
    result = sync(file);
    if (result == 0 && is_tracked(file)) record('s', file, 0, NULL, 0);
    return result;
}

int fsync(int file) { return synced(file, REAL(fsync)); }
int fdatasync(int file) { return synced(file, REAL(fdatasync)); }

/* The medium's bytes are read again from here on: for `on_failure`, and no write of the program's. */
int recorder_restore(int file, const void *data, size_t count, int64_t offset) {
    return REAL(pwrite64)(file, data, count, offset) == (ssize_t)count ? 0 : -1;
}

/* The pages that a failed sync has left are taken out of the cache. */
void recorder_evicted(int file) { record('e', file, 0, NULL, 0); }

/* Folders are not recorded: a file's name says in which it is. */
int unlinkat(int at, const char *path, int flags) {
    char full[PATH_MAX];
    const char *place = located(at, path, full);
    int result = REAL(unlinkat)(at, path, flags);
    if (result == 0 && !(flags & AT_REMOVEDIR) && is_inside(place)) record('u', -1, 0, place, strlen(place));
    return result;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

/* Records two names, with the NUL between them. */
static void record_names(char operation, const char *from, const char *to) {
    size_t first = strlen(from) + 1, second = strlen(to);
    char *both = malloc(first + second);
    if (!both) abort();
    memcpy(both, from, first);
    memcpy(both + first, to, second);
    record(operation, -1, 0, both, first + second);
    free(both);
}

static int moved(char operation, int result, int from_at, const char *from, int to_at, const char *to) {
    char full_from[PATH_MAX], full_to[PATH_MAX];
    from = located(from_at, from, full_from);
    to = located(to_at, to, full_to);
    if (result == 0 && (is_inside(from) || is_inside(to))) record_names(operation, from, to);
    return result;
}

int renameat(int from_at, const char *from, int to_at, const char *to) {
    return moved('r', REAL(renameat)(from_at, from, to_at, to), from_at, from, to_at, to);
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    return moved('l', REAL(linkat)(from_at, from, to_at, to, flags), from_at, from, to_at, to);
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* What the simulator does not understand must not go unseen. */
static void refuse(int file, const char *what) {
    if (is_tracked(file)) record('x', file, 0, what, strlen(what));
}

#define REFUSE(type, name, parameters, arguments, file) \
    type name parameters {                              \
        refuse(file, #name);                            \
        return REAL(name) arguments;                    \
    }

REFUSE(int, posix_fallocate, (int f, off_t o, off_t n), (f, o, n), f)
REFUSE(int, posix_fallocate64, (int f, off64_t o, off64_t n), (f, o, n), f)
REFUSE(int, fallocate, (int f, int m, off_t o, off_t n), (f, m, o, n), f)
REFUSE(int, fallocate64, (int f, int m, off64_t o, off64_t n), (f, m, o, n), f)
REFUSE(ssize_t, writev, (int f, const struct iovec *v, int n), (f, v, n), f)
REFUSE(ssize_t, pwritev, (int f, const struct iovec *v, int n, off_t o), (f, v, n, o), f)
REFUSE(ssize_t, pwritev64, (int f, const struct iovec *v, int n, off64_t o), (f, v, n, o), f)

/* Copies inside the kernel: who is told that there are none copies by reading and writing. */
#define ABSENT(type, name, parameters, arguments, file) \
    type name parameters {                              \
        if (!is_tracked(file))                          \
            return REAL(name) arguments;                \
        errno = ENOSYS;                                 \
        return -1;                                      \
    }

ABSENT(ssize_t, copy_file_range, (int i, off64_t *a, int o, off64_t *b, size_t n, unsigned f), (i, a, o, b, n, f), o)
ABSENT(ssize_t, sendfile, (int o, int i, off_t *a, size_t n), (o, i, a, n), o)
ABSENT(ssize_t, sendfile64, (int o, int i, off64_t *a, size_t n), (o, i, a, n), o)

#define MAP(name, offset)                                                                   \
    void *name(void *at, size_t n, int protection, int flags, int file, offset position) {  \
        if ((protection & PROT_WRITE) && (flags & MAP_SHARED)) refuse(file, #name);         \
        return REAL(name)(at, n, protection, flags, file, position);                        \
    }

MAP(mmap, off_t)
MAP(mmap64, off64_t)
