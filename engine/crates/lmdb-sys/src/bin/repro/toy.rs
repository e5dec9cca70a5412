//! A toy of an AEAD: the keystream and the tag are a hash of nonce and place. Nobody should use it for anything.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Bytes at the end of a page: 24 of nonce and 16 of tag.
pub const TAIL: usize = 40;

/// Decrypt as some bindings do: copy the ciphertext to the destination, then decrypt it there.
pub static IN_PLACE: AtomicBool = AtomicBool::new(false);
/// How many pages were opened.
pub static OPENED: AtomicU64 = AtomicU64::new(0);

fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn seed(header: &[u8], nonce: &[u8]) -> u64 {
    header.chunks(8).chain(nonce.chunks(8)).fold(1, |seed, part| mix(seed ^ word(part)))
}

fn tag(bytes: &[u8], seed: u64) -> [u8; 16] {
    let sum =
        bytes.chunks(8).enumerate().fold(seed, |sum, (i, part)| mix(sum ^ word(part)).wrapping_add(i as u64));
    let mut tag = [0; 16];
    tag[..8].copy_from_slice(&sum.to_le_bytes());
    tag[8..].copy_from_slice(&mix(sum).to_le_bytes());
    tag
}

/// Adds the keystream to `from` and writes it to `to`.
unsafe fn xor(from: *const u8, to: *mut u8, len: usize, seed: u64) {
    for at in (0..len).step_by(8) {
        let key = mix(seed.wrapping_add(at as u64));
        if at + 8 <= len {
            let clear = unsafe { from.add(at).cast::<u64>().read_unaligned() } ^ key;
            unsafe { to.add(at).cast::<u64>().write_unaligned(clear) };
        } else {
            for (i, byte) in key.to_le_bytes().iter().enumerate().take(len - at) {
                unsafe { to.add(at + i).write(from.add(at + i).read() ^ byte) };
            }
        }
    }
}

/// The callback's work, on addresses, as LMDB gives them.
///
/// # Safety
/// As LMDB promises: `len` bytes each, a header of 16 bytes, a tail of [`TAIL`].
pub unsafe fn page(
    from: *const u8,
    to: *mut u8,
    len: usize,
    header: &[u8],
    tail: *mut u8,
    seal: bool,
) -> i32 {
    static NONCES: AtomicU64 = AtomicU64::new(0);
    if seal {
        let nonce = mix(NONCES.fetch_add(1, Relaxed) ^ u64::from(std::process::id()) << 32);
        let tail = unsafe { std::slice::from_raw_parts_mut(tail, TAIL) };
        tail[..8].copy_from_slice(&nonce.to_le_bytes());
        tail[8..24].fill(7);
        let seed = seed(header, &tail[..24]);
        unsafe { xor(from, to, len, seed) };
        tail[24..].copy_from_slice(&tag(unsafe { std::slice::from_raw_parts(to, len) }, seed));
        return 0;
    }
    OPENED.fetch_add(1, Relaxed);
    let tail = unsafe { std::slice::from_raw_parts(tail, TAIL) };
    let seed = seed(header, &tail[..24]);
    if tag(unsafe { std::slice::from_raw_parts(from, len) }, seed) != tail[24..] {
        return 1;
    }
    if IN_PLACE.load(Relaxed) {
        unsafe { std::ptr::copy_nonoverlapping(from, to, len) };
        // Whoever else has this buffer now sees ciphertext.
        std::thread::yield_now();
        unsafe { xor(to, to, len, seed) };
    } else {
        unsafe { xor(from, to, len, seed) };
    }
    0
}

/// A checksum of 16 bytes.
pub fn sum(bytes: &[u8]) -> [u8; 16] {
    tag(bytes, 77)
}

/// A number generator for reproducible cases.
pub struct Numbers(pub u64);

impl Numbers {
    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (mix(self.0) >> 16) % limit
    }
}
