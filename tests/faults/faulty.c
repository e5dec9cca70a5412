/* A VFS over another one whose n-th call fails.
 *
 * Every call that can fail is counted and logged. Syncs are counted and not passed down: no test here cuts the
 * power. One process-wide plan, for tests that use one thread at a time.
 */
#include "sqlite_vfs.h"

#include <stdlib.h>
#include <string.h>

/* What is called; faulty.py has the same numbers. */
enum operation {
    OPEN, CLOSE, READ, WRITE, TRUNCATE, SYNC, SIZE, LOCK, UNLOCK, RESERVED, CONTROL, FETCH,
    SHM_MAP, SHM_LOCK, SHM_UNLOCK, SHM_UNMAP, DELETE, ACCESS, FULL_PATH
};

/* How much of a failing call is done all the same. */
enum effect { NOTHING, HALF, ALL };

/* Which calls fail after the first that does. */
enum scope { ONCE, SAME_OPERATION, EVERY };

/* One entry of the log. */
struct call {
    unsigned char operation, file;
};

struct file {
    sqlite3_file head;
    unsigned char kind;
    sqlite3_file *below;
};

static sqlite3_vfs vfs;
static sqlite3_vfs *base;

static struct {
    long at;
    int code, effect, scope;
    int armed, fired, operation;
} plan;

static struct call *calls;
static long count, capacity;

/* Starts counting anew; call `at` will return `code` after doing `effect`. */
void faulty_arm(long at, int code, int effect, int scope) {
    plan.at = at;
    plan.code = code;
    plan.effect = effect;
    plan.scope = scope;
    plan.armed = 1;
    plan.fired = 0;
    count = 0;
}

/* Nothing fails and nothing is counted from here on. Returns how many calls failed. */
int faulty_disarm(void) {
    plan.armed = 0;
    return plan.fired;
}

const struct call *faulty_calls(long *number) {
    *number = count;
    return calls;
}

/* Counts a call. Does it fail? */
static int fails(enum operation operation, int file) {
    long index = count;
    if (!plan.armed) return 0;
    if (count == capacity) {
        capacity = capacity ? capacity * 2 : 4096;
        calls = realloc(calls, (size_t)capacity * sizeof *calls);
        if (!calls) abort();
    }
    calls[count].operation = (unsigned char)operation;
    calls[count].file = (unsigned char)file;
    count++;
    if (index == plan.at) plan.operation = operation;
    if (index == plan.at || (plan.fired && (plan.scope == EVERY ||
                                            (plan.scope == SAME_OPERATION && plan.operation == (int)operation)))) {
        /* Once the storage is gone nothing of a call is done. */
        if (plan.fired && plan.scope == EVERY) plan.effect = NOTHING;
        plan.fired++;
        return 1;
    }
    return 0;
}

static struct file *ours(sqlite3_file *file) { return (struct file *)file; }
static sqlite3_file *below(sqlite3_file *file) { return ours(file)->below; }

/* Defines a method that fails as a whole or, with the effect ALL, after it was done. */
#define METHOD(name, operation, parameters, arguments)                    \
    static int x_##name parameters {                                      \
        if (fails(operation, ours(file)->kind)) {                         \
            if (plan.effect == ALL) below(file)->methods->name arguments; \
            return plan.code;                                             \
        }                                                                 \
        return below(file)->methods->name arguments;                      \
    }

METHOD(truncate, TRUNCATE, (sqlite3_file *file, sqlite3_int64 size), (below(file), size))
METHOD(file_size, SIZE, (sqlite3_file *file, sqlite3_int64 *size), (below(file), size))
METHOD(lock, LOCK, (sqlite3_file *file, int level), (below(file), level))
METHOD(unlock, UNLOCK, (sqlite3_file *file, int level), (below(file), level))
METHOD(check_reserved_lock, RESERVED, (sqlite3_file *file, int *out), (below(file), out))
METHOD(file_control, CONTROL, (sqlite3_file *file, int operation, void *argument),
       (below(file), operation, argument))
METHOD(shm_map, SHM_MAP, (sqlite3_file *file, int region, int size, int extend, void volatile **out),
       (below(file), region, size, extend, out))
METHOD(shm_lock, (flags & SQLITE_SHM_UNLOCK) ? SHM_UNLOCK : SHM_LOCK,
       (sqlite3_file *file, int first, int n, int flags), (below(file), first, n, flags))
METHOD(shm_unmap, SHM_UNMAP, (sqlite3_file *file, int delete), (below(file), delete))

static int x_close(sqlite3_file *file) {
    int code = below(file)->methods->close(below(file));
    return fails(CLOSE, ours(file)->kind) ? plan.code : code;
}

static int x_read(sqlite3_file *file, void *data, int length, sqlite3_int64 offset) {
    if (fails(READ, ours(file)->kind)) {
        if (plan.effect == HALF) {
            below(file)->methods->read(below(file), data, length / 2, offset);
            memset((char *)data + length / 2, 0, (size_t)(length - length / 2));
        }
        return plan.code;
    }
    return below(file)->methods->read(below(file), data, length, offset);
}

static int x_write(sqlite3_file *file, const void *data, int length, sqlite3_int64 offset) {
    if (fails(WRITE, ours(file)->kind)) {
        if (plan.effect == HALF) below(file)->methods->write(below(file), data, length / 2, offset);
        return plan.code;
    }
    return below(file)->methods->write(below(file), data, length, offset);
}

static int x_sync(sqlite3_file *file, int flags) {
    (void)flags;
    return fails(SYNC, ours(file)->kind) ? plan.code : SQLITE_OK;
}

static int x_sector_size(sqlite3_file *file) { return below(file)->methods->sector_size(below(file)); }

static int x_device_characteristics(sqlite3_file *file) {
    return below(file)->methods->device_characteristics(below(file));
}

static void x_shm_barrier(sqlite3_file *file) { below(file)->methods->shm_barrier(below(file)); }

static int x_fetch(sqlite3_file *file, sqlite3_int64 offset, int length, void **page) {
    if (fails(FETCH, ours(file)->kind)) {
        *page = NULL;
        return plan.code;
    }
    return below(file)->methods->fetch(below(file), offset, length, page);
}

static int x_unfetch(sqlite3_file *file, sqlite3_int64 offset, void *page) {
    return below(file)->methods->unfetch(below(file), offset, page);
}

static const sqlite3_io_methods methods = {
    3, x_close, x_read, x_write, x_truncate, x_sync, x_file_size, x_lock, x_unlock, x_check_reserved_lock,
    x_file_control, x_sector_size, x_device_characteristics, x_shm_map, x_shm_lock, x_shm_barrier, x_shm_unmap,
    x_fetch, x_unfetch,
};

static int kind_of(int flags) {
    if (flags & SQLITE_OPEN_MAIN_DB) return 1;
    if (flags & SQLITE_OPEN_MAIN_JOURNAL) return 2;
    if (flags & SQLITE_OPEN_WAL) return 3;
    return 4;
}

static int x_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *out_flags) {
    struct file *own = ours(file);
    int code;
    (void)self;
    own->head.methods = NULL;
    own->kind = (unsigned char)kind_of(flags);
    own->below = (sqlite3_file *)(own + 1);
    if (fails(OPEN, own->kind)) return plan.code;
    code = base->open(base, name, own->below, flags, out_flags);
    if (code == SQLITE_OK) own->head.methods = &methods;
    return code;
}

static int x_delete(sqlite3_vfs *self, const char *name, int sync) {
    (void)self;
    (void)sync;
    if (fails(DELETE, 0)) {
        if (plan.effect == ALL) base->delete(base, name, 0);
        return plan.code;
    }
    return base->delete(base, name, 0);
}

static int x_access(sqlite3_vfs *self, const char *name, int flags, int *out) {
    (void)self;
    return fails(ACCESS, 0) ? plan.code : base->access(base, name, flags, out);
}

static int x_full_pathname(sqlite3_vfs *self, const char *name, int length, char *out) {
    (void)self;
    return fails(FULL_PATH, 0) ? plan.code : base->full_pathname(base, name, length, out);
}

static int x_randomness(sqlite3_vfs *self, int length, char *out) {
    (void)self;
    return base->randomness(base, length, out);
}

static int x_sleep(sqlite3_vfs *self, int microseconds) {
    (void)self;
    /* SQLite waits up to ten seconds for a lock that never comes. */
    return plan.armed ? microseconds : base->sleep(base, microseconds);
}

static int x_current_time(sqlite3_vfs *self, double *out) {
    (void)self;
    return base->current_time(base, out);
}

static int x_current_time_int64(sqlite3_vfs *self, sqlite3_int64 *out) {
    (void)self;
    return base->current_time_int64(base, out);
}

static int x_get_last_error(sqlite3_vfs *self, int length, char *out) {
    (void)self;
    return base->get_last_error(base, length, out);
}

/* Registers "faulty" over the VFS `name` of the SQLite that the two functions belong to. */
int faulty_register(sqlite3_vfs *(*find)(const char *), int (*add)(sqlite3_vfs *, int), const char *name) {
    base = find(name);
    if (!base || base->version < 2) return SQLITE_IOERR;
    vfs.version = 2;
    vfs.file_size = (int)sizeof(struct file) + base->file_size;
    vfs.max_pathname = base->max_pathname;
    vfs.name = "faulty";
    vfs.open = x_open;
    vfs.delete = x_delete;
    vfs.access = x_access;
    vfs.full_pathname = x_full_pathname;
    vfs.randomness = x_randomness;
    vfs.sleep = x_sleep;
    vfs.current_time = x_current_time;
    vfs.get_last_error = x_get_last_error;
    vfs.current_time_int64 = x_current_time_int64;
    return add(&vfs, 0);
}
