//! What the suites and Argon2id cost on this machine, for people who have to choose.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::kdf::{Argon2Cost, argon2id};
use super::suite::{AAD_LEN, SuiteId};
use super::suites::instantiate_random;
use ground::error::{Fault, FaultClass, Result};

/// Blocks between two looks at the clock: enough that looking does not count, and that each batch pays for its share of
/// nonces where these come from a stock (`crypto/nonce`).
const BATCH: u32 = 340;

/// Bytes of plaintext per second on one core.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Sealing, nonce included.
    pub seal: f64,
    /// Opening.
    pub open: f64,
}

/// The speed of a suite on blocks of `block_size` bytes in the cache, each direction measured for half of `time`.
pub fn suite(id: SuiteId, block_size: u32, time: Duration) -> Result<Speed> {
    let suite = instantiate_random(id)?;
    let plain: Vec<u8> = (0..block_size).map(|i| (i % 251) as u8).collect();
    let mut sealed = vec![0; plain.len() + suite.overhead()];
    let mut opened = vec![0; plain.len()];
    let aad = [0; AAD_LEN];
    let seal = batches(time / 2, || suite.seal(black_box(&aad), black_box(&plain), black_box(&mut sealed)))?;
    let open = batches(time / 2, || {
        suite
            .open(black_box(&aad), black_box(&sealed), black_box(&mut opened))
            .map_err(|_| Fault::new(FaultClass::Internal, "a block that was just sealed does not open"))
    })?;
    let rate = |seconds: f64| f64::from(block_size) / seconds;
    Ok(Speed { seal: rate(seal), open: rate(open) })
}

/// The seconds that one derivation takes: the median of as many as end within `time`, of one at least.
pub fn kdf(cost: Argon2Cost, time: Duration) -> Result<f64> {
    let start = Instant::now();
    let mut runs = Vec::new();
    while runs.is_empty() || start.elapsed() < time {
        let before = Instant::now();
        black_box(argon2id::<32>(b"a passphrase of some length", &[7; 32], cost)?);
        runs.push(before.elapsed().as_secs_f64());
    }
    Ok(median(runs))
}

/// The seconds that one call takes: the median over batches, so that what else the machine does counts little.
fn batches(time: Duration, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut batches = Vec::new();
    while batches.is_empty() || start.elapsed() < time {
        let before = Instant::now();
        for _ in 0..BATCH {
            call()?;
        }
        batches.push(before.elapsed().as_secs_f64() / f64::from(BATCH));
    }
    Ok(median(batches))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_can_be_measured() {
        for id in SuiteId::ALL {
            let speed = suite(id, 4096, Duration::ZERO).unwrap();
            assert!(speed.seal > 0.0 && speed.seal.is_finite(), "{speed:?}");
            assert!(speed.open > 0.0 && speed.open.is_finite(), "{speed:?}");
        }
    }

    #[test]
    fn more_passes_take_longer() {
        let cost = |t| Argon2Cost { t, m_kib: 1024, p: 1 };
        let (few, many) = (kdf(cost(1), Duration::ZERO).unwrap(), kdf(cost(30), Duration::ZERO).unwrap());
        assert!(many > few, "{few} s, {many} s");
    }
}
