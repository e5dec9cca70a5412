//! Keyslots opened: by which keys, and at what cost.

use crate::format::keyslot::{Keyslot, KeyslotKind};
use crate::limits::KdfLimits;
use crate::material::Key;
use crypto::kdf::{argon2id, equal, hkdf_sha256};
use crypto::secret::Secret;
use crypto::wrap::wrap_open;
use ground::bytes::array;
use ground::error::{Fault, FaultClass, Result};

/// What the wrapping key and the commitment are expanded with.
const HKDF_INFO: &[u8] = b"lumocrypt v1 keyslot";

impl Keyslot {
    /// Whether a key of this type can open it.
    pub fn accepts(&self, key: &Key) -> bool {
        match key {
            Key::Passphrase(_) => self.kind == KeyslotKind::Passphrase,
            Key::Raw(_) => matches!(self.kind, KeyslotKind::Raw | KeyslotKind::Kms),
        }
    }

    /// The data key named `key_id`, if `key` opens this slot; `None` if it is not this slot's key. Argon2
    /// costs beyond `limits` are refused before anything is computed.
    pub fn open(
        &self,
        index: u32,
        key_id: &[u8; 16],
        key: &Key,
        limits: &KdfLimits,
    ) -> Result<Option<Secret<32>>> {
        if !self.accepts(key) {
            return Ok(None);
        }
        if matches!(key, Key::Passphrase(_)) {
            limits.check(self.cost.iter())?;
        }
        let (wrap, commitment) = self.expand(key)?;
        if !equal(&commitment, &self.commitment) {
            return Ok(None);
        }
        // The commitment proves the key, so a wrapping that does not open has been changed since.
        wrap_open(&wrap, &self.nonce, &self.aad(index, key_id), &self.wrapped).map(Some).map_err(|_| {
            Fault::new(
                FaultClass::HeaderDamaged,
                format!(
                    "keyslot {index} belongs to this key but was changed; restore the header from a backup"
                ),
            )
        })
    }

    /// The wrapping key and the commitment.
    pub(crate) fn expand(&self, key: &Key) -> Result<(Secret<32>, [u8; 32])> {
        let stretched;
        let ikm = match (key, &self.cost) {
            (Key::Passphrase(passphrase), Some(cost)) => {
                stretched = argon2id(passphrase.expose(), &self.salt, *cost)?;
                &stretched
            }
            (Key::Raw(raw), None) => raw,
            _ => return Err(Fault::new(FaultClass::Internal, "the keyslot is not of the key's type")),
        };
        let mut okm = Secret::<64>::zeroed();
        hkdf_sha256(ikm.expose(), &self.salt, &[HKDF_INFO], okm.expose_mut());
        let mut wrap = Secret::zeroed();
        wrap.expose_mut().copy_from_slice(&okm.expose()[..32]);
        Ok((wrap, array(okm.expose(), 32)))
    }
}
