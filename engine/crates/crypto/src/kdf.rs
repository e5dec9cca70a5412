//! Key derivation and hashing: Argon2id, HKDF, HMAC and SHA-256.

use std::thread::JoinHandle;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::{constant_time, digest, hkdf, hmac};
use zeroize::{Zeroizing, zeroize_stack};

use super::secret::Secret;
use ground::error::{Fault, FaultClass, Result};
use ground::room;

/// The cost of an Argon2id derivation (RFC 9106).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Argon2Cost {
    /// Passes over the memory.
    pub t: u32,
    /// Memory in KiB.
    pub m_kib: u32,
    /// Lanes.
    pub p: u32,
}

impl Argon2Cost {
    /// The default: 64 MiB, RFC 9106's second recommended option (section 4).
    pub const INTERACTIVE: Argon2Cost = Argon2Cost { t: 3, m_kib: 64 << 10, p: 4 };
    /// 256 MiB.
    pub const MODERATE: Argon2Cost = Argon2Cost { t: 3, m_kib: 256 << 10, p: 4 };
    /// 1 GiB.
    pub const SENSITIVE: Argon2Cost = Argon2Cost { t: 3, m_kib: 1 << 20, p: 4 };
}

/// Argon2id, version 0x13, `N` bytes. Costs out of the algorithm's range and salts under 8 bytes are refused as
/// invalid arguments; policy on what is too little or too much is the caller's.
pub fn argon2id<const N: usize>(passphrase: &[u8], salt: &[u8], cost: Argon2Cost) -> Result<Secret<N>> {
    let params = Params::new(cost.m_kib, cost.t, cost.p, Some(N)).map_err(refused)?;
    run_argon2(&Argon2::new(Algorithm::Argon2id, Version::V0x13, params), passphrase, salt)
}

/// Several times what the frames of Argon2 and BLAKE2b take.
const STACK_USED: usize = 64 * 1024;
/// What a thread's stack may need, many times over; Rust's own default.
const STACK: usize = 2 << 20;

/// Runs `hasher` in memory that is wiped afterwards.
fn run_argon2<const N: usize>(hasher: &Argon2<'_>, passphrase: &[u8], salt: &[u8]) -> Result<Secret<N>> {
    let params = hasher.params();
    let mut memory = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(params.block_count()).map_err(|_| out_of_memory(params))?;
    memory.resize(params.block_count(), Block::new());
    let mut key = Secret::<N>::zeroed();
    // Threads of its own, gone afterwards: the lanes would otherwise run in a process-wide pool, which has
    // no threads in a forked child, where the derivation would then wait for ever.
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(params.p_cost() as usize);
    // Dropped after the pool, which tells them to end.
    let mut started = Threads(Vec::with_capacity(threads));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .spawn_handler(|thread| started.start(|| thread.run()))
        .build();
    let (out, blocks) = (key.expose_mut(), memory.as_mut_slice());
    let derive = || hasher.hash_password_into_with_memory(passphrase, salt, out, blocks);
    let result = match pool {
        Ok(pool) => {
            let result = pool.install(derive);
            // The hash functions leave the key on the stacks of these threads, and the C library keeps the stacks of
            // threads that have ended, for the next ones.
            pool.broadcast(|_| zeroize_stack::<STACK_USED>());
            result
        }
        // No thread can be had, be it for want of memory or because the process may start none.
        Err(_) => alone(derive).unwrap_or(Err(argon2::Error::OutOfMemory)),
    };
    result.map_err(refused)?;
    Ok(key)
}

/// Runs `derive`, whose lanes would otherwise go to a process-wide pool, on this thread. `None`: not even that can be had.
///
/// A thread can be made a pool of one only once, and then is one for ever, so the pool is never dropped.
fn alone<T: Send>(derive: impl FnOnce() -> T + Send) -> Option<T> {
    if rayon::current_thread_index().is_none() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().ok()?;
        std::mem::forget(pool);
    }
    let result = derive();
    zeroize_stack::<STACK_USED>();
    Some(result)
}

/// Threads that are waited for: a pool only tells its own to end.
struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    fn start(&mut self, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        if !room::for_thread(STACK) {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        let thread = std::thread::Builder::new().name("lumocrypt-kdf".into()).stack_size(STACK);
        self.0.push(thread.spawn(body)?);
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

fn refused(error: argon2::Error) -> Fault {
    match error {
        argon2::Error::OutOfMemory => Fault::new(FaultClass::NoMemory, "no memory for Argon2id"),
        other => Fault::new(FaultClass::InvalidArgument, format!("Argon2id cannot be run: {other}")),
    }
}

fn out_of_memory(params: &Params) -> Fault {
    let mib = params.m_cost().div_ceil(1024);
    Fault::new(
        FaultClass::NoMemory,
        format!("deriving the key from the passphrase needs {mib} MiB of memory"),
    )
}

/// An output length that `hkdf` can be asked for.
struct OutputLen(usize);

impl hkdf::KeyType for OutputLen {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-SHA-256 (RFC 5869); the parts of `info` are concatenated.
///
/// # Panics
/// If `out` is longer than the 8,160 bytes that HKDF-SHA-256 can give.
pub fn hkdf_sha256(ikm: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8]) {
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(ikm)
        .expand(info, OutputLen(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("at most 255 blocks of output");
}

/// HMAC-SHA-256 (RFC 2104).
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    tag.as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// SHA-256.
pub fn sha256(message: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, message).as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// Equality in a time that depends only on the lengths.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests;
