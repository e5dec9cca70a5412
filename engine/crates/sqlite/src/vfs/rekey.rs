//! A change of the data key of a database that others may be using: its beginning, its steps and its end.
//!
//! Each of them runs inside a write transaction of the connection that makes the change, which keeps other writers out;
//! between them everybody reads and writes. Blocks are sealed anew in their places while others read them: what a reader
//! finds torn it reads again. Whoever writes looks at the header first and seals with the new key.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::base::BaseFile;
use super::database::{Phase, Progress};
use super::length::without_checkpoints;
use super::open_file::{Common, MainDatabase, OpenFile, SqliteFile};
use super::renewal::Renewal;
use crate::files::header_region::write_copies;
use crate::files::main_db::{LostMarks, MainFile};
use crate::files::redo::{self, Kept};
use crate::format::geometry::Geometry;
use crypto::nonce;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::memory;
use ground::paths;
use ground::sabotage::{self, Sabotage};
use storage::disk::{sync_folder, sync_if_there};
use storage::{SYNC_NORMAL, Storage, is_zero};
use vault::file_keys::NO_CONTEXT;
use vault::rekey::{self, Plan, RekeyCommand};

/// Carries out a part of a change.
pub fn run(open: &mut OpenFile, command: &RekeyCommand) -> Result<Value> {
    let Some((main, common)) = open.main() else { return Err(not_a_database()) };
    match command {
        RekeyCommand::Begin(plan) => begin(main, common, plan),
        RekeyCommand::Step { bytes, threads } => step(main, common, *bytes, *threads),
        RekeyCommand::Finish => finish(main, common),
    }
}

/// Begins a change, or finds that one was interrupted, and makes durable how far it had come.
///
/// Errors: those of [`rekey::begin`] and of the storage; `InvalidArgument` if the interrupted change was to come to
/// something else.
fn begin(main: &mut MainDatabase, common: &mut Common, plan: &Plan) -> Result<Value> {
    main.follow(common, true)?;
    let answer = alone(main, common, |main, common| {
        let database = &mut main.database;
        let (Phase::Ready(file), Some(superblock)) = (&mut database.phase, &database.superblock) else {
            return database.ready().map(|_| Value::Null);
        };
        let (superblock, keys) = (superblock.clone(), file.keys().clone());
        let resumed = superblock.link.is_some();
        if resumed {
            rekey::check_resumed(&superblock, plan)?;
            // What was interrupted may have left either copy of the header behind the other, or not durable yet.
            write_copies(&mut common.base, &superblock.encode(&keys))?;
            database.stale_copy = None;
            put_back(file, &mut common.base, &database.path)?;
            database.rekey = Some(Progress::new(superblock.key_id));
        } else {
            redo::remove(&database.path)?;
            database.complete_header(&mut common.base)?;
            let (keys, superblock) = rekey::begin(&superblock, &keys, plan)?;
            database.rekey = Some(Progress::new(superblock.key_id));
            database.replace_superblock(&mut common.base, &Arc::new(keys), superblock)?;
        }
        if let Some(key) = &plan.new_key {
            // What opens the database from here on.
            database.options.key = Some(Arc::clone(key));
        }
        Ok(json!({"resumed": resumed, "busy": false}))
    })?;
    main.pass_on_keys();
    Ok(answer)
}

/// Writes the blocks that were being written to their places again, and makes the main file durable: only then may what is
/// beside it go. What can be read there proves nothing: a sync that fails leaves blocks in the page cache that never reach
/// the disk, unless they are written once more.
fn put_back(file: &mut MainFile, base: &mut BaseFile, path: &Path) -> Result<()> {
    let mut walk = Walk::new(file, base, path)?;
    if let Some(mut kept) = Kept::open(path, walk.file.keys(), &walk.geometry)? {
        let indices = kept.indices();
        for index in indices.start..indices.end.min(walk.slots) {
            walk.put_back(&mut kept, index)?;
        }
    }
    walk.base.sync(SYNC_NORMAL)?;
    redo::remove(path)
}

/// Seals the next blocks anew, `most` bytes of them at most, by so many threads. `"busy"`: a checkpoint is writing blocks,
/// so that nothing was done.
///
/// Errors: `Tampered` for a block that opens under neither key, and those of the storage. What was sealed anew stays so,
/// and the change can be resumed.
fn step(main: &mut MainDatabase, common: &mut Common, most: u64, threads: Option<usize>) -> Result<Value> {
    main.follow(common, true)?;
    alone(main, common, |main, common| {
        let database = &mut main.database;
        let Phase::Ready(file) = &mut database.phase else { return database.ready().map(|_| Value::Null) };
        let current = file.keys().key_id;
        let progress = database.rekey.as_mut().ok_or_else(not_begun)?;
        if progress.unsettled {
            put_back(file, &mut common.base, &database.path)?;
            progress.unsettled = false;
        }
        let mut walk = Walk::new(file, &mut common.base, &database.path)?;
        // Somebody else has ended this change, and perhaps begun another.
        let next = if progress.key_id == current { walk.run(progress, most, threads)? } else { u64::MAX };
        let (total, block_size) = (walk.size, u64::from(walk.geometry.block_size));
        progress.next = next;
        Ok(json!({"done": next.saturating_mul(block_size).min(total), "total": total, "busy": false}))
    })
}

/// Ends the change, once all blocks are under the new key. `"finished": false`: a checkpoint is under way, or there are
/// still frames under the old key, which only a checkpoint that empties the log removes.
///
/// Errors: those of the storage.
fn finish(main: &mut MainDatabase, common: &mut Common) -> Result<Value> {
    main.follow(common, true)?;
    let changed_over = match main.open_wal() {
        Some((wal, base)) => wal.is_changed_over(base)?,
        None => true,
    };
    if !changed_over {
        return Ok(json!({"finished": false, "busy": false}));
    }
    let answer = alone(main, common, |main, common| {
        let database = &mut main.database;
        let (Phase::Ready(file), Some(superblock)) = (&mut database.phase, &database.superblock) else {
            return database.ready().map(|_| Value::Null);
        };
        let progress = database.rekey.as_ref().ok_or_else(not_begun)?;
        if superblock.link.is_none() || progress.key_id != superblock.key_id {
            // Somebody else has ended it.
            return Ok(json!({"finished": true, "busy": false}));
        }
        if progress.next < u64::MAX {
            return Err(not_begun());
        }
        // A log that SQLite emptied or deleted may come back in a power cut, and would be under a key that nothing leads
        // to.
        for suffix in ["-wal", "-journal"] {
            sync_if_there(&paths::beside(&database.path, suffix))?;
        }
        sync_folder(&database.path)?;
        file.renew_cells(&mut common.base, SYNC_NORMAL)?;
        common.base.sync(SYNC_NORMAL)?;
        redo::remove(&database.path)?;
        let (keys, superblock) = rekey::finish(superblock, file.keys())?;
        database.replace_superblock(&mut common.base, &Arc::new(keys), superblock)?;
        Ok(json!({"finished": true, "busy": false}))
    })?;
    main.pass_on_keys();
    Ok(answer)
}

/// Runs `work` while nobody else writes the main file: writers are kept out already, and here checkpoints.
fn alone(
    main: &mut MainDatabase,
    common: &mut Common,
    work: impl FnOnce(&mut MainDatabase, &mut Common) -> Result<Value>,
) -> Result<Value> {
    Ok(without_checkpoints(main, common, work)?.unwrap_or_else(|| json!({"busy": true, "finished": false})))
}

/// One step through the blocks.
struct Walk<'a> {
    file: &'a mut MainFile,
    base: &'a mut BaseFile,
    path: &'a Path,
    geometry: Geometry,
    /// Logical bytes, and slots.
    size: u64,
    slots: u64,
    marks: LostMarks,
    plain: Vec<u8>,
}

impl<'a> Walk<'a> {
    fn new(file: &'a mut MainFile, base: &'a mut BaseFile, path: &'a Path) -> Result<Self> {
        file.flush(base)?;
        file.lock_taken(base, false);
        let size = file.size(base)?;
        let keys = file.keys();
        let geometry = Geometry::new(file.block_size(), keys.suite.overhead());
        let marks = LostMarks::new(keys, file.block_size() as usize)?;
        let plain = memory::zeroed(file.block_size() as usize)?;
        // As when a transaction starts.
        nonce::discard_pool();
        Ok(Walk { file, base, path, geometry, size, slots: geometry.block_count(size), marks, plain })
    }

    /// Seals up to `most` bytes from the next block on; returns the one behind them, beyond all numbers when there is none.
    fn run(&mut self, progress: &mut Progress, most: u64, threads: Option<usize>) -> Result<u64> {
        let from = progress.next;
        let new = self.file.sealer();
        let Some(older) = new.older().filter(|_| from < self.slots) else { return Ok(u64::MAX) };
        // The slots up to SQLite's lock bytes follow each other, and so do those behind.
        let gap = self.geometry.slots_before_lock_page();
        let most = (most / u64::from(self.geometry.block_size)).max(1);
        let end = from.saturating_add(most).min(self.slots).min(if from < gap { gap } else { u64::MAX });
        let offset = self.geometry.slot_offset(from);
        let slot_len = self.geometry.slot_len();
        let whole = (end - from) as usize * slot_len;
        let there = self.geometry.physical_size(self.size) - offset;
        let mut sealed = memory::zeroed(whole.min(there as usize))?;
        self.base.read(&mut sealed, offset)?;
        let renewed = Renewal { new, older, marks: &self.marks, slot_len, threads }.run(from, &mut sealed)?;
        for place in renewed.unopened {
            let slot = &sealed[place * slot_len..sealed.len().min((place + 1) * slot_len)];
            self.check_hole(from + place as u64, slot)?;
        }
        if let Some((first, last)) = renewed.changed {
            let until = sealed.len().min((last + 1) * slot_len);
            let slots = &sealed[first * slot_len..until];
            let first = from + first as u64;
            if !sabotage::is(Sabotage::Redo) {
                let (keys, named) = (self.file.keys(), &mut progress.named);
                redo::keep(self.path, keys, &self.geometry, first, slots, named)?;
            }
            progress.unsettled = true;
            self.base.write(slots, self.geometry.slot_offset(first))?;
            self.base.sync(SYNC_NORMAL)?;
            // From here on others may write newer blocks in their places.
            redo::discard(self.path)?;
            progress.unsettled = false;
            self.file.lock_taken(self.base, false);
        }
        Ok(if end == self.slots { u64::MAX } else { end })
    }

    /// Writes block `index` to its place again: what is there, if it is under the new key, since others may have written
    /// there later; what was kept, if it is torn there. Under the older key it was not written yet, and what was kept may
    /// not be durable.
    fn put_back(&mut self, kept: &mut Kept, index: u64) -> Result<()> {
        let offset = self.geometry.slot_offset(index);
        let there = self.geometry.physical_size(self.size) - offset;
        let len = self.geometry.slot_len().min(there as usize);
        let mut slot = memory::zeroed(self.geometry.slot_len())?;
        self.base.read(&mut slot[..len], offset)?;
        let sealer = self.file.sealer();
        let Some(plain) = len.checked_sub(sealer.overhead()).map(|len| &mut self.plain[..len]) else {
            return Ok(());
        };
        if sealer.open_new(index, &NO_CONTEXT, &slot[..len], plain).is_ok() {
            if sabotage::is(Sabotage::KeptTrust) {
                return Ok(());
            }
        } else if sealer.open(index, &NO_CONTEXT, &slot[..len], plain).is_ok()
            || kept.read(index, &mut slot)? != Some(len)
            || sealer.open_new(index, &NO_CONTEXT, &slot[..len], plain).is_err()
        {
            return Ok(());
        }
        self.base.write(&slot[..len], offset)
    }

    /// What does not open has to be a hole.
    fn check_hole(&mut self, index: u64, slot: &[u8]) -> Result<()> {
        if is_zero(slot) && self.file.may_be_hole(self.base, index)? {
            return Ok(());
        }
        Err(Fault::new(
            FaultClass::Tampered,
            format!(
                "block {index} of the database is damaged, and so the change of its data key stops here; `lumocrypt verify` \
                 lists every such block, and `lumocrypt salvage` saves what is readable"
            ),
        )
        .in_file(FileKind::MainDb)
        .at_number(index))
    }
}

fn not_begun() -> Fault {
    Fault::new(
        FaultClass::Internal,
        "a change of the data key goes on that this connection has not begun, or not walked",
    )
}

fn not_a_database() -> Fault {
    Fault::new(
        FaultClass::InvalidArgument,
        "the data key of this file cannot be changed: it is not encrypted",
    )
}
