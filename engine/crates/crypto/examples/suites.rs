//! What sealing and opening one page costs, per suite: `cargo run --release --example suites [page bytes]`.
//!
//! Medians over many short batches, nonce included, on one hot page; the first line is what a bare copy
//! of the page costs on the same machine.

use std::hint::black_box;
use std::time::Instant;

use lumocrypt_crypto::{AAD_LEN, SuiteId, instantiate_random, nonce};

/// Twice the largest stock of nonces, so that every batch pays for its share of system calls.
const BATCH: u32 = 340;
const BATCHES: usize = 501;

/// The median time of one call, in nanoseconds.
fn median(mut call: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..BATCH {
                call();
            }
            start.elapsed().as_nanos() as f64 / f64::from(BATCH)
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times[BATCHES / 2]
}

fn main() {
    let size: usize = std::env::args().nth(1).map_or(4096, |arg| arg.parse().expect("a number of bytes"));
    let page: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
    let mut opened = vec![0; size];
    let copy = median(|| black_box(&mut opened).copy_from_slice(black_box(&page)));
    println!("{:<20} {copy:>7.0} ns", "copy");
    let draw = median(|| {
        black_box(nonce::draw().expect("randomness"));
    });
    println!("{:<20} {draw:>7.0} ns", "nonce");

    for id in SuiteId::ALL {
        let suite = instantiate_random(id).expect("randomness");
        let mut sealed = vec![0; size + suite.overhead()];
        let mut aad = [0u8; AAD_LEN];
        let seal = median(|| {
            aad[40] = aad[40].wrapping_add(1);
            suite.seal(black_box(&aad), black_box(&page), black_box(&mut sealed)).expect("sealed");
        });
        let open = median(|| {
            suite.open(black_box(&aad), black_box(&sealed), black_box(&mut opened)).expect("authentic");
        });
        println!("{:<20} seal {seal:>7.0} ns   open {open:>7.0} ns", id.name());
    }
}
