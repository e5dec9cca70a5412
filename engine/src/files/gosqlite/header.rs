//! Whether the first block of a main file is what key and block size make it, and what else it could be.

use super::{BLOCK_SIZES, SharedCipher};
use crate::crypto::LengthPreserving;
use crate::error::{Fault, FaultClass, FileKind};
use crate::format::header::SQLITE_MAGIC;
use crate::format::superblock;

/// Offset of the page size in SQLite's header (fileformat2, section 1.3.2): big-endian, 1 for 65536.
const PAGE_SIZE_AT: usize = 16;
/// Bytes of it that are looked at.
const LOOKED_AT: usize = PAGE_SIZE_AT + 2;

/// The page size in bytes that a database's first bytes name; `None` if they are not those of a database.
pub fn page_size(plain: &[u8]) -> Option<usize> {
    if plain.len() < LOOKED_AT || !plain.starts_with(SQLITE_MAGIC) {
        return None;
    }
    let size = match u16::from_be_bytes([plain[PAGE_SIZE_AT], plain[PAGE_SIZE_AT + 1]]) {
        1 => 65536,
        size => usize::from(size),
    };
    super::is_block_size(size).then_some(size)
}

/// The page size in the file's header, if `encrypted`, its beginning, is the beginning of a database in blocks of
/// `block_size` bytes under `cipher`.
fn decrypted_page_size(cipher: &SharedCipher, encrypted: &[u8], block_size: usize) -> Option<usize> {
    let mut block = encrypted.get(..block_size)?.to_vec();
    cipher.decrypt(FileKind::MainDb as u8, 0, &mut block);
    page_size(&block)
}

/// Judges the beginning of a main file, up to 65536 bytes of it: the page size that its header names, or what is wrong.
///
/// Under Adiantum only the right block size decrypts the header. XTS decrypts its first 16 bytes whatever the size, so
/// there the page size must be the block size.
pub fn judge(
    cipher: &SharedCipher,
    kind: LengthPreserving,
    encrypted: &[u8],
    block_size: usize,
) -> Result<usize, Fault> {
    let found = decrypted_page_size(cipher, encrypted, block_size);
    match found {
        Some(size) if kind == LengthPreserving::Adiantum || size == block_size => return Ok(size),
        _ => {}
    }
    if encrypted.starts_with(SQLITE_MAGIC) {
        return Err(Fault::new(
            FaultClass::NotEncrypted,
            "the file is a plaintext database; open it without this VFS, or encrypt it first with \
             lumocrypt.encrypt or `lumocrypt encrypt`",
        ));
    }
    if encrypted.starts_with(&superblock::MAGIC) {
        return Err(Fault::new(
            FaultClass::UnsupportedFormat,
            "the file is in lumocrypt's own format; open it with lumocrypt.connect",
        ));
    }
    let sizes = std::iter::successors(Some(*BLOCK_SIZES.start()), |size| Some(size * 2))
        .take_while(|size| BLOCK_SIZES.contains(size));
    let fitting = found.or_else(|| {
        sizes.filter(|size| *size != block_size).find_map(|size| {
            let named = decrypted_page_size(cipher, encrypted, size)?;
            Some(if kind == LengthPreserving::Adiantum { size } else { named })
        })
    });
    Err(match fitting {
        Some(size) => Fault::new(
            FaultClass::UnsupportedFormat,
            format!(
                "page_size is {size} in the file, and {block_size} was given; make the VFS with page_size={size}"
            ),
        ),
        None => Fault::new(
            FaultClass::WrongKey,
            format!(
                "the key does not open the file as {}: the key is wrong, the file was written with another cipher, it \
                 is not of this format, or its first page is damaged",
                kind.name()
            ),
        ),
    })
}
