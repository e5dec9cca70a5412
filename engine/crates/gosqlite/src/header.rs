//! Whether the first block of a main file is what key and block size make it, and what else it could be.

use super::{SharedCipher, main_blocks, page_size};
use crypto::LengthPreserving;
use ground::error::{Fault, FaultClass, FileKind};
use sqlite::facts::MAGIC;
use vault::format::superblock::{self, BLOCK_SIZES};

/// The page size in the file's header, if `encrypted`, its beginning, is the beginning of a database in blocks of
/// `block_size` bytes under `cipher`.
fn decrypted_page_size(cipher: &SharedCipher, encrypted: &[u8], block_size: usize) -> Option<usize> {
    let mut block = encrypted.get(..block_size)?.to_vec();
    cipher.decrypt(FileKind::MainDb as u8, 0, &mut block);
    page_size(&block)
}

/// How many bytes of a main file [`judge`] needs to see: under XTS two blocks, so that the second can tell its size.
pub fn sample_len(kind: LengthPreserving) -> usize {
    let largest = *BLOCK_SIZES.end() as usize;
    match kind {
        LengthPreserving::Adiantum => largest,
        LengthPreserving::Aes256Xts => 2 * largest,
    }
}

/// Judges the beginning of a main file, [`sample_len`] bytes of it: the page size that its header names, or what is wrong.
///
/// Under Adiantum only the right block size decrypts the header. Under XTS what lies behind it has to show the size
/// ([`main_blocks`]); where nothing does, it is that of the pages.
pub fn judge(
    cipher: &SharedCipher,
    kind: LengthPreserving,
    encrypted: &[u8],
    block_size: usize,
) -> Result<usize, Fault> {
    let named = |size: usize| decrypted_page_size(cipher, encrypted, size);
    let others = || main_blocks::sizes().filter(|size| *size != block_size);
    let found = named(block_size);
    let size = match kind {
        LengthPreserving::Adiantum => {
            found.map(|_| block_size).or_else(|| others().find(|size| named(*size).is_some()))
        }
        LengthPreserving::Aes256Xts => found.or_else(|| others().find_map(named)).map(|page_size| {
            // XTS tells the page size in any case.
            main_blocks::find(cipher, encrypted, block_size).unwrap_or(page_size)
        }),
    };
    if let Some(page_size) = found.filter(|_| size == Some(block_size)) {
        return Ok(page_size);
    }
    if encrypted.starts_with(MAGIC) {
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
    Err(match size {
        Some(size) => wrong_size(size, named(size), block_size),
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

/// The file's blocks have `size` bytes, its pages `page_size`, and `given` was given.
fn wrong_size(size: usize, page_size: Option<usize>, given: usize) -> Fault {
    let pages = match page_size {
        Some(pages) if pages != size => {
            format!(", which is not the {pages} bytes of SQLite's pages in it")
        }
        _ => String::new(),
    };
    Fault::new(
        FaultClass::UnsupportedFormat,
        format!(
            "page_size is {size} in the file{pages}, and {given} was given; make the VFS with page_size={size}"
        ),
    )
}
