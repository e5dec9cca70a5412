//! How a main database comes to be: its header, before anything refers to it.

use std::sync::Arc;

use super::base::BaseFile;
use super::database::{Database, News, Phase, key_required, read_header};
use super::given::Origin;
use crate::format::header::HEADER_LEN;
use crypto::suite::SuiteId;
use ground::error::Result;
use ground::sabotage::{self, Sabotage};
use ground::stats::{STATS, Stats};
use storage::{SYNC_NORMAL, Storage};
use vault::create::{self, CreateOptions};
use vault::format::superblock::SUPERBLOCK_LEN;
use vault::unlocked;

impl Database {
    /// Makes the empty file a database: both header copies and cells, synced before anything refers to them.
    ///
    /// SQLite holds RESERVED or more when this is called, so nobody else is creating it.
    pub fn create(&mut self, base: &mut BaseFile) -> Result<()> {
        if !matches!(self.phase, Phase::New) {
            self.ready()?;
            return self.confirm_header(base);
        }
        if base.size()? > 0 {
            self.settle(base, News::Lock)?;
            if !matches!(self.phase, Phase::New) {
                return self.confirm_header(base);
            }
        }
        self.check_new()?;
        let (region, keys, superblock) = match &self.heir_of {
            Some((parent, keys)) if matches!(self.origin, Origin::Nobody | Origin::Environment) => {
                create::copy_of(parent, keys)?
            }
            _ => {
                let suite = self.options.suite.unwrap_or(SuiteId::DEFAULT);
                if suite.is_keyed() && self.options.key.is_none() {
                    return Err(key_required(&self.path));
                }
                create::database(self.options.key.as_deref(), &CreateOptions::from(&self.options))?
            }
        };
        write_new_header(base, &region)?;
        Stats::count(&STATS.created);
        self.header_confirmed = true;
        // An unlocked path is about the new database from now on.
        self.options.uuid = self.entry.map(|_| superblock.uuid);
        if let Some(entry) = self.entry {
            unlocked::bind(entry, superblock.uuid, true);
        }
        self.adopt(base, Arc::new(keys), superblock)
    }

    /// A database without blocks is about to get its first. Whoever made it may have ended in a sync that failed, and then
    /// its header can be read and need not be on the disk, where nothing could be opened without it: it is written again.
    fn confirm_header(&mut self, base: &mut BaseFile) -> Result<()> {
        if self.header_confirmed || !self.empty_when_read {
            return Ok(());
        }
        if base.size()? <= HEADER_LEN {
            let region = read_header(base)?;
            write_new_header(base, &region)?;
        }
        self.header_confirmed = true;
        Ok(())
    }
}

/// Writes the header region of a new database. Copy A comes last: until it begins to be there, the file is an unfinished
/// creation and not a damaged database.
fn write_new_header(base: &mut BaseFile, region: &[u8]) -> Result<()> {
    let first = SUPERBLOCK_LEN.min(region.len());
    for (start, end) in [(first, region.len()), (0, first)] {
        base.write(&region[start..end], start as u64)?;
        if !sabotage::is(Sabotage::HeaderSync) {
            base.sync(SYNC_NORMAL)?;
        }
    }
    Ok(())
}
