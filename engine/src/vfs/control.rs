//! File controls, device characteristics and our pragmas: what is forwarded, translated or masked, and why.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::abi::*;
use super::callbacks::{is_open_file, ours_of};
use super::command;
use super::database::{Database, Phase};
use super::file::{Content, OpenFile};
use super::given::Origin;
use super::header_edit;
use super::host::is_our_vfs;
use super::passphrase;
use super::sharing;
use crate::crypto::suite::SuiteId;
use crate::error::{Fault, FaultClass, Result};
use crate::failure;
use crate::keys::material::Key;

/// Device characteristics that stay true above us. Masked: ATOMIC* (a page is not one device block any more),
/// SEQUENTIAL (our flushes may reorder), BATCH_ATOMIC (the VFS below would apply it to other offsets), SUBPAGE_READ (a
/// part of a page costs us the whole).
const KEPT: c_int = SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN | SQLITE_IOCAP_IMMUTABLE;

/// Device characteristics of `open`.
pub fn device_characteristics(open: &OpenFile) -> c_int {
    let below = characteristics_below(open);
    // Said of the main file, and meant of its journal: what is appended counts from when all of it is there, because
    // reading a journal stops at the first extent that does not authenticate. SQLite then need not write, and sync in
    // between, how many records there are.
    let kept = below & KEPT | SQLITE_IOCAP_SAFE_APPEND;
    match &open.content {
        Content::Plain => below,
        // A block is rewritten as a whole, the WAL's last one, too, while others rely on it: SQLite is to know that and
        // fill sectors up. Nothing tells how much of what was appended is there.
        Content::Gosqlite(_) => below & KEPT,
        // While POWERSAFE_OVERWRITE is set SQLite journals 512-byte sectors and never asks for the sector
        // size, so a block larger than a page would be rewritten without its neighbours being journaled.
        // The WAL decides by it whether to split frames at sector boundaries: there the base's answer holds.
        Content::Main(_) if open.wal.is_null() => kept,
        _ => kept | below & SQLITE_IOCAP_POWERSAFE_OVERWRITE,
    }
}

fn characteristics_below(open: &OpenFile) -> c_int {
    match open.base.methods().device_characteristics {
        // SAFETY: an open file below.
        Some(characteristics) => unsafe { characteristics(open.base.as_ptr()) },
        None => 0,
    }
}

/// The sector size of `open` in bytes: what a write may destroy around it, which is a block.
pub fn sector_size(open: &mut OpenFile) -> c_int {
    let below = match open.base.methods().sector_size {
        // SAFETY: an open file below.
        Some(sector_size) => unsafe { sector_size(open.base.as_ptr()) },
        None => 4096,
    };
    let powersafe = characteristics_below(open) & SQLITE_IOCAP_POWERSAFE_OVERWRITE != 0;
    match &mut open.content {
        Content::Main(database) => database.sector_size(&mut open.base) as c_int,
        Content::Gosqlite(file) => {
            let block = file.block_size() as c_int;
            // The medium's own sectors matter where it does not keep writes apart.
            if powersafe { block } else { block.max(below) }
        }
        _ => below,
    }
}

/// `xFileControl`.
///
/// # Safety
/// `argument` is what SQLite defines for `operation`.
pub unsafe fn file_control(open: &mut OpenFile, operation: c_int, argument: *mut c_void) -> Result<c_int> {
    // SAFETY: passing on what SQLite passed.
    let forward = |open: &OpenFile| unsafe { open.base.control(operation, argument) };
    match operation {
        SQLITE_FCNTL_VFSNAME => {
            let code = forward(open);
            // SAFETY: the argument is a place for a string in SQLite's memory.
            unsafe { prefix_vfs_name(open, argument.cast()) };
            return Ok(if code == SQLITE_NOTFOUND { SQLITE_OK } else { code });
        }
        SQLITE_FCNTL_PRAGMA => {
            // SAFETY: the argument is SQLite's array of three strings.
            if let Some(code) = unsafe { pragma(open, argument.cast()) }? {
                return Ok(code);
            }
            return Ok(forward(open));
        }
        SQLITE_FCNTL_PDB => {
            // SAFETY: the argument is a pointer to the connection.
            unsafe { connection_known(open, argument.cast()) }?;
            return Ok(forward(open));
        }
        _ => {}
    }
    if matches!(open.content, Content::Plain) {
        return Ok(forward(open));
    }
    match operation {
        // In front of every sync of a database, also where synchronous=OFF leaves the sync itself out.
        SQLITE_FCNTL_SYNC => {
            open.before_sync()?;
            Ok(forward(open))
        }
        SQLITE_FCNTL_CKPT_START => {
            open.checkpoint_starts();
            Ok(forward(open))
        }
        SQLITE_FCNTL_CKPT_DONE => {
            open.checkpoint_done()?;
            Ok(forward(open))
        }
        // Hints in logical sizes, which the file below would apply to physical ones.
        SQLITE_FCNTL_SIZE_HINT | SQLITE_FCNTL_CHUNK_SIZE | SQLITE_FCNTL_OVERWRITE => Ok(SQLITE_OK),
        // A user's mmap_size must not reach the map below; ours is none of SQLite's.
        SQLITE_FCNTL_MMAP_SIZE => {
            // SAFETY: the argument is a pointer to a 64-bit limit.
            unsafe { *argument.cast::<i64>() = 0 };
            Ok(SQLITE_OK)
        }
        SQLITE_FCNTL_BEGIN_ATOMIC_WRITE
        | SQLITE_FCNTL_COMMIT_ATOMIC_WRITE
        | SQLITE_FCNTL_ROLLBACK_ATOMIC_WRITE => Ok(SQLITE_NOTFOUND),
        _ => Ok(forward(open)),
    }
}

/// Puts `lumocrypt/` in front of the name of the VFS below.
///
/// # Safety
/// `name` is a place that holds null or a string in SQLite's memory.
unsafe fn prefix_vfs_name(open: &OpenFile, name: *mut *mut c_char) {
    // SAFETY: as the caller promises.
    let below = unsafe { *name };
    let below = if below.is_null() {
        String::new()
    } else {
        // SAFETY: a string of SQLite's.
        unsafe { CStr::from_ptr(below) }.to_string_lossy().into_owned()
    };
    let own = open.shim.name();
    let both = if below.is_empty() { own.to_owned() } else { format!("{own}/{below}") };
    // The string below is SQLite's to leak or free; it is a few bytes, once per question.
    // SAFETY: the place for the result.
    unsafe { *name = open.shim.host().api.sqlite_string(&both) };
}

/// The connection of a database file is known now: the first time anything can be said about the company
/// that the file is in.
///
/// # Safety
/// `connection` points at SQLite's connection.
unsafe fn connection_known(open: &mut OpenFile, connection: *const *mut sqlite3) -> Result<()> {
    let this = std::ptr::from_mut(open);
    if !matches!(open.content, Content::Main(_) | Content::Gosqlite(_)) {
        return Ok(());
    }
    if sharing::somebody_joined(open) {
        return Ok(());
    }
    // SAFETY: as the caller promises; SQLite holds the connection's mutex.
    let connection = unsafe { *connection };
    let host = open.shim.host();
    let mut main: *mut sqlite3_file = std::ptr::null_mut();
    let mut vfs: *mut sqlite3_vfs = std::ptr::null_mut();
    // SAFETY: file controls that SQLite answers itself, with the pointers that it defines for them.
    let attached = unsafe {
        (host.api.file_control)(
            connection,
            c"main".as_ptr(),
            SQLITE_FCNTL_FILE_POINTER,
            (&raw mut main).cast(),
        ) == SQLITE_OK
            && (host.api.file_control)(
                connection,
                c"main".as_ptr(),
                SQLITE_FCNTL_VFS_POINTER,
                (&raw mut vfs).cast(),
            ) == SQLITE_OK
    };
    // SAFETY: a file object that SQLite handed out. Compared before it is borrowed: it may be this very file.
    let is_own = unsafe { is_open_file(main, this) };
    if is_own || !attached {
        // The connection's own main database. A new one without a key stays plain, where that is allowed.
        return Ok(());
    }
    // SQLite puts the temporary files of a whole connection through its main database's VFS.
    // SAFETY: SQLite's answer.
    let foreign = (!unsafe { is_our_vfs(vfs) }).then(|| {
        Fault::new(
            FaultClass::InUse,
            "an encrypted database cannot be attached to a connection whose main database is on another VFS: \
             SQLite would sort its rows into clear temporary files. Open the main database through lumocrypt \
             (vfs=lumocrypt) and attach to that",
        )
        .at_path(&open.path)
    });
    let database = match (&mut open.content, foreign) {
        (Content::Gosqlite(file), Some(fault)) => {
            file.refuse(fault);
            return Ok(());
        }
        (Content::Main(database), Some(fault)) if !database.may_stay_plain => {
            database.phase = Phase::Refused(fault);
            return Ok(());
        }
        (Content::Main(database), _) => database,
        _ => return Ok(()),
    };
    // SAFETY: a file object that SQLite handed out, and another one than this.
    let Some(OpenFile { content: Content::Main(parent), base: parent_base, .. }) = (unsafe { ours_of(main) })
    else {
        return Ok(());
    };
    let Phase::Ready(file) = &parent.phase else { return Ok(()) };
    let keys = file.keys().clone();
    if !keys.suite.is_keyed() {
        return Ok(());
    }
    let unkeyed = database.superblock.as_ref().is_some_and(|own| !own.suite.is_keyed());
    if unkeyed && !database.cipher_named {
        database.phase = Phase::Refused(
            Fault::new(
                FaultClass::NotEncrypted,
                "this database is only checksummed, and the connection's main database is encrypted: what is \
                 written to it would be in clear. Attach it with lumo_cipher=checksum in its URI if that is meant",
            )
            .at_path(&database.path),
        );
        return Ok(());
    }
    if matches!(database.origin, Origin::Nobody | Origin::Environment) {
        if database.shares_cache && !open.shim.shared {
            database.phase = Phase::Refused(sharing::refused().at_path(&database.path));
            return Ok(());
        }
        // Never in clear beside an encrypted main database: VACUUM INTO and ATTACH of a new file take
        // over its keys.
        database.may_stay_plain = false;
        // As it is now: a key that was removed since the connection was opened must not open the copy.
        parent.follow(parent_base, true)?;
        let superblock = header_edit::current(parent, parent_base)?;
        let keys = parent.ready()?.keys().clone();
        database.heir_of = Some((superblock, keys));
        if matches!(database.phase, Phase::Locked | Phase::Refused(_)) {
            database.unlock(&mut open.base)?;
        }
    }
    Ok(())
}

/// Our pragmas. `None`: not ours.
///
/// # Safety
/// `arguments` is SQLite's array: result, name, value or null.
unsafe fn pragma(open: &mut OpenFile, arguments: *mut *mut c_char) -> Result<Option<c_int>> {
    // SAFETY: as the caller promises.
    let (name, value) = unsafe { (*arguments.add(1), *arguments.add(2)) };
    if name.is_null() {
        return Ok(None);
    }
    // SAFETY: SQLite's strings.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().to_ascii_lowercase();
    // SAFETY: as above.
    let value = (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes().to_vec());
    let api = open.shim.host().api;
    let answer = match name.as_str() {
        "lumo_key" => key_pragma(open, value.as_deref()),
        "lumo_rekey" => passphrase::change(open, value.as_deref()),
        "lumo_command" => command::pragma(open, value.as_deref()),
        "lumo_proof" => sharing::proof(open, value.as_deref()),
        "lumo_cipher" => cipher_pragma(open, value.as_deref()),
        "lumo_status" => Ok(match &open.content {
            Content::Main(database) => database.status(),
            Content::Gosqlite(file) => file.status(),
            _ => r#"{"state":"plain","encrypted":false}"#.to_owned(),
        }),
        _ => return Ok(None),
    };
    let (text, code) = match answer {
        Ok(text) => (text, SQLITE_OK),
        Err(fault) => {
            let message = fault.to_string();
            // SQLite shows the text as the error message, so the record must carry the same.
            let code = super::report::report(&api, &open.path, fault);
            if let Some(mut fault) = failure::take() {
                fault.message.clone_from(&message);
                failure::record(fault);
            }
            (message, code)
        }
    };
    // SAFETY: the place for the result, which SQLite frees.
    unsafe { *arguments = api.sqlite_string(&text) };
    Ok(Some(code))
}

fn key_pragma(open: &mut OpenFile, value: Option<&[u8]>) -> Result<String> {
    let Some(text) = value else {
        return Err(Fault::new(
            FaultClass::InvalidArgument,
            "PRAGMA lumo_key needs a key: PRAGMA lumo_key = '…'",
        ));
    };
    let key = Key::parse(text)?;
    match &mut open.content {
        Content::Gosqlite(_) => Err(Fault::new(
            FaultClass::InvalidArgument,
            "this VFS was made with its key; make another one with lumocrypt.crypto_vfs for another key",
        )),
        Content::Main(database) => {
            database.offer_key(&mut open.base, key)?;
            Ok("ok".to_owned())
        }
        _ => Err(Fault::new(
            FaultClass::NotEncrypted,
            "this database is plaintext; encrypt it with `lumocrypt encrypt` before giving it a key",
        )),
    }
}

fn cipher_pragma(open: &mut OpenFile, value: Option<&[u8]>) -> Result<String> {
    let database = match &mut open.content {
        Content::Main(database) => database,
        Content::Gosqlite(file) if value.is_none() => return Ok(file.cipher_name().to_owned()),
        Content::Gosqlite(_) => {
            return Err(Fault::new(
                FaultClass::InvalidArgument,
                "this VFS was made with its cipher; make another one with lumocrypt.crypto_vfs for another cipher",
            ));
        }
        _ => return Ok("none".to_owned()),
    };
    if let Some(value) = value {
        let name = String::from_utf8_lossy(value).into_owned();
        let suite = SuiteId::from_name(&name).ok_or_else(|| {
            let known: Vec<_> = SuiteId::ALL.into_iter().map(SuiteId::name).collect();
            Fault::new(
                FaultClass::InvalidArgument,
                format!("unknown cipher {name:?}; the ciphers are {}", known.join(", ")),
            )
        })?;
        choose_suite(database, suite)?;
    }
    Ok(database.cipher().to_owned())
}

/// A new database takes its cipher from `PRAGMA lumo_cipher`; an existing one keeps its own.
fn choose_suite(database: &mut Database, suite: SuiteId) -> Result<()> {
    match (&database.phase, &database.superblock) {
        (Phase::New, _) => {
            let before = database.options.suite.replace(suite);
            database.check_new().inspect_err(|_| database.options.suite = before)
        }
        (_, Some(superblock)) if superblock.suite == suite => Ok(()),
        _ => Err(Fault::new(
            FaultClass::InvalidArgument,
            "the cipher of an existing database cannot be changed by a pragma; decrypt and encrypt it again",
        )),
    }
}
