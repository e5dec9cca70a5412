//! The suites: which ones there are, what they cost, and the one trait behind which they seal and open.

use crate::primitives::length_preserving::LengthPreserving;
use ground::error::{Fault, FaultClass, Result};

/// Length of the associated data of every block (`docs/reference/format.md`, section 1).
pub const AAD_LEN: usize = 64;
/// Where the associated data holds the kind of file and the block index.
const AAD_KIND: std::ops::Range<usize> = 32..36;
const AAD_INDEX: std::ops::Range<usize> = 40..48;
/// Stored nonce bytes of a sealed block.
pub(crate) const NONCE_LEN: usize = 24;
/// Tag bytes of a sealed block; also the length of the checksum.
pub(crate) const TAG_LEN: usize = 16;

/// The suites of format version 1. The numbers are those of the superblock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum SuiteId {
    /// AEGIS-256 (draft-irtf-cfrg-aegis-aead).
    Aegis256 = 1,
    /// AEGIS-256X2, the same over two lanes (draft-irtf-cfrg-aegis-aead).
    Aegis256x2 = 2,
    /// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), for machines without AES instructions.
    XChaCha20Poly1305 = 3,
    /// XAES-256-GCM (C2SP), for those who need AES-GCM.
    Aes256Gcm = 4,
    /// Length-preserving Adiantum, for the main file alone: authenticates nothing.
    Adiantum = 5,
    /// Length-preserving AES-256-XTS, likewise.
    Aes256Xts = 6,
    /// No key: finds damage and misplaced blocks, not tampering.
    Checksum = 7,
}

impl SuiteId {
    /// The suite of new databases unless another is asked for.
    pub const DEFAULT: SuiteId = SuiteId::Aegis256x2;

    /// Every suite that has a number.
    pub const ALL: [SuiteId; 7] = [
        SuiteId::Aegis256,
        SuiteId::Aegis256x2,
        SuiteId::XChaCha20Poly1305,
        SuiteId::Aes256Gcm,
        SuiteId::Adiantum,
        SuiteId::Aes256Xts,
        SuiteId::Checksum,
    ];

    /// The suite with this number.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| *suite as u32 == id)
    }

    /// The suite with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            SuiteId::Aegis256 => "aegis-256",
            SuiteId::Aegis256x2 => "aegis-256x2",
            SuiteId::XChaCha20Poly1305 => "xchacha20-poly1305",
            SuiteId::Aes256Gcm => "aes-256-gcm",
            SuiteId::Adiantum => "adiantum",
            SuiteId::Aes256Xts => "aes-256-xts",
            SuiteId::Checksum => "checksum",
        }
    }

    /// How many bytes longer a sealed block is than its plaintext.
    pub fn overhead(self) -> usize {
        match self {
            SuiteId::Aegis256 | SuiteId::Aegis256x2 | SuiteId::XChaCha20Poly1305 | SuiteId::Aes256Gcm => {
                NONCE_LEN + TAG_LEN
            }
            SuiteId::Adiantum | SuiteId::Aes256Xts => 0,
            SuiteId::Checksum => TAG_LEN,
        }
    }

    /// Whether it has a key at all.
    pub fn is_keyed(self) -> bool {
        self != SuiteId::Checksum
    }

    /// Whether a sealed block carries something to tell damage by.
    pub fn has_tags(self) -> bool {
        self.overhead() > 0
    }

    /// The suite of the logs of a database of this suite. A recovery has to tell what is torn from what is not, so
    /// where blocks have no tags logs are of another suite.
    pub fn for_logs(self) -> SuiteId {
        if self.has_tags() { self } else { SuiteId::DEFAULT }
    }

    /// Bytes of the key of its blocks.
    pub fn key_len(self) -> usize {
        match self {
            SuiteId::Aes256Xts => LengthPreserving::Aes256Xts.key_len(),
            _ => 32,
        }
    }
}

/// A block did not open: it was changed, belongs elsewhere, or was sealed under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unauthentic;

/// A suite with its key, ready to seal and open blocks.
pub trait Suite: Send + Sync {
    /// How many bytes longer a sealed block is than its plaintext.
    fn overhead(&self) -> usize;

    /// Seals `plaintext` into `out`, which is `overhead` bytes longer, under a fresh nonce. Fails only for
    /// want of randomness or because of wrong lengths; `out` then holds nothing of use.
    fn seal(&self, aad: &[u8; AAD_LEN], plaintext: &[u8], out: &mut [u8]) -> Result<()>;

    /// Opens `sealed` into `out`, which is `overhead` bytes shorter. On failure `out` is zero.
    ///
    /// `sealed` may be a shared map of a file that somebody changes meanwhile: what is authenticated is
    /// what is decrypted, because every byte of it is read exactly once.
    fn open(
        &self,
        aad: &[u8; AAD_LEN],
        sealed: &[u8],
        out: &mut [u8],
    ) -> std::result::Result<(), Unauthentic>;

    /// Seals two parts of a plaintext as one, without a copy where the cipher can. `scratch` is as long as both.
    fn seal_parts(
        &self,
        aad: &[u8; AAD_LEN],
        [head, body]: [&[u8]; 2],
        out: &mut [u8],
        scratch: &mut [u8],
    ) -> Result<()> {
        let whole = scratch.get_mut(..head.len() + body.len()).ok_or_else(wrong_lengths)?;
        whole[..head.len()].copy_from_slice(head);
        whole[head.len()..].copy_from_slice(body);
        self.seal(aad, whole, out)
    }

    /// Opens what [`seal_parts`](Self::seal_parts) or [`seal`](Self::seal) made into two parts.
    fn open_parts(
        &self,
        aad: &[u8; AAD_LEN],
        sealed: &[u8],
        [head, body]: [&mut [u8]; 2],
        scratch: &mut [u8],
    ) -> std::result::Result<(), Unauthentic> {
        let whole = scratch.get_mut(..head.len() + body.len()).ok_or(Unauthentic)?;
        let opened = self.open(aad, sealed, whole);
        head.copy_from_slice(&whole[..head.len()]);
        body.copy_from_slice(&whole[head.len()..]);
        opened
    }
}

/// The kind of file inside the associated data.
pub(crate) fn kind_bytes(aad: &[u8; AAD_LEN]) -> &[u8; 4] {
    aad[AAD_KIND].first_chunk().expect("four bytes")
}

/// The block index inside the associated data, as the bytes that complete a 32-byte nonce.
pub(crate) fn index_bytes(aad: &[u8; AAD_LEN]) -> &[u8; 8] {
    aad[AAD_INDEX].first_chunk().expect("eight bytes")
}

/// `ciphertext ‖ nonce ‖ tag`, as places to write to. `None` if the lengths do not fit.
pub(crate) fn split_mut(
    plaintext_len: usize,
    out: &mut [u8],
) -> Option<(&mut [u8], &mut [u8; NONCE_LEN], &mut [u8; TAG_LEN])> {
    let (ciphertext, rest) = out.split_at_mut_checked(plaintext_len)?;
    let (nonce, rest) = rest.split_first_chunk_mut::<NONCE_LEN>()?;
    Some((ciphertext, nonce, rest.try_into().ok()?))
}

/// `ciphertext ‖ nonce ‖ tag`, with nonce and tag copied out: the memory may change under us.
/// `None` if the lengths do not fit.
pub(crate) fn split(plaintext_len: usize, sealed: &[u8]) -> Option<(&[u8], [u8; NONCE_LEN], [u8; TAG_LEN])> {
    let (ciphertext, rest) = sealed.split_at_checked(plaintext_len)?;
    let (nonce, tag) = rest.split_first_chunk::<NONCE_LEN>()?;
    Some((ciphertext, *nonce, *tag.first_chunk().filter(|_| tag.len() == TAG_LEN)?))
}

/// The fault for a caller that sized its buffers wrongly.
pub(crate) fn wrong_lengths() -> Fault {
    Fault::new(FaultClass::Internal, "a block was to be sealed into a buffer of the wrong size")
}
