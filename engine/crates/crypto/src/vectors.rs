//! Published test vectors, and the bare AEADs behind the suites checked against them.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::secret::Secret;
use super::suite::Unauthentic;
use crate::suites::{aegis, xaes, xchacha};

/// A vector file: where it comes from, and its tests.
#[derive(Deserialize)]
struct Vectors<T> {
    tests: Vec<T>,
}

/// The tests of a file under `tests/vectors`.
pub(super) fn load<T: DeserializeOwned>(file: &str) -> Vec<T> {
    serde_json::from_str::<Vectors<T>>(file).expect("a well-formed vector file").tests
}

/// Bytes from hexadecimal digits.
pub(super) fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "an odd number of digits");
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

/// A vector file of this crate by name.
macro_rules! vectors {
    ($name:literal) => {
        $crate::vectors::load(include_str!(concat!("../tests/vectors/", $name, ".json")))
    };
}

/// One encryption, in hexadecimal. If not `valid`, decryption must fail.
#[derive(Deserialize)]
struct AeadTest {
    name: String,
    key: String,
    nonce: String,
    aad: String,
    msg: String,
    ct: String,
    tag: String,
    valid: bool,
    /// XAES-256-GCM only: the derived key.
    derived: Option<String>,
}

/// What the bare AEADs have in common.
trait Aead<const NONCE: usize> {
    fn encrypt(&self, nonce: &[u8; NONCE], aad: &[u8], plaintext: &[u8], out: &mut [u8]) -> [u8; 16];
    fn decrypt(
        &self,
        nonce: &[u8; NONCE],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        out: &mut [u8],
    ) -> Result<(), Unauthentic>;
}

/// In one piece and in two, which is how WAL frames are sealed.
impl Aead<32> for aegis::Aegis {
    fn encrypt(&self, nonce: &[u8; 32], aad: &[u8], plaintext: &[u8], out: &mut [u8]) -> [u8; 16] {
        let tag = self.encrypt(nonce, aad, [&[], plaintext], out);
        for split in splits(plaintext.len()) {
            let mut again = vec![0xAA; out.len()];
            let (head, body) = plaintext.split_at(split);
            assert_eq!(self.encrypt(nonce, aad, [head, body], &mut again), tag);
            assert_eq!(again, out);
        }
        tag
    }

    fn decrypt(
        &self,
        nonce: &[u8; 32],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        out: &mut [u8],
    ) -> Result<(), Unauthentic> {
        let opened = self.decrypt(nonce, aad, ciphertext, tag, [&mut [], out]);
        for split in splits(ciphertext.len()) {
            let mut again = vec![0xAA; out.len()];
            let (head, body) = again.split_at_mut(split);
            assert_eq!(self.decrypt(nonce, aad, ciphertext, tag, [head, body]), opened);
            assert_eq!(again, out);
        }
        opened
    }
}

/// Where a message of `len` bytes is cut in two.
fn splits(len: usize) -> impl Iterator<Item = usize> {
    [1, 15, 16, 24, 31, 32, 33].into_iter().filter(move |split| *split <= len)
}

impl Aead<24> for Secret<32> {
    fn encrypt(&self, nonce: &[u8; 24], aad: &[u8], plaintext: &[u8], out: &mut [u8]) -> [u8; 16] {
        xchacha::encrypt(self.expose(), nonce, aad, plaintext, out)
    }

    fn decrypt(
        &self,
        nonce: &[u8; 24],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        out: &mut [u8],
    ) -> Result<(), Unauthentic> {
        out.copy_from_slice(ciphertext);
        xchacha::decrypt_in_place(self.expose(), nonce, aad, tag, out)
    }
}

impl Aead<24> for xaes::XAes256Gcm {
    fn encrypt(&self, nonce: &[u8; 24], aad: &[u8], plaintext: &[u8], out: &mut [u8]) -> [u8; 16] {
        self.encrypt(nonce, aad, plaintext, out)
    }

    fn decrypt(
        &self,
        nonce: &[u8; 24],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        out: &mut [u8],
    ) -> Result<(), Unauthentic> {
        out.copy_from_slice(ciphertext);
        self.decrypt_in_place(nonce, aad, tag, out)
    }
}

/// Runs `tests` in both directions; `make` turns a key into the AEAD. Returns how many were run.
fn check<const NONCE: usize, A: Aead<NONCE>>(tests: Vec<AeadTest>, make: impl Fn(&Secret<32>) -> A) -> usize {
    for test in &tests {
        let aead = make(&Secret::from_slice(&hex(&test.key)).expect("a 32-byte key"));
        let nonce = hex(&test.nonce).try_into().expect("a nonce of the right length");
        let (aad, msg, ct) = (hex(&test.aad), hex(&test.msg), hex(&test.ct));
        let tag: [u8; 16] = hex(&test.tag).try_into().unwrap();
        let mut out = vec![0xAA; ct.len()];
        let opened = aead.decrypt(&nonce, &aad, &ct, &tag, &mut out);
        assert_eq!(opened.is_ok(), test.valid, "test {}", test.name);
        if test.valid {
            assert_eq!(out, msg, "test {}", test.name);
            assert_eq!(aead.encrypt(&nonce, &aad, &msg, &mut out), tag, "test {}", test.name);
            assert_eq!(out, ct, "test {}", test.name);
        } else {
            assert!(out.iter().all(|&b| b == 0), "test {} left plaintext", test.name);
        }
    }
    tests.len()
}

#[test]
fn aegis_256_of_the_cfrg_draft() {
    assert_eq!(check(vectors!("aegis-256"), aegis::Aegis::single), 9);
}

#[test]
fn aegis_256x2_of_the_cfrg_draft() {
    assert_eq!(check(vectors!("aegis-256x2"), aegis::Aegis::double), 2);
}

#[test]
fn aegis_256_of_wycheproof() {
    assert!(check(vectors!("wycheproof-aegis-256"), aegis::Aegis::single) > 40);
}

/// Test 1 of this file is the example of draft-irtf-cfrg-xchacha, appendix A.3.1.
#[test]
fn xchacha20_poly1305_of_the_draft_and_of_wycheproof() {
    assert!(check(vectors!("wycheproof-xchacha20-poly1305"), Secret::duplicate) > 70);
}

/// draft-irtf-cfrg-xchacha, section 2.2.1.
#[test]
fn hchacha20_of_the_draft() {
    let key: [u8; 32] = std::array::from_fn(|i| i as u8);
    let input: [u8; 16] = hex("000000090000004a0000000031415927").try_into().unwrap();
    let derived = chacha20::hchacha::<chacha20::R20>(&key.into(), &input.into());
    assert_eq!(derived[..], hex("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"));
}

#[test]
fn xaes_256_gcm_of_c2sp() {
    assert_eq!(check(vectors!("xaes-256-gcm"), xaes::XAes256Gcm::new), 2);
    for test in load::<AeadTest>(include_str!("../tests/vectors/xaes-256-gcm.json")) {
        let suite = xaes::XAes256Gcm::new(&Secret::from_slice(&hex(&test.key)).unwrap());
        let prefix = hex(&test.nonce)[..12].try_into().unwrap();
        assert_eq!(suite.derive(&prefix)[..], hex(&test.derived.unwrap()), "{}", test.name);
    }
}

/// The AES-256-GCM below XAES-256-GCM.
#[test]
fn aes_256_gcm_of_wycheproof() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    struct Gcm(LessSafeKey);
    impl Aead<12> for Gcm {
        fn encrypt(&self, nonce: &[u8; 12], aad: &[u8], plaintext: &[u8], out: &mut [u8]) -> [u8; 16] {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let mut tag = [0; 16];
            self.0.seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, out, &[], &mut tag).unwrap();
            tag
        }

        fn decrypt(
            &self,
            nonce: &[u8; 12],
            aad: &[u8],
            ciphertext: &[u8],
            tag: &[u8; 16],
            out: &mut [u8],
        ) -> Result<(), Unauthentic> {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            out.copy_from_slice(ciphertext);
            let opened = self.0.open_in_place_separate_tag(nonce, Aad::from(aad), tag, out).is_ok();
            if opened {
                return Ok(());
            }
            out.fill(0);
            Err(Unauthentic)
        }
    }
    let make = |key: &Secret<32>| {
        Gcm(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).expect("a 32-byte key")))
    };
    assert!(check(vectors!("wycheproof-aes-256-gcm"), make) > 20);
}
