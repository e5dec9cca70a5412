//! The functions of one SQLite library. Several libraries live in one process, so they are held per
//! registration and never in a global.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use super::abi::{SQLITE_OK, sqlite3, sqlite3_mutex, sqlite3_stmt, sqlite3_vfs};
use super::log_lines;
use ground::error::{Fault, FaultClass, Result};
use ground::locks;
use ground::paths;

/// The oldest SQLite served: 3.34.0 (`sqlite3_filename_database` and friends, all file controls needed).
pub const OLDEST_SQLITE: c_int = 3_034_000;

/// Function pointers into one SQLite library.
#[derive(Clone, Copy)]
pub struct Api {
    /// The number of the library that these belong to, once it is served.
    pub(crate) host: u32,
    pub(crate) libversion_number: unsafe extern "C" fn() -> c_int,
    pub(crate) vfs_find: unsafe extern "C" fn(*const c_char) -> *mut sqlite3_vfs,
    pub(crate) vfs_register: unsafe extern "C" fn(*mut sqlite3_vfs, c_int) -> c_int,
    pub(crate) vfs_unregister: unsafe extern "C" fn(*mut sqlite3_vfs) -> c_int,
    pub(crate) mprintf: unsafe extern "C" fn(*const c_char, ...) -> *mut c_char,
    pub(crate) log: unsafe extern "C" fn(c_int, *const c_char, ...),
    pub(crate) db_filename: unsafe extern "C" fn(*mut sqlite3, *const c_char) -> *const c_char,
    pub(crate) file_control: unsafe extern "C" fn(*mut sqlite3, *const c_char, c_int, *mut c_void) -> c_int,
    pub(crate) uri_parameter: unsafe extern "C" fn(*const c_char, *const c_char) -> *const c_char,
    pub(crate) uri_key: unsafe extern "C" fn(*const c_char, c_int) -> *const c_char,
    pub(crate) filename_journal: unsafe extern "C" fn(*const c_char) -> *const c_char,
    pub(crate) filename_wal: unsafe extern "C" fn(*const c_char) -> *const c_char,
    pub(crate) open_v2: unsafe extern "C" fn(*const c_char, *mut *mut sqlite3, c_int, *const c_char) -> c_int,
    pub(crate) busy_timeout: unsafe extern "C" fn(*mut sqlite3, c_int) -> c_int,
    pub(crate) exec: Exec,
    pub(crate) get_autocommit: unsafe extern "C" fn(*mut sqlite3) -> c_int,
    pub(crate) close: unsafe extern "C" fn(*mut sqlite3) -> c_int,
    pub(crate) next_stmt: unsafe extern "C" fn(*mut sqlite3, *mut sqlite3_stmt) -> *mut sqlite3_stmt,
    pub(crate) stmt_busy: unsafe extern "C" fn(*mut sqlite3_stmt) -> c_int,
    pub(crate) sql: unsafe extern "C" fn(*mut sqlite3_stmt) -> *const c_char,
    pub(crate) errmsg: unsafe extern "C" fn(*mut sqlite3) -> *const c_char,
    pub(crate) extended_errcode: unsafe extern "C" fn(*mut sqlite3) -> c_int,
    pub(crate) db_mutex: unsafe extern "C" fn(*mut sqlite3) -> *mut sqlite3_mutex,
    pub(crate) mutex_try: unsafe extern "C" fn(*mut sqlite3_mutex) -> c_int,
    pub(crate) mutex_leave: unsafe extern "C" fn(*mut sqlite3_mutex),
}

/// `sqlite3_exec`: connection, SQL, callback with its argument, message.
type Exec = unsafe extern "C" fn(
    *mut sqlite3,
    *const c_char,
    Option<unsafe extern "C" fn(*mut c_void, c_int, *mut *mut c_char, *mut *mut c_char) -> c_int>,
    *mut c_void,
    *mut *mut c_char,
) -> c_int;

/// A function of SQLite: its exported name and its position in `sqlite3_api_routines` (sqlite3ext.h), counted in
/// pointers. That structure only ever grows at its end.
struct Symbol {
    name: &'static CStr,
    position: usize,
}

const BUSY_TIMEOUT: Symbol = Symbol { name: c"sqlite3_busy_timeout", position: 14 };
const CLOSE: Symbol = Symbol { name: c"sqlite3_close", position: 16 };
const ERRMSG: Symbol = Symbol { name: c"sqlite3_errmsg", position: 53 };
const EXEC: Symbol = Symbol { name: c"sqlite3_exec", position: 55 };
const GET_AUTOCOMMIT: Symbol = Symbol { name: c"sqlite3_get_autocommit", position: 60 };
const LIBVERSION_NUMBER: Symbol = Symbol { name: c"sqlite3_libversion_number", position: 67 };
const MPRINTF: Symbol = Symbol { name: c"sqlite3_mprintf", position: 69 };
const FILE_CONTROL: Symbol = Symbol { name: c"sqlite3_file_control", position: 127 };
const OPEN_V2: Symbol = Symbol { name: c"sqlite3_open_v2", position: 135 };
const MUTEX_LEAVE: Symbol = Symbol { name: c"sqlite3_mutex_leave", position: 133 };
const MUTEX_TRY: Symbol = Symbol { name: c"sqlite3_mutex_try", position: 134 };
const VFS_FIND: Symbol = Symbol { name: c"sqlite3_vfs_find", position: 141 };
const VFS_REGISTER: Symbol = Symbol { name: c"sqlite3_vfs_register", position: 142 };
const VFS_UNREGISTER: Symbol = Symbol { name: c"sqlite3_vfs_unregister", position: 143 };
const NEXT_STMT: Symbol = Symbol { name: c"sqlite3_next_stmt", position: 152 };
const SQL: Symbol = Symbol { name: c"sqlite3_sql", position: 153 };
const DB_MUTEX: Symbol = Symbol { name: c"sqlite3_db_mutex", position: 164 };
const EXTENDED_ERRCODE: Symbol = Symbol { name: c"sqlite3_extended_errcode", position: 166 };
const LOG: Symbol = Symbol { name: c"sqlite3_log", position: 167 };
const DB_FILENAME: Symbol = Symbol { name: c"sqlite3_db_filename", position: 180 };
const STMT_BUSY: Symbol = Symbol { name: c"sqlite3_stmt_busy", position: 184 };
const URI_PARAMETER: Symbol = Symbol { name: c"sqlite3_uri_parameter", position: 189 };
const URI_KEY: Symbol = Symbol { name: c"sqlite3_uri_key", position: 245 };
const FILENAME_JOURNAL: Symbol = Symbol { name: c"sqlite3_filename_journal", position: 247 };
const FILENAME_WAL: Symbol = Symbol { name: c"sqlite3_filename_wal", position: 248 };

impl Api {
    /// The functions in the routines table that SQLite hands to a loadable extension.
    ///
    /// # Safety
    /// `table` is the `sqlite3_api_routines` that SQLite passed to the extension's entry point.
    pub unsafe fn from_routines(table: *const c_void) -> Result<Api> {
        let routines = table.cast::<*const c_void>();
        // SAFETY: the version is asked for first, and a library of a version served has all the entries.
        unsafe { Api::resolve(&|symbol| Ok(*routines.add(symbol.position))) }
    }

    /// The functions that `shared_object` links, or that the process exports where it is `None`.
    pub fn from_library(shared_object: Option<&Path>) -> Result<Api> {
        let handle = match shared_object {
            None => libc::RTLD_DEFAULT,
            Some(path) => {
                let c_path = CString::new(paths::bytes(path))
                    .map_err(|_| Fault::new(FaultClass::InvalidArgument, "a path with a NUL byte"))?;
                // SAFETY: only an object that is loaded already is opened; it stays loaded for ever because
                // the handle is never closed.
                let handle = unsafe { libc::dlopen(c_path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
                if handle.is_null() {
                    return Err(Fault::new(
                        FaultClass::InvalidArgument,
                        format!(
                            "{} is not loaded in this process, so SQLite cannot be found through it",
                            paths::shown(path)
                        ),
                    ));
                }
                handle
            }
        };
        let find = |symbol: &Symbol| -> Result<*const c_void> {
            // SAFETY: a valid handle and a NUL-terminated name.
            let address = unsafe { libc::dlsym(handle, symbol.name.as_ptr()) };
            if address.is_null() {
                return Err(Fault::new(
                    FaultClass::InvalidArgument,
                    format!(
                        "{} is not visible to this process: SQLite is linked in without exported symbols",
                        symbol.name.to_string_lossy()
                    ),
                ));
            }
            Ok(address.cast_const())
        };
        // SAFETY: the symbols are SQLite's public functions.
        unsafe { Api::resolve(&find) }
    }

    /// Collects the functions; the version comes first, because an older library lacks some.
    ///
    /// # Safety
    /// `find` returns, for each symbol, the function of that name.
    #[allow(clippy::missing_transmute_annotations)] // The field's type says what each address is.
    unsafe fn resolve(find: &dyn Fn(&Symbol) -> Result<*const c_void>) -> Result<Api> {
        // SAFETY: as the caller promises; the types are those of sqlite3.h.
        unsafe {
            let libversion_number: unsafe extern "C" fn() -> c_int =
                std::mem::transmute(find(&LIBVERSION_NUMBER)?);
            check_version(libversion_number())?;
            Ok(Api {
                host: u32::MAX,
                libversion_number,
                vfs_find: std::mem::transmute(find(&VFS_FIND)?),
                vfs_register: std::mem::transmute(find(&VFS_REGISTER)?),
                vfs_unregister: std::mem::transmute(find(&VFS_UNREGISTER)?),
                mprintf: std::mem::transmute(find(&MPRINTF)?),
                log: std::mem::transmute(find(&LOG)?),
                db_filename: std::mem::transmute(find(&DB_FILENAME)?),
                file_control: std::mem::transmute(find(&FILE_CONTROL)?),
                uri_parameter: std::mem::transmute(find(&URI_PARAMETER)?),
                uri_key: std::mem::transmute(find(&URI_KEY)?),
                filename_journal: std::mem::transmute(find(&FILENAME_JOURNAL)?),
                filename_wal: std::mem::transmute(find(&FILENAME_WAL)?),
                open_v2: std::mem::transmute(find(&OPEN_V2)?),
                busy_timeout: std::mem::transmute(find(&BUSY_TIMEOUT)?),
                exec: std::mem::transmute(find(&EXEC)?),
                get_autocommit: std::mem::transmute(find(&GET_AUTOCOMMIT)?),
                close: std::mem::transmute(find(&CLOSE)?),
                next_stmt: std::mem::transmute(find(&NEXT_STMT)?),
                stmt_busy: std::mem::transmute(find(&STMT_BUSY)?),
                sql: std::mem::transmute(find(&SQL)?),
                errmsg: std::mem::transmute(find(&ERRMSG)?),
                extended_errcode: std::mem::transmute(find(&EXTENDED_ERRCODE)?),
                db_mutex: std::mem::transmute(find(&DB_MUTEX)?),
                mutex_try: std::mem::transmute(find(&MUTEX_TRY)?),
                mutex_leave: std::mem::transmute(find(&MUTEX_LEAVE)?),
            })
        }
    }

    /// The library's version number, as in `sqlite3_libversion_number`.
    pub fn version(&self) -> c_int {
        // SAFETY: it takes no arguments.
        unsafe { (self.libversion_number)() }
    }

    /// Is this the same library as `other`?
    pub fn is_same_library(&self, other: &Api) -> bool {
        std::ptr::fn_addr_eq(self.vfs_register, other.vfs_register)
    }

    /// The VFS of that name, or the default one; null if there is none.
    pub fn find_vfs(&self, name: Option<&CStr>) -> *mut sqlite3_vfs {
        locks::calls_out();
        // SAFETY: null asks for the default VFS.
        unsafe { (self.vfs_find)(name.map_or(std::ptr::null(), CStr::as_ptr)) }
    }

    /// A message in SQLite's error log, of as many lines as it takes.
    pub fn write_log(&self, code: c_int, message: &str) {
        for line in log_lines::lines(message) {
            if let Ok(line) = CString::new(line.replace('\0', " ")) {
                locks::calls_out();
                // SAFETY: one string for one %s.
                unsafe { (self.log)(code, c"%s".as_ptr(), line.as_ptr()) }
            }
        }
    }

    /// The code and the message of the last call of a connection, which waits for nobody: `None` while another thread is
    /// using the connection.
    ///
    /// # Safety
    /// A connection that is not being freed.
    pub(crate) unsafe fn last_error(&self, connection: *mut sqlite3) -> Option<(c_int, String)> {
        // SAFETY: as the caller promises; a connection that does without mutexes has a null one, which is always free.
        unsafe {
            let mutex = (self.db_mutex)(connection);
            if (self.mutex_try)(mutex) != SQLITE_OK {
                return None;
            }
            let code = (self.extended_errcode)(connection);
            let message = (self.errmsg)(connection);
            let message =
                if message.is_null() { "".into() } else { CStr::from_ptr(message).to_string_lossy() };
            let answer = (code, message.into_owned());
            (self.mutex_leave)(mutex);
            Some(answer)
        }
    }

    /// A string in memory of SQLite's, for results that SQLite frees; null without memory.
    pub fn sqlite_string(&self, text: &str) -> *mut c_char {
        let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
        locks::calls_out();
        // SAFETY: one string for one %s.
        unsafe { (self.mprintf)(c"%s".as_ptr(), text.as_ptr()) }
    }

    /// The value of a URI parameter of a database name that SQLite passed to `xOpen`.
    ///
    /// # Safety
    /// `name` is a name that SQLite passed to `xOpen` for a main database, a journal or a WAL.
    pub unsafe fn uri_parameter(&self, name: *const c_char, parameter: &CStr) -> Option<String> {
        // SAFETY: as the caller promises.
        let value = unsafe { (self.uri_parameter)(name, parameter.as_ptr()) };
        // SAFETY: SQLite returns null or a string that lives as long as the name.
        (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned())
    }

    /// The name of URI parameter number `index` of a database name that SQLite passed to `xOpen`.
    ///
    /// # Safety
    /// As for [`Api::uri_parameter`], of a main database.
    pub unsafe fn uri_key(&self, name: *const c_char, index: usize) -> Option<String> {
        // SAFETY: as the caller promises.
        let key = unsafe { (self.uri_key)(name, c_int::try_from(index).ok()?) };
        // SAFETY: SQLite returns null or a string that lives as long as the name.
        (!key.is_null()).then(|| unsafe { CStr::from_ptr(key) }.to_string_lossy().into_owned())
    }
}

fn check_version(version: c_int) -> Result<()> {
    if version < OLDEST_SQLITE {
        let (major, minor, patch) = (version / 1_000_000, version / 1000 % 1000, version % 1000);
        return Err(Fault::new(
            FaultClass::UnsupportedFormat,
            format!("SQLite {major}.{minor}.{patch} is too old: lumocrypt needs 3.34.0 or newer"),
        ));
    }
    Ok(())
}
