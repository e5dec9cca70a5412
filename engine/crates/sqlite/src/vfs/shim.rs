//! The VFS object: `xOpen` decides what a file is to us; everything else is passed down.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::base::BaseFile;
use super::callbacks::{below_of, methods_for};
use super::database::{Database, Phase};
use super::given::{self, Given, Origin, Parameters};
use super::host::{self, Host, Shim};
use super::mains;
use super::open_file::{
    Companion, GuestFile, Journal, MainDatabase, OpenFile, Plain, SqliteFile, Temporary, Wal,
};
use super::report::guard;
use super::sharing;
use super::shim_file::ShimFile;
use super::users::Users;
use super::writer;
use crate::facts::MAGIC;
use crate::files::journal::JournalFile;
use crate::files::temp::TempFile;
use crate::files::wal::WalFile;
use crate::library::abi::*;
use crate::library::api::Api;
use crypto::suite::SuiteId;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::failure;
use ground::locks;
use ground::paths;
use ground::stats::{STATS, Stats};
use storage::Storage;
use vault::registry::IoMode;

/// A VFS object of ours over `base`. The name and the way back to the shim are the caller's to fill in.
pub fn vfs_over(base: &sqlite3_vfs) -> sqlite3_vfs {
    sqlite3_vfs {
        // Version 3 adds overriding system calls, which is the business of the VFS below.
        version: base.version.min(2),
        os_file_size: base.os_file_size + size_of::<ShimFile>() as c_int,
        max_pathname: base.max_pathname,
        next: std::ptr::null_mut(),
        name: std::ptr::null(),
        app_data: std::ptr::null_mut(),
        open: Some(x_open),
        delete: Some(x_delete),
        access: Some(x_access),
        full_pathname: Some(x_full_pathname),
        dl_open: base.dl_open.map(|_| x_dl_open as _),
        dl_error: base.dl_error.map(|_| x_dl_error as _),
        dl_sym: base.dl_sym.map(|_| x_dl_sym as _),
        dl_close: base.dl_close.map(|_| x_dl_close as _),
        randomness: Some(x_randomness),
        sleep: Some(x_sleep),
        current_time: Some(x_current_time),
        get_last_error: Some(x_get_last_error),
        current_time_int64: base.current_time_int64.map(|_| x_current_time_int64 as _),
        set_system_call: None,
        get_system_call: None,
        next_system_call: None,
    }
}

/// Serves the library behind `api`; see [`host::serve`].
pub fn serve(api: Api) -> Result<&'static Host> {
    host::serve(api, vfs_over)
}

/// The shim behind a VFS object of ours.
///
/// # Safety
/// `vfs` was made by `vfs_over` and registered.
unsafe fn shim_of(vfs: *mut sqlite3_vfs) -> &'static Shim {
    // SAFETY: its app_data is the leaked shim.
    unsafe { &*(*vfs).app_data.cast::<Shim>() }
}

unsafe extern "C" fn x_open(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls a registered VFS of ours.
    let shim = unsafe { shim_of(vfs) };
    // SAFETY: SQLite's memory for the file; without methods SQLite will not close it.
    unsafe { (*file).methods = std::ptr::null() };
    let path = if name.is_null() {
        PathBuf::new()
    } else {
        // SAFETY: a string of SQLite's.
        paths::from_c(unsafe { CStr::from_ptr(name) }).to_owned()
    };
    if flags & SQLITE_OPEN_MAIN_DB != 0 {
        failure::clear();
    }
    let flags = if is_pinned(shim, name, flags) { flags & !SQLITE_OPEN_CREATE } else { flags };
    let makes = flags & SQLITE_OPEN_MAIN_DB != 0 && flags & SQLITE_OPEN_CREATE != 0 && !name.is_null();
    let new_main = if makes { shim.announce(&path) } else { None };
    // SAFETY: SQLite allocated os_file_size bytes.
    let below = unsafe { below_of(file) };
    locks::calls_out();
    // SAFETY: SQLite's memory, which a VFS may leave untouched when it fails; then the VFS below, with the very
    // name that SQLite passed: it keeps the pointer.
    let code = unsafe {
        (*below).methods = std::ptr::null();
        match (*shim.base).open {
            Some(open) => open(shim.base, name, below, flags, out_flags),
            None => SQLITE_CANTOPEN,
        }
    };
    if code != SQLITE_OK {
        // SAFETY: some VFSs set the methods of a file that they fail to open, and expect a close.
        unsafe {
            if let Some(methods) = (*below).methods.as_ref()
                && let Some(close) = methods.close
            {
                close(below);
            }
        }
        return code;
    }
    let api = &shim.host().api;
    let path_for_report = path.clone();
    guard(api, &path_for_report, || {
        // SAFETY: just opened; our file keeps it until it is closed.
        let mut base = unsafe { BaseFile::new(below) };
        // SAFETY: the name that SQLite passed.
        let kind = match unsafe { kind_of(shim, name, &path, &mut base, flags) } {
            Ok(kind) => kind,
            Err(fault) => {
                base.close();
                return Err(fault);
            }
        };
        let methods = methods_for(&base);
        let path_of_users = path.clone();
        let mut open = OpenFile::new(shim, path, base, kind);
        if let Some((database, _)) = open.database() {
            database.new_main = new_main;
        }
        // SAFETY: null or SQLite's place for the flags that the VFS below has granted.
        let granted = unsafe { out_flags.as_ref() }.copied().unwrap_or(flags);
        open.common.read_only = (flags | granted) & SQLITE_OPEN_READONLY != 0;
        let open = Box::into_raw(open);
        // SAFETY: both were just made; the main database of a log outlives it.
        unsafe { introduce(shim, name, open, flags) };
        let file = file.cast::<ShimFile>();
        // SAFETY: SQLite's memory for our part of the file.
        unsafe {
            (*file).open = open;
            (&raw mut (*file).users).write(Users::new(shim.shared, path_of_users));
            (*file).head.methods = methods;
        }
        Ok(SQLITE_OK)
    })
}

/// The open main file that the log `name` belongs to.
///
/// # Safety
/// `name` is the name of a log that SQLite, or a VFS above ours, passed to `xOpen`.
pub unsafe fn database_of(shim: &Shim, name: *const c_char) -> Result<Companion> {
    // SAFETY: as the caller promises.
    let text = unsafe { CStr::from_ptr(name) }.to_bytes();
    match mains::owner_of(shim, name, text) {
        // SAFETY: known until it is closed, which its logs are before it, and used by the thread that opens its log.
        Some((main, _)) => Ok(unsafe { Companion::new(main) }),
        None => Err(Fault::new(
            FaultClass::InUse,
            "this is the log of a database that was not opened through this VFS under the same name; a VFS that is stacked \
             above lumocrypt's must hand on the names that SQLite gives it",
        )),
    }
}

/// Is a certain database wanted? Then none is made.
fn is_pinned(shim: &Shim, name: *const c_char, flags: c_int) -> bool {
    flags & SQLITE_OPEN_MAIN_DB != 0
        && !name.is_null()
        && shim.opener.is_none()
        // SAFETY: the name of a main database that SQLite passed to xOpen.
        && unsafe { shim.host().api.uri_parameter(name, c"lumo_uuid") }.is_some()
}

/// Makes a log known to its main database, and a main database known by the names of its logs.
///
/// # Safety
/// `open` is valid; `name` is what SQLite passed for it.
unsafe fn introduce(shim: &'static Shim, name: *const c_char, open: *mut OpenFile, flags: c_int) {
    // SAFETY: as the caller promises; main databases outlive their logs.
    unsafe {
        if flags & SQLITE_OPEN_MAIN_DB != 0 && !name.is_null() {
            let api = &shim.host().api;
            mains::add(
                shim,
                CStr::from_ptr(name),
                (api.filename_wal)(name),
                (api.filename_journal)(name),
                open,
            );
        }
        (*open).connection = (*open).file.introduce(open);
    }
}

/// What the file being opened is to us.
///
/// # Safety
/// `name` is what SQLite passed to `xOpen` with `flags`.
unsafe fn kind_of(
    shim: &'static Shim,
    name: *const c_char,
    path: &Path,
    base: &mut BaseFile,
    flags: c_int,
) -> Result<Box<dyn SqliteFile>> {
    if let Some(opener) = shim.opener {
        // SAFETY: as the caller promises.
        return Ok(match unsafe { opener.open(shim, name, path, base, flags) }? {
            Some(guest) => Box::new(GuestFile::new(guest)),
            None => Box::new(Plain),
        });
    }
    // A super-journal holds names of journals, and SQLite reads other databases' journals under this flag to
    // find the names that those end in: both are clear.
    if flags & SQLITE_OPEN_SUPER_JOURNAL != 0 {
        return Ok(Box::new(Plain));
    }
    let temporary = |kind| -> Result<Box<dyn SqliteFile>> {
        Stats::count(&STATS.temporary);
        Ok(Box::new(Temporary::new(TempFile::new(SuiteId::DEFAULT, kind)?)))
    };
    if flags & (SQLITE_OPEN_TEMP_DB | SQLITE_OPEN_TRANSIENT_DB) != 0 {
        return temporary(FileKind::TempDb);
    }
    if flags & SQLITE_OPEN_SUBJOURNAL != 0 {
        return temporary(FileKind::SubJournal);
    }
    if flags & SQLITE_OPEN_TEMP_JOURNAL != 0 || name.is_null() {
        return temporary(FileKind::TempJournal);
    }
    if flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL) != 0 {
        // SAFETY: the name of a log that SQLite passed to xOpen.
        return unsafe { log_kind(shim, name, path, base, flags) };
    }
    if flags & SQLITE_OPEN_MAIN_DB != 0 {
        // SAFETY: the name of a main database that SQLite passed to xOpen.
        return unsafe { main_kind(shim, name, path, base) };
    }
    Ok(Box::new(Plain))
}

/// # Safety
/// `name` is the name of a journal or WAL that SQLite passed to `xOpen`.
unsafe fn log_kind(
    shim: &'static Shim,
    name: *const c_char,
    path: &Path,
    base: &mut BaseFile,
    flags: c_int,
) -> Result<Box<dyn SqliteFile>> {
    // SAFETY: as the caller promises.
    let owner = unsafe { database_of(shim, name) }?;
    let connection = owner.connection();
    log_kind_of(shim, owner, path, base, flags).map_err(|fault| fault.of_connection(connection))
}

/// What a log of `owner` is to us.
fn log_kind_of(
    shim: &'static Shim,
    mut owner: Companion,
    path: &Path,
    base: &mut BaseFile,
    flags: c_int,
) -> Result<Box<dyn SqliteFile>> {
    let Some((main, common)) = owner.main() else { return Ok(Box::new(Plain)) };
    let (database, main_base) = (&mut main.database, &mut common.base);
    // A journal's keys are the database's, so a new database comes into being with its first journal; that
    // one has nothing to roll back. One whose creation failed is there durably before a journal says that it is.
    let writes = flags & SQLITE_OPEN_READONLY == 0;
    if writes && (matches!(database.phase, Phase::New) || flags & SQLITE_OPEN_MAIN_JOURNAL != 0) {
        database.create(main_base)?;
    }
    let (discard_wal, partial_journal) = (database.discard_wal, database.partial_journal);
    let keys = database.ready()?.keys().clone();
    Ok(if flags & SQLITE_OPEN_WAL != 0 {
        if main_base.wants_map() {
            base.enable_map(path);
        }
        allow_writer(shim, base);
        Box::new(Wal::new(WalFile::new(keys, discard_wal)?, owner))
    } else {
        let buffers = std::mem::take(&mut database.journal_buffers);
        Box::new(Journal::new(JournalFile::with_buffers(keys, partial_journal, buffers)?, owner))
    })
}

/// # Safety
/// `name` is the name of a main database that SQLite passed to `xOpen`.
unsafe fn main_kind(
    shim: &'static Shim,
    name: *const c_char,
    path: &Path,
    base: &mut BaseFile,
) -> Result<Box<dyn SqliteFile>> {
    // SAFETY: as the caller promises.
    let parameters = unsafe { Parameters::read(&shim.host().api, name) }?;
    let Given { mut open, origin, entry, pinned } = given::read(parameters, path)?;
    let named = origin == Origin::Caller || entry.is_some() || pinned;
    if parameters.is_set(c"lumo_plain") {
        return if named { Err(plain_with_key(path)) } else { Ok(Box::new(Plain)) };
    }
    let size = base.size()?;
    // LUMO_KEY is for whatever is encrypted; unless that was ruled out, a plaintext database that exists stays what it is.
    let may_be_plain =
        shim.pass_through && !named && !(shim.is_strict() && !open.no_key && given::any_key_is_known());
    if size > 0 && may_be_plain && is_plaintext(base)? {
        return Ok(Box::new(Plain));
    }
    parameters.apply(&mut open)?;
    if open.io != Some(IoMode::Pread) {
        base.enable_map(path);
    }
    allow_writer(shim, base);
    if parameters.shares_cache() && !shim.shared && origin == Origin::Caller {
        return Err(sharing::refused().at_path(path));
    }
    let mut database = Database {
        may_stay_plain: size == 0 && open.key.is_none() && open.suite.is_none() && may_be_plain,
        options: open,
        origin,
        entry,
        pinned,
        shares_cache: parameters.shares_cache(),
        discard_wal: parameters.is_set(c"lumo_discard_wal"),
        partial_journal: parameters.is_set(c"lumo_partial_journal"),
        cipher_named: parameters.get(c"lumo_cipher").is_some(),
        ..Database::at(path, Phase::New)
    };
    if size == 0 {
        database.check_new()?;
    }
    if size > 0 {
        match database.unlock(base) {
            // Whatever it is, nobody said that it is ours: SQLite, too, opens a file that is no database, and says so
            // when it is first used. It is not handed through, since SQLite would take the logs beside it for its own.
            Err(fault) if fault.class == FaultClass::NotEncrypted && may_be_plain => {
                database.phase = Phase::Refused(fault.at_path(path));
            }
            unlocked => unlocked?,
        }
    }
    Ok(Box::new(MainDatabase::new(database)))
}

/// SQLite's own VFSs for Unix, whose xWrite needs nothing of the thread that opened the file (os_unix.c, unixWrite).
const UNIX: [&[u8]; 6] =
    [b"unix", b"unix-excl", b"unix-dotfile", b"unix-none", b"unix-flock", b"unix-namedsem"];

/// Lets a second thread write the file where that is known to be safe.
fn allow_writer(shim: &Shim, base: &mut BaseFile) {
    // SAFETY: a registered VFS, which has a name.
    let (below, name) = unsafe { (&*shim.base, CStr::from_ptr((*shim.base).name)) };
    if UNIX.contains(&name.to_bytes()) && writer::pace() > Duration::ZERO {
        let has = |call: &CStr| match below.get_system_call {
            // SAFETY: a registered VFS and a string (sqlite3.h, xGetSystemCall).
            Some(get) if below.version >= 3 => unsafe { get(shim.base, call.as_ptr()) }.is_some(),
            _ => false,
        };
        // Compiled without them, it moves the descriptor's one position first.
        let positioned = (has(c"pread") && has(c"pwrite")) || (has(c"pread64") && has(c"pwrite64"));
        base.enable_writer(positioned && cfg!(target_os = "linux"));
    }
}

fn plain_with_key(path: &Path) -> Fault {
    Fault::new(
        FaultClass::NotEncrypted,
        "a key, or the UUID of an encrypted database, was given for this path, and lumo_plain=1 asks for it in clear; \
         leave one of the two out",
    )
    .at_path(path)
}

fn is_plaintext(base: &mut BaseFile) -> Result<bool> {
    let mut magic = [0u8; MAGIC.len()];
    Ok(base.read(&mut magic, 0)? && magic == *MAGIC)
}

unsafe extern "C" fn x_delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: SQLite calls a registered VFS of ours.
    let shim = unsafe { shim_of(vfs) };
    let api = &shim.host().api;
    guard(api, "", || {
        // SAFETY: the name that SQLite passed.
        unsafe { shim.before_delete(name) }?;
        locks::calls_out();
        // SAFETY: passing on what SQLite passed.
        Ok(unsafe { (*shim.base).delete.map_or(SQLITE_ERROR, |delete| delete(shim.base, name, sync_dir)) })
    })
}

unsafe extern "C" fn x_access(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    answer: *mut c_int,
) -> c_int {
    // SAFETY: passing on what SQLite passed.
    unsafe {
        let base = shim_of(vfs).base;
        (*base).access.map_or(SQLITE_ERROR, |access| access(base, name, flags, answer))
    }
}

unsafe extern "C" fn x_full_pathname(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    len: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite calls a registered VFS of ours.
    let shim = unsafe { shim_of(vfs) };
    // SAFETY: passing on what SQLite passed.
    let code = unsafe {
        (*shim.base)
            .full_pathname
            .map_or(SQLITE_ERROR, |full_pathname| full_pathname(shim.base, name, len, out))
    };
    if code & 0xff != SQLITE_OK || out.is_null() {
        return code;
    }
    // SAFETY: what SQLite passed, and the string that the VFS below has made of it.
    unsafe { given::full_name_was_made(name, out) };
    if shim.shared && !sharing::is_expected() {
        // SAFETY: as above.
        let path = unsafe { CStr::from_ptr(out) };
        if mains::is_open(shim, path) {
            // Nobody but an ATTACH comes here, and it would join a cache without a question.
            return guard(&shim.host().api, paths::from_c(path), || Err(sharing::joining()));
        }
    }
    code
}

unsafe extern "C" fn x_dl_open(vfs: *mut sqlite3_vfs, name: *const c_char) -> *mut c_void {
    // SAFETY: passing on what SQLite passed.
    unsafe {
        let base = shim_of(vfs).base;
        (*base).dl_open.map_or(std::ptr::null_mut(), |dl_open| dl_open(base, name))
    }
}

unsafe extern "C" fn x_dl_error(vfs: *mut sqlite3_vfs, len: c_int, out: *mut c_char) {
    // SAFETY: passing on what SQLite passed.
    unsafe {
        let base = shim_of(vfs).base;
        if let Some(dl_error) = (*base).dl_error {
            dl_error(base, len, out);
        }
    }
}

unsafe extern "C" fn x_dl_sym(
    vfs: *mut sqlite3_vfs,
    handle: *mut c_void,
    name: *const c_char,
) -> sqlite3_syscall_ptr {
    // SAFETY: passing on what SQLite passed.
    unsafe {
        let base = shim_of(vfs).base;
        (*base).dl_sym.and_then(|dl_sym| dl_sym(base, handle, name))
    }
}

unsafe extern "C" fn x_dl_close(vfs: *mut sqlite3_vfs, handle: *mut c_void) {
    // SAFETY: passing on what SQLite passed.
    unsafe {
        let base = shim_of(vfs).base;
        if let Some(dl_close) = (*base).dl_close {
            dl_close(base, handle);
        }
    }
}

unsafe extern "C" fn x_randomness(vfs: *mut sqlite3_vfs, len: c_int, out: *mut c_char) -> c_int {
    // SAFETY: passing on what SQLite passed.
    unsafe {
        let base = shim_of(vfs).base;
        (*base).randomness.map_or(0, |randomness| randomness(base, len, out))
    }
}

unsafe extern "C" fn x_sleep(vfs: *mut sqlite3_vfs, microseconds: c_int) -> c_int {
    // SAFETY: passing on what SQLite passed.
    unsafe {
        let base = shim_of(vfs).base;
        (*base).sleep.map_or(0, |sleep| sleep(base, microseconds))
    }
}

unsafe extern "C" fn x_current_time(vfs: *mut sqlite3_vfs, time: *mut f64) -> c_int {
    // SAFETY: passing on what SQLite passed.
    unsafe {
        let base = shim_of(vfs).base;
        (*base).current_time.map_or(SQLITE_ERROR, |current_time| current_time(base, time))
    }
}

unsafe extern "C" fn x_get_last_error(vfs: *mut sqlite3_vfs, len: c_int, out: *mut c_char) -> c_int {
    // SAFETY: passing on what SQLite passed.
    unsafe {
        let base = shim_of(vfs).base;
        (*base).get_last_error.map_or(0, |get_last_error| get_last_error(base, len, out))
    }
}

unsafe extern "C" fn x_current_time_int64(vfs: *mut sqlite3_vfs, time: *mut i64) -> c_int {
    // SAFETY: passing on what SQLite passed.
    unsafe {
        let base = shim_of(vfs).base;
        (*base).current_time_int64.map_or(SQLITE_ERROR, |current_time| current_time(base, time))
    }
}
