//! SQLite's C interface, as far as a VFS needs it (sqlite3.h; names and numbers are SQLite's).
#![allow(non_camel_case_types, missing_docs)]

use std::ffi::{c_char, c_int, c_void};

pub const SQLITE_OK: c_int = 0;
pub const SQLITE_ERROR: c_int = 1;
pub const SQLITE_INTERNAL: c_int = 2;
pub const SQLITE_BUSY: c_int = 5;
pub const SQLITE_LOCKED: c_int = 6;
pub const SQLITE_NOMEM: c_int = 7;
pub const SQLITE_READONLY: c_int = 8;
/// The file is no longer the one of its name.
pub const SQLITE_READONLY_DBMOVED: c_int = 1032;
pub const SQLITE_IOERR: c_int = 10;
pub const SQLITE_NOTFOUND: c_int = 12;
pub const SQLITE_CANTOPEN: c_int = 14;
pub const SQLITE_MISUSE: c_int = 21;
pub const SQLITE_AUTH: c_int = 23;
pub const SQLITE_NOTADB: c_int = 26;
pub const SQLITE_WARNING: c_int = 28;
pub const SQLITE_IOERR_READ: c_int = SQLITE_IOERR | (1 << 8);
pub const SQLITE_IOERR_WRITE: c_int = SQLITE_IOERR | (3 << 8);
pub const SQLITE_IOERR_SHORT_READ: c_int = SQLITE_IOERR | (2 << 8);
pub const SQLITE_IOERR_NOMEM: c_int = SQLITE_IOERR | (12 << 8);
pub const SQLITE_IOERR_DATA: c_int = SQLITE_IOERR | (32 << 8);
pub const SQLITE_OK_LOAD_PERMANENTLY: c_int = 1 << 8;

pub const SQLITE_OPEN_READONLY: c_int = 0x0000_0001;
pub const SQLITE_OPEN_READWRITE: c_int = 0x0000_0002;
pub const SQLITE_OPEN_URI: c_int = 0x0000_0040;
pub const SQLITE_OPEN_CREATE: c_int = 0x0000_0004;
pub const SQLITE_OPEN_MAIN_DB: c_int = 0x0000_0100;
pub const SQLITE_OPEN_TEMP_DB: c_int = 0x0000_0200;
pub const SQLITE_OPEN_TRANSIENT_DB: c_int = 0x0000_0400;
pub const SQLITE_OPEN_MAIN_JOURNAL: c_int = 0x0000_0800;
pub const SQLITE_OPEN_TEMP_JOURNAL: c_int = 0x0000_1000;
pub const SQLITE_OPEN_SUBJOURNAL: c_int = 0x0000_2000;
pub const SQLITE_OPEN_SUPER_JOURNAL: c_int = 0x0000_4000;
pub const SQLITE_OPEN_WAL: c_int = 0x0008_0000;

pub const SQLITE_ACCESS_EXISTS: c_int = 0;

pub const SQLITE_LOCK_NONE: c_int = 0;
pub const SQLITE_LOCK_SHARED: c_int = 1;
pub const SQLITE_LOCK_RESERVED: c_int = 2;
pub const SQLITE_LOCK_EXCLUSIVE: c_int = 4;

pub const SQLITE_SHM_UNLOCK: c_int = 1;
pub const SQLITE_SHM_LOCK: c_int = 2;
pub const SQLITE_SHM_SHARED: c_int = 4;
pub const SQLITE_SHM_EXCLUSIVE: c_int = 8;

pub const SQLITE_SYNC_NORMAL: c_int = 2;

pub const SQLITE_IOCAP_SAFE_APPEND: c_int = 0x0000_0200;
pub const SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN: c_int = 0x0000_0800;
pub const SQLITE_IOCAP_POWERSAFE_OVERWRITE: c_int = 0x0000_1000;
pub const SQLITE_IOCAP_IMMUTABLE: c_int = 0x0000_2000;

pub const SQLITE_FCNTL_LOCKSTATE: c_int = 1;
pub const SQLITE_FCNTL_SIZE_HINT: c_int = 5;
pub const SQLITE_FCNTL_CHUNK_SIZE: c_int = 6;
pub const SQLITE_FCNTL_FILE_POINTER: c_int = 7;
pub const SQLITE_FCNTL_OVERWRITE: c_int = 11;
pub const SQLITE_FCNTL_VFSNAME: c_int = 12;
pub const SQLITE_FCNTL_POWERSAFE_OVERWRITE: c_int = 13;
pub const SQLITE_FCNTL_PRAGMA: c_int = 14;
pub const SQLITE_FCNTL_MMAP_SIZE: c_int = 18;
pub const SQLITE_FCNTL_HAS_MOVED: c_int = 20;
pub const SQLITE_FCNTL_SYNC: c_int = 21;
pub const SQLITE_FCNTL_COMMIT_PHASETWO: c_int = 22;
pub const SQLITE_FCNTL_CKPT_DONE: c_int = 37;
pub const SQLITE_FCNTL_CKPT_START: c_int = 39;
pub const SQLITE_FCNTL_VFS_POINTER: c_int = 27;
pub const SQLITE_FCNTL_PDB: c_int = 30;
pub const SQLITE_FCNTL_BEGIN_ATOMIC_WRITE: c_int = 31;
pub const SQLITE_FCNTL_COMMIT_ATOMIC_WRITE: c_int = 32;
pub const SQLITE_FCNTL_ROLLBACK_ATOMIC_WRITE: c_int = 33;

#[repr(C)]
pub struct sqlite3 {
    _opaque: [u8; 0],
}

#[repr(C)]
pub struct sqlite3_stmt {
    _opaque: [u8; 0],
}

#[repr(C)]
pub struct sqlite3_mutex {
    _opaque: [u8; 0],
}

#[repr(C)]
pub struct sqlite3_file {
    pub methods: *const sqlite3_io_methods,
}

type File = *mut sqlite3_file;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct sqlite3_io_methods {
    pub version: c_int,
    pub close: Option<unsafe extern "C" fn(File) -> c_int>,
    pub read: Option<unsafe extern "C" fn(File, *mut c_void, c_int, i64) -> c_int>,
    pub write: Option<unsafe extern "C" fn(File, *const c_void, c_int, i64) -> c_int>,
    pub truncate: Option<unsafe extern "C" fn(File, i64) -> c_int>,
    pub sync: Option<unsafe extern "C" fn(File, c_int) -> c_int>,
    pub file_size: Option<unsafe extern "C" fn(File, *mut i64) -> c_int>,
    pub lock: Option<unsafe extern "C" fn(File, c_int) -> c_int>,
    pub unlock: Option<unsafe extern "C" fn(File, c_int) -> c_int>,
    pub check_reserved_lock: Option<unsafe extern "C" fn(File, *mut c_int) -> c_int>,
    pub file_control: Option<unsafe extern "C" fn(File, c_int, *mut c_void) -> c_int>,
    pub sector_size: Option<unsafe extern "C" fn(File) -> c_int>,
    pub device_characteristics: Option<unsafe extern "C" fn(File) -> c_int>,
    // Version 2.
    pub shm_map: Option<unsafe extern "C" fn(File, c_int, c_int, c_int, *mut *mut c_void) -> c_int>,
    pub shm_lock: Option<unsafe extern "C" fn(File, c_int, c_int, c_int) -> c_int>,
    pub shm_barrier: Option<unsafe extern "C" fn(File)>,
    pub shm_unmap: Option<unsafe extern "C" fn(File, c_int) -> c_int>,
    // Version 3.
    pub fetch: Option<unsafe extern "C" fn(File, i64, c_int, *mut *mut c_void) -> c_int>,
    pub unfetch: Option<unsafe extern "C" fn(File, i64, *mut c_void) -> c_int>,
}

impl sqlite3_io_methods {
    /// Version 1, and no method: what a table has beside its own.
    pub const NONE: Self = Self {
        version: 1,
        close: None,
        read: None,
        write: None,
        truncate: None,
        sync: None,
        file_size: None,
        lock: None,
        unlock: None,
        check_reserved_lock: None,
        file_control: None,
        sector_size: None,
        device_characteristics: None,
        shm_map: None,
        shm_lock: None,
        shm_barrier: None,
        shm_unmap: None,
        fetch: None,
        unfetch: None,
    };
}

pub type sqlite3_syscall_ptr = Option<unsafe extern "C" fn()>;
type Vfs = *mut sqlite3_vfs;
type DlSym = Option<unsafe extern "C" fn(Vfs, *mut c_void, *const c_char) -> sqlite3_syscall_ptr>;

#[repr(C)]
pub struct sqlite3_vfs {
    pub version: c_int,
    pub os_file_size: c_int,
    pub max_pathname: c_int,
    pub next: Vfs,
    pub name: *const c_char,
    pub app_data: *mut c_void,
    pub open: Option<unsafe extern "C" fn(Vfs, *const c_char, File, c_int, *mut c_int) -> c_int>,
    pub delete: Option<unsafe extern "C" fn(Vfs, *const c_char, c_int) -> c_int>,
    pub access: Option<unsafe extern "C" fn(Vfs, *const c_char, c_int, *mut c_int) -> c_int>,
    pub full_pathname: Option<unsafe extern "C" fn(Vfs, *const c_char, c_int, *mut c_char) -> c_int>,
    pub dl_open: Option<unsafe extern "C" fn(Vfs, *const c_char) -> *mut c_void>,
    pub dl_error: Option<unsafe extern "C" fn(Vfs, c_int, *mut c_char)>,
    pub dl_sym: DlSym,
    pub dl_close: Option<unsafe extern "C" fn(Vfs, *mut c_void)>,
    pub randomness: Option<unsafe extern "C" fn(Vfs, c_int, *mut c_char) -> c_int>,
    pub sleep: Option<unsafe extern "C" fn(Vfs, c_int) -> c_int>,
    pub current_time: Option<unsafe extern "C" fn(Vfs, *mut f64) -> c_int>,
    pub get_last_error: Option<unsafe extern "C" fn(Vfs, c_int, *mut c_char) -> c_int>,
    // Version 2.
    pub current_time_int64: Option<unsafe extern "C" fn(Vfs, *mut i64) -> c_int>,
    // Version 3.
    pub set_system_call: Option<unsafe extern "C" fn(Vfs, *const c_char, sqlite3_syscall_ptr) -> c_int>,
    pub get_system_call: Option<unsafe extern "C" fn(Vfs, *const c_char) -> sqlite3_syscall_ptr>,
    pub next_system_call: Option<unsafe extern "C" fn(Vfs, *const c_char) -> *const c_char>,
}
