//! The main database files that are open, and who a log belongs to.
//!
//! A log comes to us as a name. SQLite's own pointer to it leads to its database: it is the very string that lies
//! behind the name of the main file. But where another VFS is stacked above ours the name may be a copy, which none
//! of SQLite's functions may be asked about, and SQLite's file object is the other VFS's. So the files know each other
//! here, by SQLite's pointers first, and then by text.
//!
//! What SQLite is asked while the list is locked waits for nothing: a connection's mutex is tried, not taken.

use std::cell::Cell;
use std::ffi::{CStr, c_char};

use super::host::Shim;
use super::open_file::OpenFile;
use crate::library::abi::sqlite3;
use crate::library::api::Api;
use ground::failure::Says;
use ground::locks::{Guard, Lasting, Rank};

/// An open main file. Addresses only: nothing is borrowed from it here.
struct Main {
    file: usize,
    shim: usize,
    /// SQLite's pointer to its name, and what it says.
    name: usize,
    path: Vec<u8>,
    wal_name: usize,
    journal_name: usize,
    /// The connection, once it is known; 0 before, and where several share the file.
    connection: usize,
}

static MAINS: Lasting<Vec<Main>> = Lasting::new(Rank::Mains, Vec::new());

thread_local! {
    /// The main file that this thread's SQLite used last.
    static LAST_USED: Cell<usize> = const { Cell::new(0) };
}

fn mains() -> Guard<'static, Vec<Main>> {
    MAINS.lock()
}

/// A main file was opened under `name`; its logs have these names.
pub fn add(
    shim: &Shim,
    name: &CStr,
    wal_name: *const c_char,
    journal_name: *const c_char,
    file: *mut OpenFile,
) {
    mains().push(Main {
        file: file as usize,
        shim: std::ptr::from_ref(shim) as usize,
        name: name.as_ptr() as usize,
        path: name.to_bytes().to_vec(),
        wal_name: wal_name as usize,
        journal_name: journal_name as usize,
        connection: 0,
    });
}

/// The file is closing.
pub fn remove(file: *mut OpenFile) {
    mains().retain(|main| main.file != file as usize);
    if LAST_USED.get() == file as usize {
        LAST_USED.set(0);
    }
}

/// Whose file it is; null where several connections share it.
pub fn set_connection(file: *mut OpenFile, connection: *mut sqlite3) {
    for main in mains().iter_mut().filter(|main| main.file == file as usize) {
        main.connection = connection as usize;
    }
}

/// This thread's SQLite uses the file.
pub fn used(file: *mut OpenFile) {
    LAST_USED.set(file as usize);
}

/// The main file whose log has the name `name`, which is `text`, and whether it is its WAL.
///
/// Where several connections have opened the same file below a VFS that hands on copies of names, it is the one that
/// this thread used last: SQLite asks a database whether it still has its name, or locks it, before it opens or deletes
/// a log of it.
pub fn owner_of(shim: &Shim, name: *const c_char, text: &[u8]) -> Option<(*mut OpenFile, bool)> {
    let (address, shim) = (name as usize, std::ptr::from_ref(shim) as usize);
    let mains = mains();
    if address != 0
        && let Some(main) = mains.iter().find(|main| main.wal_name == address || main.journal_name == address)
    {
        return Some((main.file as *mut OpenFile, main.wal_name == address));
    }
    let (path, is_wal) = match (text.strip_suffix(b"-wal"), text.strip_suffix(b"-journal")) {
        (Some(path), _) => (path, true),
        (None, Some(path)) => (path, false),
        (None, None) => return None,
    };
    let mut found = mains.iter().filter(|main| main.shim == shim && main.path == path).map(|main| main.file);
    let first = found.next()?;
    let last_used = LAST_USED.get();
    let file = if first == last_used || !found.any(|file| file == last_used) { first } else { last_used };
    Some((file as *mut OpenFile, is_wal))
}

/// Has the VFS a main file open under `name`?
pub fn is_open(shim: &Shim, name: &CStr) -> bool {
    let shim = std::ptr::from_ref(shim) as usize;
    mains().iter().any(|main| main.shim == shim && main.path == name.to_bytes())
}

/// The main file that `connection` has open under `name`, SQLite's own string: below a VFS that hands on copies of names
/// it is known by text. Null if it is none of ours.
pub fn named(connection: *mut sqlite3, name: &CStr) -> *mut OpenFile {
    let (connection, address, text) = (connection as usize, name.as_ptr() as usize, name.to_bytes());
    let mains = mains();
    let found = mains.iter().find(|main| main.name == address);
    let found =
        found.or_else(|| mains.iter().find(|main| main.connection == connection && main.path == text));
    found.map_or(std::ptr::null_mut(), |main| main.file as *mut OpenFile)
}

/// Does `connection` say that its last call failed with `code` and `message`? It is asked only while a file of ours
/// keeps it from being freed.
pub fn ask(api: &Api, connection: usize, code: i32, message: &str) -> Says {
    let mains = mains();
    if connection == 0 || !mains.iter().any(|main| main.connection == connection) {
        return Says::Unknown;
    }
    // SAFETY: a connection with an open file, which cannot go before the list is free again.
    match unsafe { api.last_error(connection as *mut sqlite3) } {
        Some((said, text)) if (said == code || said == code & 0xff) && text == message => Says::This,
        // Another thread is using it, or it has gone on.
        _ => Says::Otherwise,
    }
}
