//! Changes of an environment's keyslots. Its data key and its pages stay.

use std::path::Path;

use serde_json::{Value, json};

use ground::error::{Fault, FaultClass, Result};
use sqlite::files::header_region::{replace_copies, write_copies};
use storage::Storage;
use vault::commands::{Command, Which};
use vault::header::Header;
use vault::options::OpenOptions;
use vault::slots::Slots;

use super::region::Unlocked;

/// Carries out a command for keyslots, in a file whose header nobody else changes meanwhile. Who has the environment open
/// goes on: its data key is the same. The result is the JSON of docs/reference/c-abi.md.
///
/// Errors: those of a key, and of a command that cannot be carried out; `UnsupportedFormat` for a change of the data key.
pub fn edit(file: &mut dyn Storage, options: &OpenOptions, path: &Path, command: Command) -> Result<Value> {
    let unlocked = Unlocked::open(file, options, path)?;
    let Some((current, raw)) = unlocked.header.authentic(&unlocked.keys) else {
        return Err(vault::header::damaged("no copy of the header's superblock is authentic"));
    };
    if !is_complete(&unlocked.header, raw) {
        // What a change that was cut short left behind must not come back in the next one.
        write_copies(file, raw)?;
    }
    let mut next = current.clone();
    let mut slots = Slots { superblock: &mut next, keys: &unlocked.keys, limits: &options.limits };
    let slot = match command {
        Command::AddSlot(new) => slots.add(&new),
        Command::RemoveSlot(which) => slots.remove(&which),
        Command::ChangeSlot { key, new } => slots.change(&Which::OpenedBy(key), &new),
        Command::LabelSlot(which, label) => slots.label(&which, &label),
        Command::Rekey(_) => Err(Fault::new(
            FaultClass::UnsupportedFormat,
            "the data key of an LMDB environment is not changed in place; copy it under a new key",
        )),
    }?;
    if next != *current {
        next.generation = current.generation + 1;
        replace_copies(file, raw, &next.encode(&*unlocked.keys))?;
    }
    Ok(json!({"slot": slot, "generation": next.generation}))
}

/// Whether both copies are this one.
fn is_complete(header: &Header, copy: &[u8]) -> bool {
    header.newest_first().iter().filter(|(_, raw)| *raw == copy).count() == 2
}
