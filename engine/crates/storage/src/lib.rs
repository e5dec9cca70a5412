//! The layer below: random access to one file, as SQLite's VFS offers it.

#![forbid(unsafe_code)]

pub mod batch;
pub mod disk;
pub mod outbox;
pub mod readahead;

use std::sync::Arc;
use std::time::Duration;

use batch::Batch;
pub use batch::{BatchEnd, LONGEST_TRANSFER};
pub use ground::bytes::all_zero as is_zero;
use ground::error::Result;
use ground::memory;

/// What SQLite itself syncs with by default (SQLITE_SYNC_NORMAL in sqlite3.h).
pub const SYNC_NORMAL: i32 = 2;

/// Random access to the physical bytes of one file. Failures carry SQLite's result code.
pub trait Storage {
    /// Fills `buf` from `offset`. `false` if the file ended early; the rest of `buf` is then zero.
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool>;
    /// Writes all of `data` at `offset`.
    fn write(&mut self, data: &[u8], offset: u64) -> Result<()>;
    /// Cuts the file to `size` bytes.
    fn truncate(&mut self, size: u64) -> Result<()>;
    /// Makes everything written durable; `flags` are SQLite's.
    fn sync(&mut self, flags: i32) -> Result<()>;
    /// The length of the file in bytes.
    fn size(&mut self) -> Result<u64>;
    /// How many syncs of the file have failed, as far as this connection was told. What was written and not synced before
    /// one that failed can still be read and need not be on the disk, nor will a later sync bring it there: the kernel
    /// takes it for written.
    fn failed_syncs(&self) -> u64 {
        0
    }
    /// Shows `len` mapped bytes at `offset` to `visit`. `false`, without a visit, where no map covers them.
    ///
    /// The bytes belong to a shared map: another process may change them during the visit. A visitor must
    /// stay correct whatever it reads, which an AEAD that reads every byte once does.
    fn visit_map(&mut self, _offset: u64, _len: usize, _visit: &mut dyn FnMut(&[u8])) -> bool {
        false
    }
    /// Batches that fill faster than this are worth [`begin_batch`](Self::begin_batch). Zero: none; [`Duration::MAX`]: all.
    fn pace_for_batches(&self) -> Duration {
        Duration::ZERO
    }
    /// Has `batch` sealed and written in a thread of its own, after those begun before it. What else is called meanwhile
    /// waits for all of them, except what only reads and cannot meet them. `false`: not here.
    fn begin_batch(&mut self, _batch: &Arc<Batch>) -> bool {
        false
    }
    /// Waits for the first of the batches that were begun, and asks what became of it. After one that failed none is
    /// written.
    fn end_batch(&mut self) -> BatchEnd {
        BatchEnd::Failed
    }
    /// Waits for all of them; nobody will ask. Others will not follow soon, and the thread may go.
    fn end_batches(&mut self) {}
}

/// Writes `len` bytes at `offset` again as they are, so that the next sync brings them to the disk, whatever became of an
/// earlier one; see [`Storage::failed_syncs`].
///
/// Errors: those of the storage, and no memory.
pub fn rewrite(storage: &mut dyn Storage, offset: u64, len: u64) -> Result<()> {
    let mut bytes = memory::zeroed(len.min(LONGEST_TRANSFER as u64) as usize)?;
    let mut done = 0;
    while done < len {
        let part = &mut bytes[..(len - done).min(LONGEST_TRANSFER as u64) as usize];
        storage.read(part, offset + done)?;
        storage.write(part, offset + done)?;
        done += part.len() as u64;
    }
    Ok(())
}

/// A file in memory, for tests of the layers above.
#[cfg(any(test, feature = "test-support"))]
#[derive(Default, Clone)]
pub struct MemoryFile {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Syncs so far.
    pub syncs: usize,
    /// Reads so far.
    pub reads: usize,
    /// Writes so far.
    pub writes: usize,
    /// Writes that reach beyond this size fail.
    pub limit: Option<usize>,
}

#[cfg(any(test, feature = "test-support"))]
impl Storage for MemoryFile {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.reads += 1;
        let start = (offset as usize).min(self.bytes.len());
        let end = (start + buf.len()).min(self.bytes.len());
        buf[..end - start].copy_from_slice(&self.bytes[start..end]);
        buf[end - start..].fill(0);
        Ok(end - start == buf.len())
    }
    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.writes += 1;
        let end = offset as usize + data.len();
        if self.limit.is_some_and(|limit| end > limit) {
            return Err(ground::error::Fault::new(ground::error::FaultClass::Io, "the disk is full"));
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset as usize..end].copy_from_slice(data);
        Ok(())
    }
    fn truncate(&mut self, size: u64) -> Result<()> {
        self.bytes.truncate(size as usize);
        Ok(())
    }
    fn sync(&mut self, _flags: i32) -> Result<()> {
        self.syncs += 1;
        Ok(())
    }
    fn size(&mut self) -> Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}
