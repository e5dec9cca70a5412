//! Keyslots: the data key, wrapped under one passphrase or raw key (`docs/reference/format.md`, section 2.2).

use crypto::kdf::Argon2Cost;
use ground::bytes::{all_zero, array, put, u32_at, u64_at};
use ground::error::{Fault, FaultClass, Result};

/// Bytes of one keyslot.
pub const KEYSLOT_LEN: usize = 1024;
/// The longest label, in bytes of UTF-8.
pub const LABEL_MAX: usize = 64;
/// The longest provider data.
pub const PROVIDER_MAX: usize = 784;

const KDF_NONE: u32 = 0;
const KDF_ARGON2ID: u32 = 1;

// Offsets within the slot.
const CREATED: usize = 8;
const KDF: usize = 16;
const SALT: usize = 32;
const COMMITMENT: usize = 64;
/// The part that the wrapping authenticates ends where the wrapping begins.
const NONCE: usize = 96;
const WRAPPED: usize = 120;
const LABEL_LEN: usize = 168;
const LABEL: usize = 172;
const PROVIDER_LEN: usize = 236;
const PROVIDER: usize = 240;

/// What opens a keyslot. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum KeyslotKind {
    /// Nothing: the slot is free.
    Empty = 0,
    /// A passphrase, through Argon2id.
    Passphrase = 1,
    /// A raw 256-bit key.
    Raw = 2,
    /// A key-management service.
    Kms = 3,
}

impl KeyslotKind {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            KeyslotKind::Empty => "empty",
            KeyslotKind::Passphrase => "passphrase",
            KeyslotKind::Raw => "raw",
            KeyslotKind::Kms => "kms",
        }
    }
}

/// One keyslot. Nothing in it is secret: the data key is wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyslot {
    /// What opens it.
    pub kind: KeyslotKind,
    /// When it was made, in seconds since 1970-01-01 UTC.
    pub created: u64,
    /// The cost of Argon2id; passphrase slots only.
    pub cost: Option<Argon2Cost>,
    /// Salt of the KDF and of the expansion.
    pub salt: [u8; 32],
    /// Tells the right key before anything is unwrapped.
    pub commitment: [u8; 32],
    /// Nonce of the wrapping.
    pub nonce: [u8; 24],
    /// The wrapped data key.
    pub wrapped: [u8; 48],
    /// A name for people.
    pub label: String,
    /// What a key-management service needs to unwrap.
    pub provider: Vec<u8>,
}

impl Keyslot {
    /// A free slot.
    pub fn empty() -> Keyslot {
        Keyslot {
            kind: KeyslotKind::Empty,
            created: 0,
            cost: None,
            salt: [0; 32],
            commitment: [0; 32],
            nonce: [0; 24],
            wrapped: [0; 48],
            label: String::new(),
            provider: Vec::new(),
        }
    }

    /// Whether the slot is free.
    pub fn is_empty(&self) -> bool {
        self.kind == KeyslotKind::Empty
    }

    /// What the wrapping is bound to: the data key's name, everything in the slot before the wrapping, and what a
    /// key-management service is shown.
    /// Not the UUID: a copy of a database (`VACUUM INTO`) keeps its data key and takes its slots along,
    /// though nobody is there to type the passphrases. The superblock's MAC binds the slots to the UUID.
    /// Nor the label, which may be changed without the key.
    pub(crate) fn aad(&self, index: u32, key_id: &[u8; 16]) -> Vec<u8> {
        let slot = self.encode();
        let mut aad = Vec::with_capacity(20 + KEYSLOT_LEN);
        aad.extend_from_slice(key_id);
        aad.extend_from_slice(&index.to_le_bytes());
        aad.extend_from_slice(&slot[..NONCE]);
        if self.kind == KeyslotKind::Kms {
            aad.extend_from_slice(&slot[PROVIDER_LEN..]);
        }
        aad
    }

    /// The slot as it is stored.
    pub fn encode(&self) -> [u8; KEYSLOT_LEN] {
        let mut out = [0; KEYSLOT_LEN];
        if self.is_empty() {
            return out;
        }
        put(&mut out, 0, &(self.kind as u32).to_le_bytes());
        put(&mut out, CREATED, &self.created.to_le_bytes());
        if let Some(cost) = &self.cost {
            for (i, field) in [KDF_ARGON2ID, cost.t, cost.m_kib, cost.p].into_iter().enumerate() {
                put(&mut out, KDF + 4 * i, &field.to_le_bytes());
            }
        }
        put(&mut out, SALT, &self.salt);
        put(&mut out, COMMITMENT, &self.commitment);
        put(&mut out, NONCE, &self.nonce);
        put(&mut out, WRAPPED, &self.wrapped);
        put(&mut out, LABEL_LEN, &(self.label.len() as u32).to_le_bytes());
        put(&mut out, LABEL, self.label.as_bytes());
        put(&mut out, PROVIDER_LEN, &(self.provider.len() as u32).to_le_bytes());
        put(&mut out, PROVIDER, &self.provider);
        out
    }

    /// Reads a slot of an intact superblock copy. What this version does not know is an error with its
    /// reason, never skipped: writing the superblock again would lose it.
    pub fn decode(bytes: &[u8; KEYSLOT_LEN]) -> std::result::Result<Keyslot, &'static str> {
        let kind = match u32_at(bytes, 0) {
            0 if all_zero(bytes) => return Ok(Keyslot::empty()),
            0 => return Err("a free keyslot is not zero"),
            1 => KeyslotKind::Passphrase,
            2 => KeyslotKind::Raw,
            3 => KeyslotKind::Kms,
            _ => return Err("a keyslot of an unknown type"),
        };
        let cost = Argon2Cost { t: u32_at(bytes, 20), m_kib: u32_at(bytes, 24), p: u32_at(bytes, 28) };
        let cost = match (kind, u32_at(bytes, KDF)) {
            (KeyslotKind::Passphrase, KDF_ARGON2ID) => Some(cost),
            (KeyslotKind::Raw | KeyslotKind::Kms, KDF_NONE) if all_zero(&bytes[20..SALT]) => None,
            _ => return Err("a keyslot with an unknown key derivation function"),
        };
        let (label_len, provider_len) =
            (u32_at(bytes, LABEL_LEN) as usize, u32_at(bytes, PROVIDER_LEN) as usize);
        if label_len > LABEL_MAX || provider_len > PROVIDER_MAX {
            return Err("a keyslot whose label or provider data is too long");
        }
        let (label, label_rest) = bytes[LABEL..PROVIDER_LEN].split_at(label_len);
        let (provider, provider_rest) = bytes[PROVIDER..].split_at(provider_len);
        if !all_zero(&bytes[4..CREATED]) || !all_zero(label_rest) || !all_zero(provider_rest) {
            return Err("reserved bytes of a keyslot are not zero");
        }
        Ok(Keyslot {
            kind,
            created: u64_at(bytes, CREATED),
            cost,
            salt: array(bytes, SALT),
            commitment: array(bytes, COMMITMENT),
            nonce: array(bytes, NONCE),
            wrapped: array(bytes, WRAPPED),
            label: std::str::from_utf8(label).map_err(|_| "a keyslot label that is not UTF-8")?.to_owned(),
            provider: provider.to_vec(),
        })
    }
}

/// Labels are shown on terminals, so no control characters.
pub fn check_label(label: &str) -> Result<()> {
    if label.len() > LABEL_MAX || label.chars().any(char::is_control) {
        return Err(Fault::new(
            FaultClass::InvalidArgument,
            format!("a keyslot label has at most {LABEL_MAX} bytes of UTF-8 and no control characters"),
        ));
    }
    Ok(())
}
