/* SQLite's VFS interface, as much of sqlite3.h as faulty.c needs: its layout is frozen, and the tests then build
 * without SQLite's headers.
 */
#ifndef SQLITE_VFS_H
#define SQLITE_VFS_H

#include <stdint.h>

typedef struct sqlite3_file sqlite3_file;
typedef struct sqlite3_vfs sqlite3_vfs;
typedef int64_t sqlite3_int64;
typedef void (*sqlite3_symbol)(void);

typedef struct sqlite3_io_methods {
    int version;
    int (*close)(sqlite3_file *);
    int (*read)(sqlite3_file *, void *, int, sqlite3_int64);
    int (*write)(sqlite3_file *, const void *, int, sqlite3_int64);
    int (*truncate)(sqlite3_file *, sqlite3_int64);
    int (*sync)(sqlite3_file *, int);
    int (*file_size)(sqlite3_file *, sqlite3_int64 *);
    int (*lock)(sqlite3_file *, int);
    int (*unlock)(sqlite3_file *, int);
    int (*check_reserved_lock)(sqlite3_file *, int *);
    int (*file_control)(sqlite3_file *, int, void *);
    int (*sector_size)(sqlite3_file *);
    int (*device_characteristics)(sqlite3_file *);
    int (*shm_map)(sqlite3_file *, int, int, int, void volatile **);
    int (*shm_lock)(sqlite3_file *, int, int, int);
    void (*shm_barrier)(sqlite3_file *);
    int (*shm_unmap)(sqlite3_file *, int);
    int (*fetch)(sqlite3_file *, sqlite3_int64, int, void **);
    int (*unfetch)(sqlite3_file *, sqlite3_int64, void *);
} sqlite3_io_methods;

struct sqlite3_file {
    const sqlite3_io_methods *methods;
};

struct sqlite3_vfs {
    int version;
    int file_size;
    int max_pathname;
    sqlite3_vfs *next;
    const char *name;
    void *data;
    int (*open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
    int (*delete)(sqlite3_vfs *, const char *, int);
    int (*access)(sqlite3_vfs *, const char *, int, int *);
    int (*full_pathname)(sqlite3_vfs *, const char *, int, char *);
    void *(*dl_open)(sqlite3_vfs *, const char *);
    void (*dl_error)(sqlite3_vfs *, int, char *);
    sqlite3_symbol (*dl_sym)(sqlite3_vfs *, void *, const char *);
    void (*dl_close)(sqlite3_vfs *, void *);
    int (*randomness)(sqlite3_vfs *, int, char *);
    int (*sleep)(sqlite3_vfs *, int);
    int (*current_time)(sqlite3_vfs *, double *);
    int (*get_last_error)(sqlite3_vfs *, int, char *);
    int (*current_time_int64)(sqlite3_vfs *, sqlite3_int64 *);
};

#define SQLITE_OK 0
#define SQLITE_IOERR 10
#define SQLITE_IOERR_SHORT_READ 522
#define SQLITE_OPEN_MAIN_DB 0x100
#define SQLITE_OPEN_MAIN_JOURNAL 0x800
#define SQLITE_OPEN_WAL 0x80000
#define SQLITE_SHM_UNLOCK 1

#endif
