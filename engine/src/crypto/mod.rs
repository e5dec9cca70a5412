//! Suites, key derivation, nonces and secret memory: everything cryptographic, and nothing of SQLite.
//!
//! Primitives come from crates (`aegis`, `aws-lc-rs`, `chacha20`, `aes`, `argon2`, `xxhash-rust`); this
//! module only composes them the way `docs/format.md` says, and proves the compositions with their
//! published vectors. Unsafe code is confined to `locked` and `nonce::pool`, which talk to the
//! operating system about memory, and `libaegis`, which calls C.

mod aegis;
mod checksum;
pub mod kdf;
mod libaegis;
mod locked;
pub mod measure;
pub mod nonce;
pub mod secret;
pub mod suite;
pub mod wrap;
mod xaes;
mod xchacha;

#[cfg(test)]
mod vectors;

pub use kdf::Argon2Cost;
pub use secret::{Secret, SecretBytes};
pub use suite::{AAD_LEN, Suite, SuiteId, Unauthentic, instantiate};
