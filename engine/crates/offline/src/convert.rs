//! From plaintext to encrypted and back, bit for bit.

use std::path::Path;

use super::Unlocked;
use super::pieces::{Piece, Pieces};
use super::progress::{Meter, Progress};
use super::workers::{Desk, Input, Work, Workers};
use crypto::nonce;
use crypto::suite::SuiteId;
use ground::error::{Fault, FaultClass, FileKind, Result};
use sqlite::facts::{self, MAGIC};
use sqlite::files::header_region::write_new_cells;
use sqlite::format::geometry::Geometry;
use storage::Storage;
use storage::disk::DiskFile;
use vault::create::{self, CreateOptions};
use vault::file_keys::{FileKeys, NO_CONTEXT, Sealer};
use vault::format::superblock::{self, Superblock};
use vault::registry::OpenOptions;

/// What a conversion did.
pub struct Converted {
    /// The encrypted side's cipher.
    pub suite: SuiteId,
    /// The encrypted side's UUID.
    pub uuid: [u8; 16],
    /// The encrypted side's block size in bytes.
    pub block_size: u32,
    /// The plaintext's length in bytes.
    pub size: u64,
}

/// A new encrypted database whose blocks are being written.
pub(super) struct Made {
    keys: FileKeys,
    superblock: Superblock,
    /// What seals its blocks.
    pub sealer: Sealer,
    /// Where they go.
    pub geometry: Geometry,
    size: u64,
}

impl Made {
    /// Begins the empty `destination` for a plaintext database of `size` bytes that begins with `head`.
    pub fn begin(
        head: &[u8; facts::HEADER_LEN],
        size: u64,
        options: &OpenOptions,
        destination: &mut DiskFile,
    ) -> Result<Made> {
        if size < head.len() as u64 || !head.starts_with(MAGIC) {
            return Err(not_plaintext(head, size));
        }
        let mut create = CreateOptions::from(options);
        if let (None, Some(page_size)) = (options.block_size, facts::page_size_in(head)) {
            create.block_size = page_size;
        }
        let (region, keys, superblock) = create::database(options.key.as_deref(), &create)?;
        let sealer = keys.sealer(FileKind::MainDb)?;
        let geometry = Geometry::new(superblock.block_size, sealer.overhead());
        if !geometry.takes(size) {
            return Err(Fault::new(
                FaultClass::InvalidArgument,
                format!(
                    "the file has {size} bytes, and {} stores whole pages only, multiples of 512 bytes; VACUUM the database \
                     first, or choose another cipher",
                    superblock.suite.name()
                ),
            ));
        }
        destination.write(&region, 0)?;
        // As when a transaction starts.
        nonce::discard_pool();
        Ok(Made { keys, superblock, sealer, geometry, size })
    }

    /// Seals the content of `piece` into `sealed`.
    pub fn seal(&self, piece: &Piece, plain: &[u8], sealed: &mut [u8]) -> Result<()> {
        let slots = sealed.chunks_mut(self.geometry.slot_len());
        for ((block, slot), index) in
            plain.chunks(self.geometry.block_size as usize).zip(slots).zip(piece.first..)
        {
            self.sealer.seal(index, &NO_CONTEXT, block, slot)?;
        }
        Ok(())
    }

    /// All blocks were written: completes and syncs the database.
    pub fn finish(self, destination: &mut DiskFile) -> Result<Converted> {
        destination.sync(0)?;
        // As the first sync of a database that grew by itself: without its slots it is no new one.
        write_new_cells(destination, &self.keys, self.geometry.counted_blocks(self.size, true))?;
        Ok(Converted {
            suite: self.superblock.suite,
            uuid: self.superblock.uuid,
            block_size: self.superblock.block_size,
            size: self.size,
        })
    }
}

/// Encrypts the plaintext database in `source` into the empty `destination`, which is synced.
pub async fn encrypt(
    source: &mut dyn Input,
    destination: &mut DiskFile,
    options: &OpenOptions,
    meter: &Meter,
) -> Result<Converted> {
    let size = source.size()?;
    let mut head = [0u8; facts::HEADER_LEN];
    source.read(&mut head, 0)?;
    let made = Made::begin(&head, size, options, destination)?;
    let pieces = Pieces::new(made.geometry, size);
    let blocks = pieces.most_blocks();
    let workers = Workers::new(pieces, source, options.threads, blocks)?;
    let target = &*destination;
    all(workers, Progress::new(size, meter), &|piece: &Piece, desk: &mut Desk<'_>| {
        let (plain, sealed) = (&mut desk.plain[..piece.plain_len], &mut desk.sealed[..piece.sealed_len]);
        if !desk.input.read(plain, piece.start)? {
            return Err(became_shorter());
        }
        made.seal(piece, plain, sealed)?;
        target.write_at(sealed, piece.offset)
    })
    .await?;
    made.finish(destination)
}

/// Makes the empty `destination` a database without content, which is synced.
pub fn create(destination: &mut DiskFile, options: &OpenOptions) -> Result<()> {
    let (region, _, _) = create::database(options.key.as_deref(), &CreateOptions::from(options))?;
    destination.write(&region, 0)?;
    destination.sync(0)
}

pub(super) fn became_shorter() -> Fault {
    Fault::new(
        FaultClass::InUse,
        "the database became shorter while it was being encrypted; something else writes to it",
    )
}

/// A block that does not authenticate.
pub(super) fn unauthentic(index: u64) -> Fault {
    Fault::new(
        FaultClass::Tampered,
        format!(
            "block {index} of the database does not authenticate: it was changed, moved or damaged; \
             `lumocrypt verify` lists every such block"
        ),
    )
    .in_file(FileKind::MainDb)
    .at_number(index)
}

/// Converts all pieces.
pub(super) async fn all(mut workers: Workers<'_>, mut progress: Progress<'_>, work: &Work<'_>) -> Result<()> {
    while let Some(done) = workers.round(work)? {
        progress.advance(done).await;
    }
    Ok(())
}

fn not_plaintext(head: &[u8], size: u64) -> Fault {
    let (class, message) = if head.starts_with(&superblock::MAGIC) {
        (FaultClass::InvalidArgument, "the database is encrypted already")
    } else if size == 0 {
        (FaultClass::InvalidArgument, "the file is empty; lumocrypt.connect makes new encrypted databases")
    } else {
        (FaultClass::InvalidArgument, "the file is not a SQLite database, so there is nothing to encrypt")
    };
    Fault::new(class, message)
}

/// Decrypts the database in `source` into the empty `destination`, which is synced.
pub async fn decrypt(
    source: &mut dyn Input,
    destination: &mut DiskFile,
    options: &OpenOptions,
    path: &Path,
    meter: &Meter,
) -> Result<Converted> {
    let file = Unlocked::open(source, options, path)?;
    let (geometry, size) = (file.geometry, file.size);
    let block_size = file.superblock.block_size as usize;
    let blocks = file.pieces().most_blocks();
    let workers = Workers::new(file.pieces(), source, options.threads, blocks)?;
    let target = &*destination;
    all(workers, Progress::new(size, meter), &|piece: &Piece, desk: &mut Desk<'_>| {
        let (plain, sealed) = (&mut desk.plain[..piece.plain_len], &mut desk.sealed[..piece.sealed_len]);
        desk.input.read(sealed, piece.offset)?;
        let slots = sealed.chunks(geometry.slot_len());
        for ((block, slot), index) in plain.chunks_mut(block_size).zip(slots).zip(piece.first..) {
            if !file.open_slot(index, slot, block) {
                return Err(unauthentic(index));
            }
        }
        target.write_at(plain, piece.start)
    })
    .await?;
    destination.sync(0)?;
    let superblock = file.superblock;
    Ok(Converted { suite: superblock.suite, uuid: superblock.uuid, block_size: superblock.block_size, size })
}
