//! File controls, device characteristics and our pragmas: what is forwarded, translated or masked, and why.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;

use super::base::BaseFile;
use super::command;
use super::company::{self, Main, Statement};
use super::database::{Database, Phase};
use super::dialects;
use super::given::Origin;
use super::mains;
use super::open_file::{Common, Control, MainDatabase, OpenFile};
use super::passphrase;
use super::proofs;
use super::rekey_pragma;
use super::sharing;
use super::users;
use crate::library::abi::*;
use crypto::suite::SuiteId;
use ground::error::{Fault, FaultClass, Result};
use ground::failure;
use vault::material::Key;

/// Device characteristics of `open`.
pub fn device_characteristics(open: &OpenFile) -> c_int {
    open.file.device_characteristics(characteristics_below(&open.common))
}

fn characteristics_below(common: &Common) -> c_int {
    match common.base.methods().device_characteristics {
        // SAFETY: an open file below.
        Some(characteristics) => unsafe { characteristics(common.base.as_ptr()) },
        None => 0,
    }
}

/// The sector size of `open` in bytes.
pub fn sector_size(open: &mut OpenFile) -> c_int {
    let common = &mut open.common;
    let below = match common.base.methods().sector_size {
        // SAFETY: an open file below.
        Some(sector_size) => unsafe { sector_size(common.base.as_ptr()) },
        None => 4096,
    };
    let powersafe = characteristics_below(common) & SQLITE_IOCAP_POWERSAFE_OVERWRITE != 0;
    open.file.sector_size(common, below, powersafe)
}

/// `xFileControl`.
///
/// # Safety
/// `argument` is what SQLite defines for `operation`.
pub unsafe fn file_control(open: &mut OpenFile, operation: c_int, argument: *mut c_void) -> Result<c_int> {
    // SAFETY: passing on what SQLite passed.
    let forward = |open: &OpenFile| unsafe { open.common.base.control(operation, argument) };
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
        SQLITE_FCNTL_HAS_MOVED => {
            let code = forward(open);
            // SAFETY: the argument is a pointer to an int.
            if code == SQLITE_OK && unsafe { *argument.cast::<c_int>() } != 0 {
                moved(open);
            }
            return Ok(code);
        }
        SQLITE_FCNTL_MMAP_SIZE => {
            // SAFETY: the argument is a pointer to a 64-bit limit.
            return Ok(unsafe { mmap_size(open, argument.cast()) });
        }
        _ => {}
    }
    match open.file.file_control(&mut open.common, operation)? {
        Control::PassOn => Ok(forward(open)),
        Control::Answer(code) => Ok(code),
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
    let own = open.common.shim.name();
    let both = if below.is_empty() { own.to_owned() } else { format!("{own}/{below}") };
    // The string below is SQLite's to leak or free; it is a few bytes, once per question.
    // SAFETY: the place for the result.
    unsafe { *name = open.common.shim.host().api.sqlite_string(&both) };
}

/// What SQLite caps `PRAGMA mmap_size` at where it was compiled without another limit (SQLITE_MAX_MMAP_SIZE).
const MOST_MAPPED: i64 = 0x7fff_0000;

/// The limit that `PRAGMA mmap_size = value` sets; a negative one is the default.
fn mmap_limit(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.ok().map(|limit: i64| limit.clamp(-1, MOST_MAPPED))
}

/// `PRAGMA mmap_size` answers what was asked for, as without encryption, and programs compare. It has no other effect:
/// SQLite never gets a page of a map, which would be ciphertext, and the map that we read from is our own.
///
/// # Safety
/// `limit` is SQLite's place for the limit.
unsafe fn mmap_size(open: &OpenFile, limit: *mut i64) -> c_int {
    match open.mmap_size {
        // SAFETY: as the caller promises.
        Some(known) if known >= 0 => unsafe { *limit = known },
        _ => {
            // The default of the library, which the VFS below knows; nothing is to be set there.
            let mut answer: i64 = -1;
            // SAFETY: a place for the limit.
            let code = unsafe { open.common.base.control(SQLITE_FCNTL_MMAP_SIZE, (&raw mut answer).cast()) };
            // SAFETY: as the caller promises.
            unsafe { *limit = if code == SQLITE_OK { answer.max(0) } else { 0 } };
        }
    }
    SQLITE_OK
}

/// SQLite is told that the file is no longer the one of its name, and refuses to write to it (SQLITE_READONLY_DBMOVED).
/// Its own words for that are of a read-only database.
fn moved(open: &OpenFile) {
    let mut fault = Fault::new(
        FaultClass::InUse,
        "the file was moved, deleted or replaced by another while this connection was open; close it and open the database \
         again",
    )
    .at_path(&open.common.path)
    .with_code(SQLITE_READONLY_DBMOVED)
    .of_connection(open.connection);
    fault.host = Some(open.common.shim.host().id);
    failure::record(fault);
}

/// The connection of a database file is known now: the first time anything can be said about the company
/// that the file is in.
///
/// # Safety
/// `connection` points at SQLite's connection.
unsafe fn connection_known(open: &mut OpenFile, connection: *const *mut sqlite3) -> Result<()> {
    let this = std::ptr::from_mut(open);
    open.user = connection;
    // SAFETY: as the caller promises; SQLite holds the connection's mutex.
    let connection = unsafe { *connection };
    let api = open.common.shim.host().api;
    let is_first = open.connection == 0;
    open.connection = connection as usize;
    mains::set_connection(this, connection);
    // SAFETY: SQLite calls with the connection that opens the file.
    let main = match unsafe { company::main_of(&api, connection) } {
        // A new one without a key stays plain, where that is allowed.
        Main::Opening => return Ok(()),
        Main::Ours(main) if std::ptr::eq(main, this) => {
            open.is_own_main = true;
            return Ok(());
        }
        Main::Ours(main) => Some(main),
        Main::Nameless => Some(null_mut()),
        Main::Foreign => None,
    };
    // The text is looked at where it is certain whose it is: of a cache that connections share SQLite may name any later.
    let statement = match is_first {
        // SAFETY: as above.
        true => unsafe { company::statement(&api, connection) },
        false => Statement::Unknown,
    };
    if let Some(fault) = refusal(open, main.is_none(), &statement) {
        refuse(open, fault);
        return Ok(());
    }
    let main = main.unwrap_or(null_mut());
    let parent = match &statement {
        // SAFETY: as above.
        Statement::Vacuum(schema) => unsafe { company::file_of(&api, connection, schema) },
        _ => null_mut(),
    };
    // SAFETY: an open file of the connection, and another one than this.
    let from_guest = unsafe { parent.as_mut() }.is_some_and(|source| source.guest().is_some());
    let is_source = |file: *mut OpenFile| {
        // SAFETY: an open file of the connection, and another one than this.
        !file.is_null() && unsafe { &*file }.database_ref().is_some()
    };
    let parent = if is_source(parent) { parent } else { main };
    if is_source(parent) {
        // SAFETY: as above.
        take_after(open, unsafe { &*parent })?;
    }
    if matches!(statement, Statement::Vacuum(_)) {
        refuse_keyless(open, from_guest);
    }
    Ok(())
}

/// Why a file that is opened beside a main database must not be used.
fn refusal(open: &mut OpenFile, foreign: bool, statement: &Statement) -> Option<Fault> {
    let is_guest = open.guest().is_some();
    let may_stay_plain = open.database_ref().map(|database| database.may_stay_plain);
    if !is_guest && may_stay_plain.is_none() && !open.is_plain() {
        return None;
    }
    if foreign && (is_guest || may_stay_plain == Some(false)) {
        return Some(users::foreign(&open.common.path));
    }
    match statement {
        Statement::Attach { keyed: true } => Some(Fault::new(
            FaultClass::InvalidArgument,
            "ATTACH … KEY is another product's and does nothing in SQLite: use lumocrypt.attach(connection, path, name, \
             key=…), or give the key in the name, ATTACH 'file:…?lumo_key=…'",
        )),
        Statement::VacuumOfUnknown if !is_keyed(open) => Some(Fault::new(
            FaultClass::KeyRequired,
            "it cannot be told which database VACUUM INTO copies here; give the copy its key in its name, VACUUM INTO \
             'file:…?lumo_key=…'",
        )),
        _ => None,
    }
}

/// Refuses a file for as long as it is open.
fn refuse(open: &mut OpenFile, fault: Fault) {
    let fault = fault.at_path(&open.common.path);
    if let Some((guest, ..)) = open.guest() {
        guest.refuse(fault);
    } else if let Some((main, _)) = open.main() {
        main.refuse(fault);
    } else {
        open.file = Box::new(MainDatabase::new(Database::refused(&open.common.path, fault)));
    }
}

/// Has the file a key, or a cipher that needs none, of its own?
fn is_keyed(open: &OpenFile) -> bool {
    open.database_ref().is_none_or(|database| {
        database.options.key.is_some()
            || database.heir_of.is_some()
            || database.options.suite.is_some_and(|suite| !suite.is_keyed())
    })
}

/// The copy that a `VACUUM INTO` makes must have a key, unless it may stay plain. It may not where it is one of an encrypted
/// database of another format (`from_guest`), which has no keys to hand on.
fn refuse_keyless(open: &mut OpenFile, from_guest: bool) {
    let Some(database) = open.database_ref() else { return };
    let may_stay_plain = database.may_stay_plain && !from_guest;
    if matches!(database.phase, Phase::New) && !may_stay_plain && !is_keyed(open) {
        let fault = Fault::new(
            FaultClass::KeyRequired,
            "VACUUM INTO has no key for the copy, because the database that it copies has none; give one in the copy's name, \
             VACUUM INTO 'file:…?lumo_key=…'",
        );
        refuse(open, fault);
    }
}

/// Gives a file without a key of its own those of `parent`: the connection's main database, or the database that is copied
/// into it.
///
/// Of `parent` nothing is changed: where its cache is shared, other threads may be using it.
fn take_after(open: &mut OpenFile, parent: &OpenFile) -> Result<()> {
    let (shim, Some(parent)) = (parent.common.shim, parent.database_ref()) else { return Ok(()) };
    let Some((database, base)) = open.database() else { return Ok(()) };
    let needs_key = matches!(database.origin, Origin::Nobody | Origin::Environment);
    let gives_keys = match &parent.phase {
        Phase::New => parent.options.key.is_some(),
        Phase::Ready(file) => file.keys().suite.is_keyed(),
        Phase::Locked | Phase::Refused(_) => false,
    };
    if needs_key && gives_keys && database.shares_cache && !shim.shared {
        let fault = sharing::refused();
        refuse(open, fault);
        return Ok(());
    }
    let unkeyed = database.superblock.as_ref().is_some_and(|own| !own.suite.is_keyed());
    if unkeyed && gives_keys && !database.cipher_named {
        let fault = Fault::new(
            FaultClass::NotEncrypted,
            "this database is only checksummed, and the connection's main database is encrypted: what is \
             written to it would be in clear. Attach it with lumo_cipher=checksum in its URI if that is meant",
        );
        refuse(open, fault);
        return Ok(());
    }
    if let Phase::New = parent.phase {
        if needs_key && gives_keys && matches!(database.phase, Phase::New) {
            database.may_stay_plain = false;
            database.origin = parent.origin;
            let own = std::mem::replace(&mut database.options, parent.options.clone());
            (database.options.io, database.options.uuid) = (own.io, own.uuid);
            database.options.kms = None;
        }
        return if needs_key { try_key_of(parent, database, base) } else { Ok(()) };
    }
    if !gives_keys {
        return Ok(());
    }
    if needs_key {
        // Never in clear beside an encrypted database: VACUUM INTO and ATTACH of a new file take over its keys.
        database.may_stay_plain = false;
        // As it is now: a key that was removed since the connection was opened must not open the copy.
        database.heir_of = parent.heritage(shim)?;
        if matches!(database.phase, Phase::Locked | Phase::Refused(_)) {
            database.unlock(base)?;
        }
        try_key_of(parent, database, base)?;
    }
    Ok(())
}

/// A database that is attached without a key is tried with what the main one was opened with: the same passphrase or raw
/// key may open both. That is one derivation for each file in the life of the process.
fn try_key_of(parent: &Database, database: &mut Database, base: &mut BaseFile) -> Result<()> {
    let unopened = match &database.phase {
        Phase::Locked => true,
        Phase::Refused(fault) => fault.class == FaultClass::WrongKey,
        _ => false,
    };
    if let (true, Some(key)) = (unopened && !database.options.no_key, &parent.options.key) {
        match database.offer_key_of(parent.origin, base, key) {
            // It stays as it was: what is missing is a key.
            Err(fault) if fault.class == FaultClass::WrongKey => {}
            tried => tried?,
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
    let api = open.common.shim.host().api;
    let answer = match name.as_str() {
        "mmap_size" => {
            if let Some(limit) = value.as_deref().and_then(mmap_limit) {
                open.mmap_size = Some(limit);
            }
            return Ok(None);
        }
        "lumo_key" => key_pragma(open, value.as_deref()),
        "lumo_rekey" => rekey_pragma::pragma(open, value.as_deref()),
        "lumo_change_key" => passphrase::change(open, value.as_deref()),
        "lumo_command" => command::pragma(open, value.as_deref()),
        "lumo_proof" => proofs::proof(open, value.as_deref()),
        "lumo_cipher" => cipher_pragma(open, value.as_deref()),
        "lumo_status" => Ok(open.file.status()),
        other => match dialects::refusal(other) {
            None => return Ok(None),
            Some(fault) => {
                // Unless it means something to the VFS below.
                // SAFETY: passing on what SQLite passed.
                let code = unsafe { open.common.base.control(SQLITE_FCNTL_PRAGMA, arguments.cast()) };
                if code != SQLITE_NOTFOUND {
                    return Ok(Some(code));
                }
                Err(fault)
            }
        },
    };
    let (text, code) = match answer {
        Ok(text) => (text, SQLITE_OK),
        Err(fault) => {
            let message = fault.to_string();
            let fault = fault.of_connection(open.connection);
            // SQLite shows the text as the error message, so the record must carry the same.
            let code = super::report::report(&api, &open.common.path, fault);
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
    if let Some((guest, ..)) = open.guest() {
        return Err(guest.another_key());
    }
    let Some((database, base)) = open.database() else {
        return Err(Fault::new(
            FaultClass::NotEncrypted,
            "this database is plaintext; encrypt it with `lumocrypt encrypt` before giving it a key",
        ));
    };
    database.offer_key(base, key)?;
    Ok("ok".to_owned())
}

fn cipher_pragma(open: &mut OpenFile, value: Option<&[u8]>) -> Result<String> {
    if let Some((guest, ..)) = open.guest() {
        return if value.is_none() {
            Ok(guest.cipher_name().to_owned())
        } else {
            Err(guest.another_cipher())
        };
    }
    let Some((database, _)) = open.database() else { return Ok("none".to_owned()) };
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
