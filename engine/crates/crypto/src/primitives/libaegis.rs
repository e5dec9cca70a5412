//! libaegis, which the `aegis` crate builds and links, through its own C interface.
//!
//! The crate's interface takes a message in one piece, and wipes its 300 bytes of state one by one: 45 ns of 310 for a
//! page of 4 KiB. Here a message may come in two pieces, as a WAL frame does (header and page), so that pages go straight
//! from SQLite's memory to the sealed slot and back, and a message in one piece takes libaegis's one-shot functions.
//!
//! Either way libaegis reads every byte of a ciphertext once, decrypts it and absorbs the result: what is authenticated
//! is what is returned, even if the memory behind the ciphertext changes meanwhile.

use std::ffi::c_int;

use zeroize::Zeroize;

use crate::suite::{TAG_LEN, Unauthentic};

/// Key and nonce of the 256-bit variants.
const KEY_LEN: usize = 32;

/// Room for libaegis's incremental state: 192 bytes for AEGIS-256 and 288 for AEGIS-256X2 (aegis256.h, aegis256x2.h,
/// CRYPTO_ALIGN(16) and CRYPTO_ALIGN(32)), and as much again.
#[repr(C, align(64))]
pub(crate) struct State([u64; 80]);

impl Drop for State {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The functions of one variant, with the signatures of `aegis256.h` and `aegis256x2.h`.
pub(crate) struct Functions {
    init: unsafe extern "C" fn(*mut State, *const u8, usize, *const u8, *const u8),
    encrypt_update: unsafe extern "C" fn(*mut State, *mut u8, *const u8, usize) -> c_int,
    encrypt_final: unsafe extern "C" fn(*mut State, *mut u8, usize) -> c_int,
    decrypt_update: unsafe extern "C" fn(*mut State, *mut u8, *const u8, usize) -> c_int,
    decrypt_final: unsafe extern "C" fn(*mut State, *const u8, usize) -> c_int,
    encrypt: unsafe extern "C" fn(
        *mut u8,
        *mut u8,
        usize,
        *const u8,
        usize,
        *const u8,
        usize,
        *const u8,
        *const u8,
    ) -> c_int,
    decrypt: unsafe extern "C" fn(
        *mut u8,
        *const u8,
        usize,
        *const u8,
        usize,
        *const u8,
        usize,
        *const u8,
        *const u8,
    ) -> c_int,
}

macro_rules! functions {
    ($variant:ident, $init:ident, $encrypt_update:ident, $encrypt_final:ident, $decrypt_update:ident,
     $decrypt_final:ident, $encrypt:ident, $decrypt:ident) => {
        unsafe extern "C" {
            fn $init(state: *mut State, ad: *const u8, ad_len: usize, nonce: *const u8, key: *const u8);
            fn $encrypt_update(state: *mut State, c: *mut u8, m: *const u8, len: usize) -> c_int;
            fn $encrypt_final(state: *mut State, mac: *mut u8, mac_len: usize) -> c_int;
            fn $decrypt_update(state: *mut State, m: *mut u8, c: *const u8, len: usize) -> c_int;
            fn $decrypt_final(state: *mut State, mac: *const u8, mac_len: usize) -> c_int;
            fn $encrypt(
                c: *mut u8,
                mac: *mut u8,
                mac_len: usize,
                m: *const u8,
                m_len: usize,
                ad: *const u8,
                ad_len: usize,
                nonce: *const u8,
                key: *const u8,
            ) -> c_int;
            fn $decrypt(
                m: *mut u8,
                c: *const u8,
                c_len: usize,
                mac: *const u8,
                mac_len: usize,
                ad: *const u8,
                ad_len: usize,
                nonce: *const u8,
                key: *const u8,
            ) -> c_int;
        }

        /// The functions of this variant.
        pub(crate) static $variant: Functions = Functions {
            init: $init,
            encrypt_update: $encrypt_update,
            encrypt_final: $encrypt_final,
            decrypt_update: $decrypt_update,
            decrypt_final: $decrypt_final,
            encrypt: $encrypt,
            decrypt: $decrypt,
        };
    };
}

functions!(
    AEGIS_256,
    aegis256_state_init,
    aegis256_state_encrypt_update,
    aegis256_state_encrypt_final,
    aegis256_state_decrypt_update,
    aegis256_state_decrypt_final,
    aegis256_encrypt_detached,
    aegis256_decrypt_detached
);
functions!(
    AEGIS_256X2,
    aegis256x2_state_init,
    aegis256x2_state_encrypt_update,
    aegis256x2_state_encrypt_final,
    aegis256x2_state_decrypt_update,
    aegis256x2_state_decrypt_final,
    aegis256x2_encrypt_detached,
    aegis256x2_decrypt_detached
);

/// One variant, with the processor's fastest implementation chosen.
#[derive(Clone, Copy)]
pub(crate) struct LibAegis(&'static Functions);

impl LibAegis {
    /// libaegis wants to be initialized; the crate does that once per process, before it makes its first cipher.
    pub(crate) fn new(functions: &'static Functions) -> Self {
        let _ = ::aegis::aegis256::Aegis256::<TAG_LEN>::new(&[0; KEY_LEN], &[0; KEY_LEN]);
        let _ = ::aegis::aegis256x2::Aegis256X2::<TAG_LEN>::new(&[0; KEY_LEN], &[0; KEY_LEN]);
        LibAegis(functions)
    }

    fn state(self, key: &[u8; KEY_LEN], nonce: &[u8; KEY_LEN], ad: &[u8]) -> State {
        let mut state = State([0; 80]);
        // SAFETY: room for the state, aligned; key and nonce have the variant's lengths.
        unsafe { (self.0.init)(&mut state, ad.as_ptr(), ad.len(), nonce.as_ptr(), key.as_ptr()) };
        state
    }

    /// Encrypts `head` and `body` into `ciphertext`, which is as long as both together.
    pub(crate) fn encrypt(
        self,
        key: &[u8; KEY_LEN],
        nonce: &[u8; KEY_LEN],
        ad: &[u8],
        [head, body]: [&[u8]; 2],
        ciphertext: &mut [u8],
    ) -> [u8; TAG_LEN] {
        assert_eq!(ciphertext.len(), head.len() + body.len(), "a buffer of the wrong size");
        let mut tag = [0; TAG_LEN];
        let start = ciphertext.as_mut_ptr();
        if head.is_empty() {
            // SAFETY: a buffer as long as the message, a tag of a legal length, key and nonce of the right lengths.
            unsafe {
                (self.0.encrypt)(
                    start,
                    tag.as_mut_ptr(),
                    TAG_LEN,
                    body.as_ptr(),
                    body.len(),
                    ad.as_ptr(),
                    ad.len(),
                    nonce.as_ptr(),
                    key.as_ptr(),
                )
            };
            return tag;
        }
        let mut state = self.state(key, nonce, ad);
        // SAFETY: an initialized state and buffers of those lengths.
        unsafe {
            (self.0.encrypt_update)(&mut state, start, head.as_ptr(), head.len());
            (self.0.encrypt_update)(&mut state, start.add(head.len()), body.as_ptr(), body.len());
            (self.0.encrypt_final)(&mut state, tag.as_mut_ptr(), TAG_LEN);
        }
        tag
    }

    /// Decrypts `ciphertext` into `head` and `body`, which are as long as it together. On failure both are zero.
    pub(crate) fn decrypt(
        self,
        key: &[u8; KEY_LEN],
        nonce: &[u8; KEY_LEN],
        ad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        [head, body]: [&mut [u8]; 2],
    ) -> Result<(), Unauthentic> {
        assert_eq!(ciphertext.len(), head.len() + body.len(), "a buffer of the wrong size");
        let start = ciphertext.as_ptr();
        let code = if head.is_empty() {
            // SAFETY: as in `encrypt`.
            unsafe {
                (self.0.decrypt)(
                    body.as_mut_ptr(),
                    start,
                    body.len(),
                    tag.as_ptr(),
                    TAG_LEN,
                    ad.as_ptr(),
                    ad.len(),
                    nonce.as_ptr(),
                    key.as_ptr(),
                )
            }
        } else {
            let mut state = self.state(key, nonce, ad);
            // SAFETY: as in `encrypt`.
            unsafe {
                (self.0.decrypt_update)(&mut state, head.as_mut_ptr(), start, head.len());
                (self.0.decrypt_update)(&mut state, body.as_mut_ptr(), start.add(head.len()), body.len());
                (self.0.decrypt_final)(&mut state, tag.as_ptr(), TAG_LEN)
            }
        };
        if code == 0 {
            return Ok(());
        }
        head.zeroize();
        body.zeroize();
        Err(Unauthentic)
    }
}
