//! Suites, key derivation, nonces and secret memory: everything cryptographic, and nothing of SQLite.
//!
//! Primitives come from crates (`aegis`, `aws-lc-rs`, `chacha20`, `aes`, `argon2`, `xxhash-rust`);
//! this module only composes them the way `docs/reference/format.md` says, and proves the compositions with their
//! published vectors. Unsafe code is confined to `locked` and `nonce::pool`, which talk to the
//! operating system about memory, `libaegis` and `poly1305`, which call C, and `nh`, which uses AVX2.

pub mod kdf;
mod locked;
pub mod measure;
pub mod nonce;
mod primitives;
pub mod secret;
pub mod suite;
pub mod suites;
pub mod wrap;

#[cfg(test)]
mod vectors;

pub use kdf::Argon2Cost;
pub use primitives::length_preserving::{
    LengthPreserving, LengthPreservingCipher, instantiate_length_preserving,
};
pub use secret::{Secret, SecretBytes};
pub use suite::{AAD_LEN, Suite, SuiteId, Unauthentic};
pub use suites::{instantiate, instantiate_random};
