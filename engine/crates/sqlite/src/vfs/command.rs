//! Commands to a main file, which arrive as `PRAGMA lumo_command`.

use serde_json::json;

use super::open_file::OpenFile;
use super::rekey;
use ground::error::{Fault, FaultClass, Result};
use vault::commands::{Command, Which};
use vault::registry;
use vault::slots::Slots;

/// `PRAGMA lumo_command = '<handle>'`: carries out what the handle stands for; the answer is one JSON object.
pub fn pragma(open: &mut OpenFile, handle: Option<&[u8]>) -> Result<String> {
    let handle = handle.and_then(|handle| std::str::from_utf8(handle).ok());
    let command = handle.and_then(registry::take_command).ok_or_else(|| {
        Fault::new(
            FaultClass::InvalidArgument,
            "PRAGMA lumo_command is for lumocrypt's own use; it takes a handle that is good once",
        )
    })?;
    run(open, command)
}

/// Carries out `command` on a file whose connection holds SQLite's write lock.
pub fn run(open: &mut OpenFile, command: Command) -> Result<String> {
    if !open.common.excludes_other_writers() {
        return Err(Fault::new(
            FaultClass::InvalidArgument,
            "a command needs SQLite's write lock: run it between BEGIN IMMEDIATE and COMMIT",
        ));
    }
    match command {
        Command::AddSlot(new) => edit_slots(open, |slots| slots.add(&new)),
        Command::RemoveSlot(which) => edit_slots(open, |slots| slots.remove(&which)),
        Command::ChangeSlot { key, new } => {
            edit_slots(open, |slots| slots.change(&Which::OpenedBy(key), &new))
        }
        Command::LabelSlot(which, label) => edit_slots(open, |slots| slots.label(&which, &label)),
        Command::Rekey(command) => rekey::run(open, &command).map(|answer| answer.to_string()),
    }
}

fn edit_slots(open: &mut OpenFile, change: impl FnOnce(&mut Slots<'_>) -> Result<u32>) -> Result<String> {
    let Some((database, base)) = open.database() else {
        return Err(Fault::new(FaultClass::NotEncrypted, "this database is plaintext: it has no keys"));
    };
    let limits = database.options.limits;
    let index = database
        .edit_header(base, |superblock, keys| change(&mut Slots { superblock, keys, limits: &limits }))?;
    let generation = database.superblock.as_ref().map(|superblock| superblock.generation);
    Ok(json!({"slot": index, "generation": generation}).to_string())
}
