//! From a fault to the result code that SQLite sees, the thread's record and a line in SQLite's log.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::library::abi::*;
use crate::library::api::Api;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::failure;
use ground::paths;
use ground::stats::STATS;

/// The code that a class travels as (docs/reference/c-abi.md).
fn code_of(fault: &Fault) -> c_int {
    match fault.class {
        FaultClass::KeyRequired | FaultClass::WrongKey | FaultClass::KdfLimit => SQLITE_AUTH,
        FaultClass::NotEncrypted
        | FaultClass::HeaderDamaged
        | FaultClass::UnsupportedFormat
        | FaultClass::WrongDatabase
        | FaultClass::NoDatabase => SQLITE_NOTADB,
        FaultClass::Tampered => SQLITE_IOERR_DATA,
        // Not SQLITE_BUSY, which would make SQLite wait its whole busy timeout for what no waiting changes.
        FaultClass::InUse => SQLITE_CANTOPEN,
        FaultClass::InvalidArgument => SQLITE_ERROR,
        FaultClass::NoMemory => SQLITE_NOMEM,
        FaultClass::Io if fault.code != 0 => fault.code,
        FaultClass::Io => SQLITE_IOERR,
        FaultClass::Internal => SQLITE_INTERNAL,
    }
}

/// Records and logs `fault`; returns its code. What failed below us is SQLite's to report, with its own code.
pub fn report(api: &Api, path: &Path, fault: Fault) -> c_int {
    let code = code_of(&fault);
    if matches!(fault.class, FaultClass::Io | FaultClass::NoMemory) {
        return code;
    }
    if fault.class == FaultClass::Tampered {
        STATS.count_unauthentic(fault.kind);
    }
    let mut fault = fault.at_path(path).with_code(code);
    fault.host = Some(api.host);
    api.write_log(code, &log_message(&fault));
    failure::record(fault);
    code
}

/// What hosts without our Python package learn of a fault beyond its code: where first, then what, and what to do.
fn log_message(fault: &Fault) -> String {
    let kind = fault.kind.map(|kind| kind.name().to_owned());
    let unit = fault.kind.map_or("block", FileKind::unit);
    let part = fault.number.map(|number| format!("{unit} {number}"));
    let place: Vec<String> =
        [fault.path.as_deref().map(paths::shown), kind, part].into_iter().flatten().collect();
    if place.is_empty() { fault.message.clone() } else { format!("{}: {}", place.join(" "), fault.message) }
}

/// Runs a callback's body: faults become codes, and no panic reaches C.
pub fn guard(api: &Api, path: impl AsRef<Path>, body: impl FnOnce() -> Result<c_int>) -> c_int {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(code)) => code,
        Ok(Err(fault)) => report(api, path.as_ref(), fault),
        Err(_) => report(
            api,
            path.as_ref(),
            Fault::new(FaultClass::Internal, "an internal error in lumocrypt; please report it with the log"),
        ),
    }
}
