//! `PRAGMA lumo_change_key`: another key for the keyslot that the connection was opened with.

use std::sync::Arc;

use super::command;
use super::database::{Database, Phase};
use super::given::Origin;
use super::open_file::OpenFile;
use super::own_connection;
use crate::library::abi::SQLITE_READONLY;
use crypto::kdf::Argon2Cost;
use ground::error::{Fault, FaultClass, Result};
use vault::commands::{Command, NewSlot};
use vault::format::keyslot::{Keyslot, KeyslotKind};
use vault::format::superblock::Superblock;
use vault::limits::{KdfLimits, check_floor};
use vault::material::Key;
use vault::unlock::slot_of;

/// Puts the key in `text` into the place of the one that the connection was opened with. The data key stays.
///
/// SQLite may run a pragma twice, and runs it under EXPLAIN: if the new key is in its place already, nothing is written.
pub fn change(open: &mut OpenFile, text: Option<&[u8]>) -> Result<String> {
    let Some(text) = text else {
        return Err(invalid("PRAGMA lumo_change_key needs the new key: PRAGMA lumo_change_key = '…'"));
    };
    let new = Arc::new(Key::parse(text)?);
    // The data key may have been changed since the connection last looked.
    open.follow(true)?;
    let path = open.common.path.clone();
    let command = {
        let Some((database, base)) = open.database() else {
            return Err(Fault::new(
                FaultClass::NotEncrypted,
                "this database is plaintext: it has no key to change; encrypt it with `lumocrypt encrypt`",
            ));
        };
        if matches!(database.phase, Phase::New) {
            return Err(invalid(
                "the database does not exist yet, so it has no key to change; PRAGMA lumo_key = '…' names its first one",
            ));
        }
        let superblock = database.current_header(base)?;
        command_for(database, &superblock, &new)?
    };
    if let Some(command) = command {
        if open.common.read_only {
            let fault = Fault::new(FaultClass::Io, "the database was opened for reading only");
            return Err(fault.with_code(SQLITE_READONLY));
        }
        if open.common.excludes_other_writers() {
            command::run(open, command)?;
        } else if let Some(database) = open.database_ref() {
            own_connection::run(open.common.shim, &path, database.options.clone(), command)?;
        }
    }
    if let Some((database, _)) = open.database() {
        (database.options.key, database.origin) = (Some(new), Origin::Caller);
    }
    Ok("ok".to_owned())
}

/// What is to be done for `new` to take its place; `None` if it has it already.
fn command_for(database: &Database, superblock: &Superblock, new: &Arc<Key>) -> Result<Option<Command>> {
    if !superblock.suite.is_keyed() {
        return Err(Fault::new(
            FaultClass::NotEncrypted,
            "the database is only checksummed: it has no key to change",
        ));
    }
    let key = shown_key(database)?;
    let limits = &database.options.limits;
    let Some(index) = slot_of(superblock, &key, limits)? else {
        // Perhaps it was this very change that took the key's place, by another connection.
        return match slot_of(superblock, new, limits)? {
            Some(_) => Ok(None),
            None => Err(Fault::new(
                FaultClass::WrongKey,
                "the key that this connection was opened with opens no keyslot any more; open the database anew with \
                 one that does",
            )),
        };
    };
    if key.is_same_as(new) {
        return Ok(None);
    }
    let slot = &superblock.slots[index as usize];
    if slot.kind == KeyslotKind::Kms {
        return Err(invalid(
            "this connection was opened through a key-management service, whose keyslot no text can take the place of; \
             use `lumocrypt key add` and `lumocrypt key remove`",
        ));
    }
    let cost = cost_after(slot, limits);
    Ok(Some(Command::ChangeSlot { key, new: NewSlot::new(Arc::clone(new), cost, None)? }))
}

/// The key that the connection has shown. What lumocrypt.unlock or LUMO_KEY know, any SQL could change.
pub(super) fn shown_key(database: &Database) -> Result<Arc<Key>> {
    match (&database.options.key, database.origin) {
        (Some(key), Origin::Caller) => Ok(Arc::clone(key)),
        _ => Err(invalid(
            "this connection has not shown a key of its own, and only one that was shown is changed: show it with \
             PRAGMA lumo_key first, or use `lumocrypt key change` or `lumocrypt rekey`",
        )),
    }
}

/// What a passphrase costs that takes the place of another: as much as that, unless it was made by somebody with other
/// limits.
pub(super) fn cost_after(slot: &Keyslot, limits: &KdfLimits) -> Argon2Cost {
    let usable =
        |cost: &Argon2Cost| check_floor(cost).is_ok() && limits.check_new([cost].into_iter()).is_ok();
    slot.cost.filter(usable).unwrap_or(Argon2Cost::INTERACTIVE)
}

pub(super) fn invalid(message: &str) -> Fault {
    Fault::new(FaultClass::InvalidArgument, message)
}
