//! What the fuzz targets share: input as a script, fixed keys, a disk in memory, and the oracle.
//!
//! Every target reads its input as a script: a few bytes decide what authentic file to make, the next ones how
//! to change it, the rest what to do with it. So inputs stay small though headers are 64 KiB long, and
//! changes get past digests, which the script can have made right again.

pub mod disk;
pub mod history;
pub mod script;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crypto::kdf::sha256;
use crypto::secret::Secret;
use crypto::suite::SuiteId;
use vault::file_keys::FileKeys;

pub use disk::Disk;
pub use history::History;
pub use script::Script;

/// UUID and key id of every file that is made here.
pub const UUID: [u8; 16] = [0x11; 16];
/// See [`UUID`].
pub const KEY_ID: [u8; 16] = [0x22; 16];

/// The suites that the script chooses from: the default, the unkeyed one, which anybody can forge, and one of
/// another library.
const SUITES: [SuiteId; 4] =
    [SuiteId::DEFAULT, SuiteId::Checksum, SuiteId::DEFAULT, SuiteId::XChaCha20Poly1305];

/// A suite of the script's choice.
pub fn suite(choice: u8) -> SuiteId {
    SUITES[usize::from(choice) % SUITES.len()]
}

/// The keys of a database under `suite`.
pub fn keys(suite: SuiteId) -> Arc<FileKeys> {
    let (key_id, data_key) = match suite.is_keyed() {
        true => (KEY_ID, Secret::from_slice(&[0x33; 32])),
        false => ([0; 16], None),
    };
    Arc::new(FileKeys::new(UUID, key_id, suite, data_key).expect("a data key exactly if the suite has one"))
}

/// Makes the digest of a log preamble right again, if one fits at `offset`.
pub fn fix_preamble(bytes: &mut [u8], offset: usize) {
    if let Some(preamble) = bytes.get_mut(offset..offset + 128) {
        let digest = sha256(&preamble[..96]);
        preamble[96..].copy_from_slice(&digest);
    }
}

/// Drives an operation on a whole file to its end.
pub fn finish<T>(operation: impl Future<Output = T>) -> T {
    let mut operation = pin!(operation);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = operation.as_mut().poll(&mut context) {
            return result;
        }
    }
}
