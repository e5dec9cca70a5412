//! Suites, key derivation, nonces and secret memory: everything cryptographic, and nothing of SQLite.
//!
//! Primitives come from crates (`aegis`, `aws-lc-rs`, `chacha20`, `aes`, `argon2`, `xxhash-rust`);
//! this module only composes them the way `docs/reference/format.md` says, and proves the compositions with their
//! published vectors. Unsafe code is confined to `locked` and `nonce::pool`, which talk to the
//! operating system about memory, `libaegis` and `poly1305`, which call C, and `nh`, which uses AVX2.

mod adiantum;
mod aegis;
mod checksum;
pub mod kdf;
pub mod length_preserving;
mod libaegis;
mod locked;
pub mod measure;
mod nh;
pub mod nonce;
mod poly1305;
pub mod secret;
pub mod suite;
mod untagged;
pub mod wrap;
mod xaes;
mod xchacha;
mod xts;

#[cfg(test)]
mod vectors;

pub use kdf::Argon2Cost;
pub use length_preserving::{LengthPreserving, LengthPreservingCipher, instantiate_length_preserving};
pub use secret::{Secret, SecretBytes};
pub use suite::{AAD_LEN, Suite, SuiteId, Unauthentic, instantiate, instantiate_random};
