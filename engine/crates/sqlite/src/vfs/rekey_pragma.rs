//! `PRAGMA lumo_rekey`: another data key for the whole database, and another key in the place of the one that was shown.
//!
//! It is what `lumocrypt rekey` does, in the same steps, over a connection of the engine's own: each is a transaction, in
//! between others go on, and what is interrupted goes on with the same pragma.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::database::{Database, Phase};
use super::given::Origin;
use super::open_file::OpenFile;
use super::own_connection::OwnConnection;
use super::passphrase::{cost_after, invalid, shown_key};
use crate::library::abi::SQLITE_READONLY;
use ground::error::{Fault, FaultClass, Result};
use ground::locks;
use vault::commands::Command;
use vault::format::keyslot::KeyslotKind;
use vault::format::superblock::Superblock;
use vault::material::Key;
use vault::rekey::{Plan, RekeyCommand};
use vault::unlock::slot_of;

/// Bytes sealed under one lock: some ten milliseconds, which is what others have to wait at most.
const STEP_BYTES: u64 = 4 << 20;
/// How long others may keep each step from writing.
const WAIT: Duration = Duration::from_secs(30);
/// Between two tries where SQLite does not wait by itself.
const PAUSE: Duration = Duration::from_millis(10);

/// Gives the database a new data key; the key in `text` takes the place of the one that the connection has shown.
///
/// Errors: `InvalidArgument` inside a transaction, for a key that was not shown, and for a suite that has no steps;
/// `KeyRequired` if there are keyslots with other keys; `InUse` if others do not let us write or empty the log, when what
/// was done stays done; those of the storage.
pub fn pragma(open: &mut OpenFile, text: Option<&[u8]>) -> Result<String> {
    let Some(text) = text else {
        return Err(invalid("PRAGMA lumo_rekey needs the key from now on: PRAGMA lumo_rekey = '…'"));
    };
    let new = Arc::new(Key::parse(text)?);
    if is_in_transaction(open) {
        return Err(invalid(
            "PRAGMA lumo_rekey goes in steps, each of which is a transaction; end this one first, with COMMIT or ROLLBACK",
        ));
    }
    // The data key may have been changed since the connection last looked.
    open.follow(true)?;
    let path = open.common.path.clone();
    let (plan, mut options) = {
        let Some((database, base)) = open.database() else {
            return Err(Fault::new(
                FaultClass::NotEncrypted,
                "this database is plaintext: it has no data key; encrypt it with `lumocrypt encrypt`",
            ));
        };
        if matches!(database.phase, Phase::New) {
            return Err(invalid(
                "the database does not exist yet, so it has no data key; PRAGMA lumo_key = '…' names its first key",
            ));
        }
        let superblock = database.current_header(base)?;
        (plan_for(database, &superblock, &new)?, database.options.clone())
    };
    if open.common.read_only {
        let fault = Fault::new(FaultClass::Io, "the database was opened for reading only");
        return Err(fault.with_code(SQLITE_READONLY));
    }
    options.key = Some(Arc::clone(&plan.key));
    let own = OwnConnection::open(open.common.shim, &path, options)?;
    unless_busy(|| own.command(Command::Rekey(RekeyCommand::Begin(plan.clone()))))?;
    if let Some((database, _)) = open.database() {
        // It opens the database from here on, whatever comes of the rest.
        (database.options.key, database.origin) = (Some(new), Origin::Caller);
    }
    walk(&own)?;
    finish(&own)?;
    drop(own);
    open.follow(true)?;
    Ok("ok".to_owned())
}

/// Is the connection in a transaction, or does it keep the file to itself?
fn is_in_transaction(open: &OpenFile) -> bool {
    if open.common.excludes_other_writers() {
        return true;
    }
    let connection = open.connection as *mut crate::library::abi::sqlite3;
    locks::calls_out();
    // SAFETY: the connection that this file belongs to, within a call of which this runs.
    !connection.is_null() && unsafe { (open.common.shim.host().api.get_autocommit)(connection) } == 0
}

/// What is to become of the keyslots: the one of the key that was shown is for `new`.
fn plan_for(database: &Database, superblock: &Superblock, new: &Arc<Key>) -> Result<Plan> {
    if !superblock.suite.is_keyed() {
        return Err(Fault::new(
            FaultClass::NotEncrypted,
            "the database is only checksummed: it has no data key",
        ));
    }
    let shown = shown_key(database)?;
    let limits = database.options.limits;
    let (key, index) = match slot_of(superblock, &shown, &limits)? {
        Some(index) => (shown, index),
        // An interrupted change may have put the new key there already.
        None => match slot_of(superblock, new, &limits)? {
            Some(index) if superblock.link.is_some() => (Arc::clone(new), index),
            _ => {
                return Err(Fault::new(
                    FaultClass::WrongKey,
                    "the key that this connection was opened with opens no keyslot any more; open the database anew with \
                     one that does",
                ));
            }
        },
    };
    let slot = &superblock.slots[index as usize];
    if slot.kind == KeyslotKind::Kms {
        return Err(invalid(
            "this connection was opened through a key-management service, whose keyslot no text can take the place of; \
             use `lumocrypt rekey`",
        ));
    }
    Ok(Plan {
        new_key: (!key.is_same_as(new)).then(|| Arc::clone(new)),
        key,
        others: Vec::new(),
        drop_others: false,
        suite: None,
        cost: Some(cost_after(slot, &limits)),
        limits,
        key_id: None,
        provider: None,
    })
}

fn walk(own: &OwnConnection) -> Result<()> {
    let step = || own.command(Command::Rekey(RekeyCommand::Step { bytes: STEP_BYTES, threads: None }));
    loop {
        let answer = match unless_busy(step) {
            Err(fault) if fault.class == FaultClass::Tampered => {
                // A crash may have interrupted a checkpoint: what it tore is whole in the log, and the next one writes
                // it once more.
                let _ = own.execute("PRAGMA wal_checkpoint(PASSIVE)");
                unless_busy(step)?
            }
            answer => answer?,
        };
        if answer["done"].as_u64() >= answer["total"].as_u64() {
            return Ok(());
        }
    }
}

fn finish(own: &OwnConnection) -> Result<()> {
    let begun = Instant::now();
    while unless_busy(|| own.command(Command::Rekey(RekeyCommand::Finish)))?["finished"] != true {
        // Frames under the old key are left in the log: it has to be emptied once, as soon as others let us.
        let _ = own.execute("PRAGMA wal_checkpoint(TRUNCATE)");
        if begun.elapsed() > WAIT {
            return Err(Fault::new(
                FaultClass::InUse,
                "every block is under the new data key, but other connections keep the write-ahead log from being emptied; \
                 run the same again when they are done",
            ));
        }
    }
    Ok(())
}

/// The answer of `run` once no checkpoint keeps it from working.
fn unless_busy(mut run: impl FnMut() -> Result<Value>) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let answer = run()?;
        if answer["busy"] != true {
            return Ok(answer);
        }
        if begun.elapsed() > WAIT {
            return Err(busy());
        }
        std::thread::sleep(PAUSE);
    }
}

fn busy() -> Fault {
    Fault::new(
        FaultClass::InUse,
        "a checkpoint by another connection does not end; run the same again when it has",
    )
}
