//! A keyslot that has neither a place nor a data key yet: what is slow about making one is done already.
//!
//! Argon2id takes seconds if it is asked to. A slot is put into a header under SQLite's write lock, for which others
//! wait, so the derivation comes before that.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::format::keyslot::{Keyslot, KeyslotKind, PROVIDER_MAX, check_label};
use crate::limits::check_floor;
use crate::material::Key;
use crypto::kdf::Argon2Cost;
use crypto::nonce;
use crypto::secret::Secret;
use crypto::wrap::wrap_seal;
use ground::error::{Fault, FaultClass, Result};

/// A keyslot to be.
#[derive(Debug)]
pub struct Draft {
    /// Everything but the wrapping.
    slot: Keyslot,
    wrap: Secret<32>,
}

/// What no two slots have in common.
pub(super) struct Fresh {
    pub(super) created: u64,
    pub(super) salt: [u8; 32],
}

impl Fresh {
    fn draw() -> Result<Fresh> {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let mut fresh = Fresh { created, salt: [0; 32] };
        nonce::random(&mut fresh.salt)?;
        Ok(fresh)
    }
}

impl Draft {
    /// A slot that `key` is to open. `cost` counts for passphrases only and is held to the floor.
    pub fn new(key: &Key, cost: Argon2Cost, label: &str) -> Result<Draft> {
        if matches!(key, Key::Passphrase(_)) {
            check_floor(&cost)?;
        }
        Draft::at_any_cost(key, cost, label)
    }

    /// [`Draft::new`] without the floor, for tests that cannot afford it.
    pub(crate) fn at_any_cost(key: &Key, cost: Argon2Cost, label: &str) -> Result<Draft> {
        Draft::derive(key, cost, label, Fresh::draw()?)
    }

    /// A slot of a key-management service: `key` is the raw key that the service gives to whoever shows it `provider`.
    pub fn for_service(key: &Key, provider: &[u8], label: &str) -> Result<Draft> {
        check_label(label)?;
        if !matches!(key, Key::Raw(_)) || provider.is_empty() || provider.len() > PROVIDER_MAX {
            return Err(Fault::new(
                FaultClass::InvalidArgument,
                format!(
                    "a keyslot of a key-management service has a raw key and from 1 to {PROVIDER_MAX} bytes of provider data"
                ),
            ));
        }
        let fresh = Fresh::draw()?;
        Draft::of(
            key,
            Keyslot {
                kind: KeyslotKind::Kms,
                created: fresh.created,
                salt: fresh.salt,
                label: label.to_owned(),
                provider: provider.to_vec(),
                ..Keyslot::empty()
            },
        )
    }

    pub(super) fn derive(key: &Key, cost: Argon2Cost, label: &str, fresh: Fresh) -> Result<Draft> {
        check_label(label)?;
        let key = &*key.written();
        let (kind, cost) = match key {
            Key::Passphrase(_) => (KeyslotKind::Passphrase, Some(cost)),
            Key::Raw(_) => (KeyslotKind::Raw, None),
        };
        Draft::of(
            key,
            Keyslot {
                kind,
                cost,
                created: fresh.created,
                salt: fresh.salt,
                label: label.to_owned(),
                ..Keyslot::empty()
            },
        )
    }

    fn of(key: &Key, mut slot: Keyslot) -> Result<Draft> {
        let (wrap, commitment) = slot.expand(key)?;
        slot.commitment = commitment;
        Ok(Draft { slot, wrap })
    }

    /// What a passphrase costs; `None` for another key.
    pub fn cost(&self) -> Option<&Argon2Cost> {
        self.slot.cost.as_ref()
    }

    /// The slot at `index`, with `data_key`, whose name is `key_id`.
    pub fn seal(&self, index: u32, data_key: &Secret<32>, key_id: &[u8; 16]) -> Result<Keyslot> {
        let mut nonce = [0; 24];
        nonce::random(&mut nonce)?;
        Ok(self.seal_with(index, data_key, key_id, nonce))
    }

    pub(super) fn seal_with(
        &self,
        index: u32,
        data_key: &Secret<32>,
        key_id: &[u8; 16],
        nonce: [u8; 24],
    ) -> Keyslot {
        let mut slot = Keyslot { nonce, ..self.slot.clone() };
        slot.wrapped = wrap_seal(&self.wrap, &slot.nonce, &slot.aad(index, key_id), data_key.expose());
        slot
    }
}

impl Keyslot {
    /// Wraps `data_key`, whose name is `key_id`, under `key` for slot `index`. `cost` counts for passphrases
    /// only and is held to the floor.
    pub fn seal(
        index: u32,
        key: &Key,
        data_key: &Secret<32>,
        key_id: &[u8; 16],
        cost: Argon2Cost,
        label: &str,
    ) -> Result<Keyslot> {
        Draft::new(key, cost, label)?.seal(index, data_key, key_id)
    }

    /// [`Keyslot::seal`] without the floor, for tests that cannot afford it.
    #[cfg(test)]
    pub(crate) fn seal_at_any_cost(
        index: u32,
        key: &Key,
        data_key: &Secret<32>,
        key_id: &[u8; 16],
        cost: Argon2Cost,
        label: &str,
    ) -> Result<Keyslot> {
        Draft::at_any_cost(key, cost, label)?.seal(index, data_key, key_id)
    }
}

#[cfg(test)]
mod tests;
