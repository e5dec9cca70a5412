//! The header region: two superblock copies and two copies of each cell (`docs/reference/format.md`, section 2).

use std::borrow::Cow;

use super::cells::{self, Cells};
use super::length;
use super::mac::Mac;
pub use super::superblock::CopyState;
use super::superblock::{MAGIC, SUPERBLOCK_LEN, Superblock, VERSION};
use ground::bytes::{all_zero, put};
use ground::error::{Fault, FaultClass, FileKind, Result};

/// Length of the header region in front of the slots (`docs/reference/format.md`, section 2).
pub const HEADER_LEN: u64 = 65536;
/// Where superblock copy B is; copy A is at 0.
pub const COPY_B_OFFSET: u64 = SUPERBLOCK_LEN as u64;

/// A header region, parsed without any key. At least one copy is intact.
#[derive(Clone, Debug)]
pub struct Header {
    raw: Vec<u8>,
    /// The superblock at 0.
    pub a: CopyState,
    /// The superblock at 0x4000.
    pub b: CopyState,
    /// Places outside the copies that should be zero and are not: no harm, but somebody wrote there.
    pub warnings: Vec<String>,
}

/// Reads the header region from the beginning of a file; `region` is shorter only if the file is.
///
/// Copies are decoded by `decode`. Fails with `NotEncrypted` if the file is something else, `HeaderDamaged` if it is ours but no copy is
/// intact or part of the region is missing, and `UnsupportedFormat` if the copy that counts is not for this
/// version.
pub fn parse_with<'a>(
    region: impl Into<Cow<'a, [u8]>>,
    decode: impl Fn(&[u8]) -> CopyState,
) -> Result<Header> {
    let region = region.into();
    let copy_b = region.get(SUPERBLOCK_LEN..).unwrap_or_default();
    let cut_in_magic = region.len() < MAGIC.len() && MAGIC.starts_with(&region);
    if !region.starts_with(&MAGIC) && !copy_b.starts_with(&MAGIC) && !cut_in_magic {
        return Err(Fault::new(
            FaultClass::NotEncrypted,
            "this file was not encrypted by lumocrypt; check the path",
        ));
    }
    if (region.len() as u64) < HEADER_LEN {
        if is_unfinished(&region, region.len() as u64) {
            return Err(unfinished());
        }
        return Err(Fault::new(
            FaultClass::HeaderDamaged,
            format!(
                "the file ends after {} of the {HEADER_LEN} bytes of its header; restore the file or its header \
                 from a backup",
                region.len()
            ),
        ));
    }
    let mut raw = region.into_owned();
    raw.truncate(HEADER_LEN as usize);
    let a = decode(&raw);
    // The copies differ only while the header is being changed.
    let copy_b = &raw[SUPERBLOCK_LEN..];
    let same = raw[..SUPERBLOCK_LEN] == copy_b[..SUPERBLOCK_LEN];
    let b = if same { a.clone() } else { decode(copy_b) };
    let header = Header { warnings: warnings(&raw), raw, a, b };
    header.refuse_unsupported()?;
    if header.newest().is_none() {
        return Err(damaged("both copies of the header's superblock are damaged"));
    }
    Ok(header)
}

/// Did a crash leave the creation of a database behind? Then there are no slots, and superblock copy A, which is
/// written last, is still all zeros. What else is there may be torn, even where copy B looks intact.
/// A file of no bytes is new, too.
pub fn is_unfinished(region: &[u8], size: u64) -> bool {
    size <= HEADER_LEN
        && all_zero(&region[..region.len().min(SUPERBLOCK_LEN)])
        && !length::counts_slots(region)
}

/// The fault for a file that [`is_unfinished`].
pub fn unfinished() -> Fault {
    Fault::new(
        FaultClass::NoDatabase,
        "there is no database yet: its creation was interrupted before anything was committed, and nothing is lost. The next \
         program that writes to the file creates it; if there was one, restore it from a backup",
    )
}

/// The fault for a file that is empty, or [`is_unfinished`], with a log beside it that ends in `suffix`: a creation leaves none.
pub fn emptied(suffix: &str) -> Fault {
    Fault::new(
        FaultClass::Tampered,
        format!(
            "the database file is empty, but its {suffix} file is not: the database was truncated, or the log belongs to \
             another one. Restore the database, or move the log away to start a new one"
        ),
    )
    .in_file(FileKind::MainDb)
}

/// The fault for a header that cannot be used, with what to do about it.
pub fn damaged(what: &str) -> Fault {
    Fault::new(FaultClass::HeaderDamaged, format!("{what}; restore the file from a backup"))
}

/// The fault for the header of another database than the one that was unlocked.
pub fn replaced() -> Fault {
    Fault::new(
        FaultClass::InUse,
        "this is another database now: the file was replaced while this connection was open; close it and open the \
         database again",
    )
}

impl Header {
    /// The intact copy with the higher generation: the one that counts.
    pub fn newest(&self) -> Option<&Superblock> {
        self.newest_first().first().map(|(superblock, _)| *superblock)
    }

    /// The intact copies with their stored bytes, the higher generation first, copy A first if equal.
    pub fn newest_first(&self) -> Vec<(&Superblock, &[u8])> {
        let (raw_a, raw_b) = self.raw[..2 * SUPERBLOCK_LEN].split_at(SUPERBLOCK_LEN);
        let mut copies = Vec::with_capacity(2);
        for (state, raw) in [(&self.a, raw_a), (&self.b, raw_b)] {
            if let CopyState::Intact(superblock) = state {
                copies.push((superblock.as_ref(), raw));
            }
        }
        copies.sort_by_key(|(superblock, _)| std::cmp::Reverse(superblock.generation));
        copies
    }

    /// Where the copy is that is not intact or of a lower generation than the other, if there is one.
    pub fn stale_copy(&self) -> Option<u64> {
        let newest = self.newest()?.generation;
        let counts = |state: &CopyState| matches!(state, CopyState::Intact(superblock) if superblock.generation == newest);
        match (counts(&self.a), counts(&self.b)) {
            (false, _) => Some(0),
            (true, false) => Some(COPY_B_OFFSET),
            (true, true) => None,
        }
    }

    /// The whole region as it was read.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The cells, as the superblock that counts has them.
    pub fn cells(&self, keys: &(impl Mac + ?Sized)) -> Cells {
        let keeps_length = self.newest().is_some_and(|superblock| superblock.keeps_length);
        Cells::of(&self.raw, keys, keeps_length)
    }

    /// An intact copy of another version counts like any other: falling back to an older copy of this
    /// version would undo whatever the other version did.
    fn refuse_unsupported(&self) -> Result<()> {
        let newest = self.newest().map(|superblock| superblock.generation);
        for state in [&self.a, &self.b] {
            match state {
                CopyState::Unsupported { version, generation, reason } if newest <= Some(*generation) => {
                    let remedy = if *version > VERSION {
                        "a newer lumocrypt reads it"
                    } else {
                        "use the lumocrypt that wrote it"
                    };
                    return Err(Fault::new(
                        FaultClass::UnsupportedFormat,
                        format!(
                            "the database uses {reason}, which this version of lumocrypt does not read; {remedy}"
                        ),
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reserved space outside the copies. It is not authenticated, so it decides nothing.
fn warnings(raw: &[u8]) -> Vec<String> {
    const PART: usize = 4096;
    (2 * SUPERBLOCK_LEN..raw.len())
        .step_by(PART)
        .map(|start| (cells::reserved_from(start), start + PART))
        .filter(|(start, end)| !all_zero(&raw[*start..*end]))
        .map(|(start, end)| format!("reserved header bytes between {start:#x} and {end:#x} are not zero"))
        .collect()
}

/// Both copies and both cells of a database without a log.
pub fn new_region(superblock: &Superblock, keys: &(impl Mac + ?Sized)) -> Vec<u8> {
    let mut region = vec![0; HEADER_LEN as usize];
    let copy = superblock.encode(keys);
    put(&mut region, 0, &copy);
    put(&mut region, COPY_B_OFFSET as usize, &copy);
    for (offset, bytes) in cells::new_cells(keys, 0) {
        put(&mut region, offset as usize, &bytes);
    }
    region
}
