//! What LMDB's callbacks do: seal and open pages with the engine's suites, authenticate meta pages, sum pages.
//!
//! A page is 16 bytes of clear header (its number and its transaction), ciphertext, 24 random bytes of nonce and 16
//! of tag. LMDB's own nonce, number and transaction, repeats: after aborted transactions, spills and compacting
//! copies. So it is authenticated, with the environment's UUID and the key's id, and nothing relies on it.

use std::ffi::{c_int, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice::{from_raw_parts, from_raw_parts_mut};
use std::sync::Arc;

use crypto::kdf::{equal, hkdf_sha256, hmac_sha256, sha256};
use crypto::{AAD_LEN, Secret, Suite, SuiteId, instantiate};
use lmdb_sys::{MDB_env, MDB_val};

use crate::error::{Error, Result, from_code};

mod reading;

pub use reading::{META_LEN, PageOpener};

/// Bytes at the end of a page or an extent.
pub const TAIL: usize = 40;
/// Bytes of a checksum.
const SUM: usize = 16;
/// Bytes of the MAC of a meta page.
const MAC: usize = 32;
/// The kinds of pages inside the associated data, after those of the engine's files.
const KIND_PAGE: u32 = 16;
const KIND_META: u32 = 17;
const AAD_KIND: usize = 32;
const AAD_PAGE: usize = 40;
/// A page's clear header: number and transaction.
const HEADER: usize = 16;

/// Which environment and which key: part of what is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The environment's UUID.
    pub uuid: [u8; 16],
    /// The id of its data key; zero for checksums.
    pub key_id: [u8; 16],
}

/// How pages are protected.
pub enum Protection {
    /// Sealed under subkeys of a data key.
    Sealed {
        /// A suite with 24 bytes of nonce and 16 of tag.
        suite: SuiteId,
        /// The data key.
        key: Secret<32>,
    },
    /// In clear, with an XXH3-128: finds damage, not tampering.
    Checksum,
}

impl Protection {
    /// Sealed under the default suite.
    pub fn sealed(key: Secret<32>) -> Self {
        Protection::Sealed { suite: SuiteId::DEFAULT, key }
    }
}

/// A protection ready for use. LMDB keeps its address where it would keep a key.
pub(crate) struct PageCipher {
    suite: Option<Arc<dyn Suite>>,
    mac_key: Option<Secret<32>>,
    aad: [u8; AAD_LEN],
}

impl PageCipher {
    pub(crate) fn new(protection: &Protection, identity: &Identity) -> Result<PageCipher> {
        let mut aad = [0; AAD_LEN];
        aad[..16].copy_from_slice(&identity.uuid);
        aad[16..32].copy_from_slice(&identity.key_id);
        aad[AAD_KIND..AAD_KIND + 4].copy_from_slice(&KIND_PAGE.to_le_bytes());
        let Protection::Sealed { suite, key } = protection else {
            return Ok(PageCipher { suite: None, mac_key: None, aad });
        };
        if suite.overhead() != TAIL {
            return Err(Error::Refused("this cipher has no tag; LMDB's pages need one, choose aegis-256x2"));
        }
        let derive = |info: &[&[u8]]| {
            let mut subkey = Secret::<32>::zeroed();
            hkdf_sha256(key.expose(), &identity.uuid, info, subkey.expose_mut());
            subkey
        };
        let pages = derive(&[
            b"lumocrypt v1 block key",
            &identity.key_id,
            &(*suite as u32).to_le_bytes(),
            &KIND_PAGE.to_le_bytes(),
        ]);
        let suite = instantiate(*suite, &pages).map_err(|fault| Error::Engine(fault.to_string()))?;
        let mac_key = derive(&[b"lumocrypt v1 lmdb meta mac", &identity.key_id]);
        Ok(PageCipher { suite: Some(suite), mac_key: Some(mac_key), aad })
    }

    /// Whether both would do the same to the same pages.
    pub(crate) fn same(&self, other: &PageCipher) -> bool {
        let probe = b"is it the same?";
        self.suite.is_some() == other.suite.is_some() && equal(&self.mac(probe), &other.mac(probe))
    }

    /// Tells LMDB of this protection. It must live until the environment is closed.
    ///
    /// # Safety
    /// `env` was created and not opened.
    pub(crate) unsafe fn install(&self, env: *mut MDB_env) -> Result<()> {
        let address: *const PageCipher = self;
        let key = MDB_val { mv_size: size_of_val(&address), mv_data: (&raw const address).cast_mut().cast() };
        // SAFETY: LMDB copies the key's bytes, which are an address. It calls back with them only while the
        // environment is there, and our caller keeps `self` until then.
        unsafe {
            let rc = match self.suite {
                Some(_) => lmdb_sys::mdb_env_set_encrypt(env, Some(page), &key, TAIL as c_uint),
                None => lmdb_sys::mdb_env_set_checksum(env, Some(sum), SUM as c_uint),
            };
            if rc != 0 {
                return Err(from_code(rc, std::ptr::null_mut()));
            }
            match lmdb_sys::lumo_mdb_env_set_metamac(
                env,
                Some(meta),
                address.cast_mut().cast(),
                MAC as c_uint,
            ) {
                0 => Ok(()),
                rc => Err(from_code(rc, std::ptr::null_mut())),
            }
        }
    }

    fn page_aad(&self, header: &[u8; HEADER]) -> [u8; AAD_LEN] {
        let mut aad = self.aad;
        aad[AAD_PAGE..AAD_PAGE + HEADER].copy_from_slice(header);
        aad
    }

    fn mac(&self, bytes: &[u8]) -> [u8; MAC] {
        let mut message = self.aad.to_vec();
        message[AAD_KIND..AAD_KIND + 4].copy_from_slice(&KIND_META.to_le_bytes());
        message.extend_from_slice(bytes);
        match &self.mac_key {
            Some(key) => hmac_sha256(key.expose(), &message),
            None => sha256(&message),
        }
    }
}

/// LMDB's `MDB_enc_func`.
///
/// The tail follows the ciphertext both where pages are sealed and where they are opened, so nonce and tag are where
/// the engine's suites want them. On failure nothing of the plaintext is in `dst`.
unsafe extern "C" fn page(src: *const MDB_val, dst: *mut MDB_val, key: *const MDB_val, seal: c_int) -> c_int {
    // SAFETY: LMDB gives three keys: what `install` gave it, a header of 16 bytes, and a tail of `TAIL` behind the
    // ciphertext, which is looked at here. Source and destination are as long as it says and do not overlap.
    let done = catch_unwind(AssertUnwindSafe(|| unsafe {
        let (src, dst, header, tail) = (&*src, &*dst, &*key.add(1), &*key.add(2));
        let cipher = &**(*key).mv_data.cast::<*const PageCipher>();
        let sealed: *mut u8 = if seal == 1 { dst.mv_data.cast() } else { src.mv_data.cast() };
        if header.mv_size != HEADER || tail.mv_size != TAIL || sealed.add(src.mv_size) != tail.mv_data.cast()
        {
            return false;
        }
        let Some(suite) = &cipher.suite else { return false };
        let aad = cipher.page_aad(&*header.mv_data.cast());
        if seal == 1 {
            let clear = from_raw_parts(src.mv_data.cast::<u8>(), src.mv_size);
            suite.seal(&aad, clear, from_raw_parts_mut(sealed, src.mv_size + TAIL)).is_ok()
        } else {
            let clear = from_raw_parts_mut(dst.mv_data.cast::<u8>(), src.mv_size);
            suite.open(&aad, from_raw_parts(sealed, src.mv_size + TAIL), clear).is_ok()
        }
    }));
    c_int::from(!done.unwrap_or(false))
}

/// LMDB's `MDB_sum_func`.
unsafe extern "C" fn sum(src: *const MDB_val, dst: *mut MDB_val, _key: *const MDB_val) {
    // SAFETY: As long as LMDB says; `dst` has the bytes that `install` asked for.
    unsafe {
        let bytes = from_raw_parts((*src).mv_data.cast::<u8>(), (*src).mv_size);
        let sum = xxhash_rust::xxh3::xxh3_128(bytes).to_le_bytes();
        (*dst).mv_data.cast::<[u8; SUM]>().write_unaligned(sum);
    }
}

/// Writes or checks the MAC of a meta page.
unsafe extern "C" fn meta(
    context: *mut c_void,
    bytes: *const c_void,
    len: usize,
    mac: *mut c_void,
    make: c_int,
) -> c_int {
    // SAFETY: The context is what `install` gave; `bytes` are as many as LMDB says, `mac` has room for `MAC`.
    let right = catch_unwind(AssertUnwindSafe(|| unsafe {
        let cipher = &*context.cast::<PageCipher>();
        let expected = cipher.mac(from_raw_parts(bytes.cast::<u8>(), len));
        if make != 0 {
            mac.cast::<[u8; MAC]>().write_unaligned(expected);
            return true;
        }
        equal(&expected, from_raw_parts(mac.cast::<u8>(), MAC))
    }));
    c_int::from(!right.unwrap_or(false))
}
