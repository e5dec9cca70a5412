//! Keys and passphrases in memory: locked, left out of core dumps, wiped when dropped.

use std::fmt;

use super::locked::Locked;
use super::nonce;
use ground::error::Result;

/// A secret of `N` bytes. Not `Clone`: copies are made on purpose, with [`Secret::duplicate`].
pub struct Secret<const N: usize>(Locked);

impl<const N: usize> Secret<N> {
    /// All zero, to be filled through [`Secret::expose_mut`].
    pub fn zeroed() -> Self {
        Secret(Locked::zeroed(N))
    }

    /// A copy of `bytes`; `None` unless there are exactly `N`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != N {
            return None;
        }
        let mut secret = Self::zeroed();
        secret.expose_mut().copy_from_slice(bytes);
        Some(secret)
    }

    /// Fresh from the system's random number generator.
    pub fn random() -> Result<Self> {
        let mut secret = Self::zeroed();
        nonce::random(secret.expose_mut())?;
        Ok(secret)
    }

    /// The bytes. What is copied out of here is no longer looked after.
    pub fn expose(&self) -> &[u8; N] {
        self.0.bytes().first_chunk().expect("allocated with N bytes")
    }

    /// The bytes, for writing.
    pub fn expose_mut(&mut self) -> &mut [u8; N] {
        self.0.bytes_mut().first_chunk_mut().expect("allocated with N bytes")
    }

    /// A second copy under the same care.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let mut copy = Self::zeroed();
        copy.expose_mut().copy_from_slice(self.expose());
        copy
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A secret whose length is known only at run time: a passphrase.
pub struct SecretBytes(Locked);

impl SecretBytes {
    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        let mut locked = Locked::zeroed(bytes.len());
        locked.bytes_mut().copy_from_slice(bytes);
        SecretBytes(locked)
    }

    /// The bytes. What is copied out of here is no longer looked after.
    pub fn expose(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_checked() {
        assert!(Secret::<32>::from_slice(&[1; 31]).is_none());
        assert!(Secret::<32>::from_slice(&[1; 33]).is_none());
        assert_eq!(Secret::<32>::from_slice(&[1; 32]).unwrap().expose(), &[1; 32]);
    }

    #[test]
    fn debug_shows_nothing() {
        let key = Secret::<4>::from_slice(b"\x2a\x2a\x2a\x2a").unwrap();
        assert_eq!(format!("{key:?}"), "Secret(..)");
        assert_eq!(format!("{:?}", SecretBytes::new(b"hunter2")), "SecretBytes(..)");
    }

    #[test]
    fn duplicates_are_independent() {
        let first = Secret::<32>::random().unwrap();
        let mut second = first.duplicate();
        assert_eq!(first.expose(), second.expose());
        second.expose_mut()[0] ^= 1;
        assert_ne!(first.expose(), second.expose());
    }

    #[test]
    fn passphrases_of_any_length() {
        for len in [0, 1, 64, 65, 5000] {
            let text = vec![b'x'; len];
            assert_eq!(SecretBytes::new(&text).expose(), text);
        }
    }

    #[test]
    fn secrets_cross_threads() {
        fn assert_send_sync<T: Send + Sync>() {}
        assert_send_sync::<Secret<32>>();
        assert_send_sync::<SecretBytes>();
    }
}
