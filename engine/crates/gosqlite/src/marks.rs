//! What logs are known by, and how something is looked at that may change meanwhile.

use std::thread;
use std::time::Duration;

use ground::error::{FaultClass, FileKind, Result};
use sqlite::facts::{JOURNAL_MAGIC, WAL_MAGICS};

/// How often something is looked at that another process may be writing just then, and the pause in between.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(1);

/// Does a log of `kind` begin like this?
pub fn is_log(kind: FileKind, bytes: &[u8]) -> bool {
    match kind {
        FileKind::Wal => WAL_MAGICS.iter().any(|magic| bytes.starts_with(magic)),
        _ => bytes.starts_with(&JOURNAL_MAGIC),
    }
}

/// Looks at something until it is well, for as long as another process may be in the middle of writing it.
pub fn settled<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let mut looks = 1;
    loop {
        match look() {
            Err(fault)
                if looks < LOOKS && matches!(fault.class, FaultClass::WrongKey | FaultClass::Tampered) =>
            {
                looks += 1;
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

/// Four bytes of a log, in the order of its checksums.
pub fn word(bytes: &[u8], big_endian: bool) -> u32 {
    let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}
