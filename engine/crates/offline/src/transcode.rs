//! From one format to another, bit for bit, and never in clear in between.

use super::convert;
use super::pieces::{Piece, Pieces};
use super::progress::{Meter, Progress};
use super::view::{Format, View};
use super::workers::{Desk, Workers};
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::memory;
use sqlite::format::geometry::Geometry;
use storage::disk::DiskFile;
use storage::{LONGEST_TRANSFER, Storage};

/// Writes the database in `source` to the empty `destination`, which is synced, in the format `new`.
///
/// Errors: those of reading the source; `InvalidArgument` if the gosqlite format is asked for with another page size than
/// the database has.
pub async fn transcode(
    source: &mut View,
    destination: &mut DiskFile,
    new: &Format,
    threads: Option<usize>,
    meter: &Meter,
) -> Result<()> {
    let page_size = source.page_size();
    match new {
        Format::Native(options) => {
            convert::encrypt(source, destination, options, meter).await?;
            return Ok(());
        }
        Format::Plain => write(source, destination, page_size, threads, meter, &|_, _| {}).await?,
        Format::Gosqlite(gosqlite) => {
            if gosqlite.page_size.is_some_and(|asked| asked != page_size) {
                return Err(Fault::new(
                    FaultClass::InvalidArgument,
                    format!("the database has pages of {page_size} bytes, which is the page size to give"),
                ));
            }
            if !source.size()?.is_multiple_of(u64::from(page_size)) {
                let message = "the database is no whole number of pages: it was cut, or is damaged";
                return Err(Fault::new(FaultClass::Tampered, message).in_file(FileKind::MainDb));
            }
            let cipher = gosqlite.keyed.as_ref();
            write(source, destination, page_size, threads, meter, &|index, block| {
                cipher.encrypt(FileKind::MainDb as u8, index, block);
            })
            .await?;
        }
    }
    destination.sync(0)
}

/// Writes all blocks, which `transform` changes, to where they are in the database.
async fn write(
    source: &mut View,
    destination: &DiskFile,
    block_size: u32,
    threads: Option<usize>,
    meter: &Meter,
    transform: &(dyn Fn(u64, &mut [u8]) + Sync),
) -> Result<()> {
    let size = source.size()?;
    let pieces = Pieces::new(Geometry::new(block_size, 0), size);
    let blocks = pieces.most_blocks();
    let workers = Workers::new(pieces, source, threads, blocks)?;
    convert::all(workers, Progress::new(size, meter), &|piece: &Piece, desk: &mut Desk<'_>| {
        let plain = &mut desk.plain[..piece.plain_len];
        if !desk.input.read(plain, piece.start)? {
            return Err(convert::became_shorter());
        }
        for (block, index) in plain.chunks_mut(block_size as usize).zip(piece.first..) {
            transform(index, block);
        }
        destination.write_at(plain, piece.start)
    })
    .await
}

/// Reads both databases from end to end.
///
/// Errors: `Io` if they differ, which says that the disk or the memory is failing; those of reading.
pub async fn compare(old: &mut View, new: &mut View, meter: &Meter) -> Result<()> {
    let size = old.size()?;
    if new.size()? != size {
        return Err(differs(size.min(new.size()?)));
    }
    let mut progress = Progress::new(size, meter);
    let (mut left, mut right) = (memory::zeroed(LONGEST_TRANSFER)?, memory::zeroed(LONGEST_TRANSFER)?);
    let mut offset = 0;
    while offset < size {
        let len = (size - offset).min(LONGEST_TRANSFER as u64) as usize;
        let whole = old.read(&mut left[..len], offset)? && new.read(&mut right[..len], offset)?;
        if let Some(at) = left[..len].iter().zip(&right[..len]).position(|(a, b)| a != b) {
            return Err(differs(offset + at as u64));
        }
        if !whole {
            return Err(differs(offset));
        }
        offset += len as u64;
        progress.advance(len as u64).await;
    }
    Ok(())
}

fn differs(offset: u64) -> Fault {
    Fault::new(
        FaultClass::Io,
        format!(
            "the new file does not read back as the source does, from byte {offset} of the database on; the source was kept"
        ),
    )
}

#[cfg(test)]
mod tests;
