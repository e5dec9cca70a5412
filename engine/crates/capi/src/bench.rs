//! What ciphers and key derivations cost on this machine.

use std::ffi::{c_char, c_int};
use std::time::Duration;

use serde_json::{Map, json};

use super::files::open_options;
use super::{call, give, owned};
use crypto::{SuiteId, measure};
use ground::error::{Fault, FaultClass};
use vault::create::CreateOptions;

/// The names of all ciphers of this version, as a JSON array.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_ciphers() -> *mut c_char {
    owned(&json!(SuiteId::ALL.map(SuiteId::name)).to_string())
}

/// Measures the cipher and the derivation that `options` name, for about `seconds` each.
///
/// # Safety
/// `options` is null or a string; `answer` is null or a place for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_bench(options: *const c_char, seconds: f64, answer: *mut *mut c_char) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let options = unsafe { open_options(options, 0) }?;
        let time = Duration::try_from_secs_f64(seconds)
            .map_err(|_| Fault::new(FaultClass::InvalidArgument, "the seconds to measure for are no time"))?;
        let mut measured = Map::new();
        if let Some(suite) = options.suite {
            let block_size = options.block_size.unwrap_or(CreateOptions::default().block_size);
            let speed = measure::suite(suite, block_size, time)?;
            measured.insert("seal".into(), json!(speed.seal));
            measured.insert("open".into(), json!(speed.open));
        }
        if let Some(cost) = options.kdf {
            measured.insert("kdf".into(), json!(measure::kdf(cost, time)?));
        }
        // SAFETY: as the caller promises.
        unsafe { give(answer, &json!(measured).to_string()) }
    })
}
