//! The suites themselves, and how one is made from its number and a key.

pub(crate) mod aegis;
mod checksum;
mod untagged;
pub(crate) mod xaes;
pub(crate) mod xchacha;

use std::sync::Arc;

use ground::error::{Fault, FaultClass, Result};

use crate::primitives::length_preserving::LengthPreserving;
use crate::secret::Secret;
use crate::suite::{Suite, SuiteId};
use aegis::Aegis;
use checksum::Checksum;
use untagged::Untagged;
use xaes::XAes256Gcm;
use xchacha::XChaCha20Poly1305;

/// The suite `id` under `key`, of which it needs [`SuiteId::key_len`] bytes, and which the `checksum` suite ignores.
pub fn instantiate<const N: usize>(id: SuiteId, key: &Secret<N>) -> Result<Arc<dyn Suite>> {
    let short = || {
        Secret::<32>::from_slice(key.expose())
            .ok_or_else(|| Fault::new(FaultClass::Internal, "a suite was given a key of the wrong length"))
    };
    Ok(match id {
        SuiteId::Aegis256 => Arc::new(Aegis::single(&short()?)),
        SuiteId::Aegis256x2 => Arc::new(Aegis::double(&short()?)),
        SuiteId::XChaCha20Poly1305 => Arc::new(XChaCha20Poly1305::new(&short()?)),
        SuiteId::Aes256Gcm => Arc::new(XAes256Gcm::new(&short()?)),
        SuiteId::Adiantum => Arc::new(Untagged::new(LengthPreserving::Adiantum, key.expose())?),
        SuiteId::Aes256Xts => Arc::new(Untagged::new(LengthPreserving::Aes256Xts, key.expose())?),
        SuiteId::Checksum => Arc::new(Checksum),
    })
}

/// The suite `id` under a key that is drawn here and kept nowhere else.
pub fn instantiate_random(id: SuiteId) -> Result<Arc<dyn Suite>> {
    match id {
        SuiteId::Aes256Xts => instantiate(id, &Secret::<64>::random()?),
        _ => instantiate(id, &Secret::<32>::random()?),
    }
}

#[cfg(test)]
mod tests;
