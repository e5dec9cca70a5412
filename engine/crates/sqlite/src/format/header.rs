//! A database's header, or what the file is that has none.

use std::borrow::Cow;

use crate::facts::MAGIC;
use ground::error::{Fault, FaultClass, Result};
pub use vault::header::*;

const UNKNOWN: &str =
    "this file was neither encrypted by lumocrypt nor is it a SQLite database; check the path";
const NOISE: &str = "this file was neither encrypted by lumocrypt nor is it a SQLite database; it looks like noise, as \
                     databases in the gosqlite format do: if it is one, open it with lumocrypt.crypto_vfs, or bring it \
                     into another format with `lumocrypt decrypt --format gosqlite` or `lumocrypt convert --from gosqlite`";
/// The smallest block of the gosqlite format, and how many different bytes one of noise has at least: it has 221 on
/// average, with a standard deviation of 5.
const SMALLEST_BLOCK: usize = 512;
const DIFFERENT_BYTES: usize = 180;

/// Does a file that begins with `region` look as one in the gosqlite format does, which has no header? `region` is
/// shorter than [`HEADER_LEN`] only if the file is.
pub fn is_noise(region: &[u8]) -> bool {
    let Some(block) = region.get(..SMALLEST_BLOCK) else { return false };
    let mut seen = [false; 256];
    for &byte in block {
        seen[usize::from(byte)] = true;
    }
    let different = seen.iter().filter(|seen| **seen).count();
    region.len().is_multiple_of(SMALLEST_BLOCK) && different >= DIFFERENT_BYTES
}

/// As [`vault::header::parse`], and says of another program's file what can be told of it.
pub fn parse<'a>(region: impl Into<Cow<'a, [u8]>>) -> Result<Header> {
    let region = region.into();
    if region.starts_with(MAGIC) {
        return Err(Fault::new(
            FaultClass::NotEncrypted,
            "this is a plaintext SQLite database; encrypt it first with `lumocrypt encrypt`",
        ));
    }
    let what = if is_noise(&region) { NOISE } else { UNKNOWN };
    vault::header::parse(region).map_err(|fault| match fault.class {
        FaultClass::NotEncrypted => Fault { message: what.to_owned(), ..fault },
        _ => fault,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_told_apart() {
        let refused = |region: &[u8]| {
            let fault = parse(region).expect_err("no header");
            assert_eq!(fault.class, FaultClass::NotEncrypted);
            fault.message
        };
        assert!(refused(b"SQLite format 3\0\x10\0").contains("`lumocrypt encrypt`"));
        assert!(refused(&[0x55; 70_000]).contains("check the path"));
        let noise: Vec<u8> = (0..65536u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert!(refused(&noise).contains("--from gosqlite"));
    }
}
