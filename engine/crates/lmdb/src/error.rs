//! What can go wrong with an environment.

use std::ffi::{CStr, c_int};
use std::fmt;

use ground::error::{Fault, FaultClass};
use lmdb_sys as sys;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A page does not authenticate, has a wrong checksum, or is not the page that belongs there.
    Damaged {
        /// LMDB's number of the page.
        page: u64,
    },
    /// Neither meta page authenticates: another key, or both are damaged.
    Unauthentic,
    /// The environment is open in this process under another key.
    OtherKey,
    /// The file is encrypted and should not be, or the other way round, or has other checksums.
    OtherProtection,
    /// What was asked for is not done here; says why.
    Refused(&'static str),
    /// The system's error number.
    System(c_int),
    /// Any other code of LMDB's.
    Lmdb(c_int),
    /// The engine failed: no randomness, no memory.
    Engine(String),
}

impl Error {
    /// LMDB's code or the system's error number, for callers that have LMDB's names for them.
    pub fn code(&self) -> Option<c_int> {
        match self {
            Error::Damaged { .. } => Some(sys::MDB_CORRUPTED),
            Error::Unauthentic | Error::OtherKey => Some(sys::MDB_CRYPTO_FAIL),
            Error::OtherProtection => Some(sys::MDB_ENV_ENCRYPTION),
            Error::System(code) | Error::Lmdb(code) => Some(*code),
            Error::Refused(_) => Some(libc::EINVAL),
            Error::Engine(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Damaged { page } => write!(f, "page {page} is damaged or was tampered with"),
            Error::Unauthentic => {
                f.write_str("no meta page authenticates: the key is another, or both are damaged")
            }
            Error::OtherKey => f.write_str("the environment is open in this process under another key"),
            Error::OtherProtection => f.write_str("the environment is not protected in this way"),
            Error::Refused(why) => f.write_str(why),
            Error::System(code) => write!(f, "{}", std::io::Error::from_raw_os_error(*code)),
            Error::Lmdb(code) => {
                // SAFETY: LMDB returns a constant string for its own codes.
                let text = unsafe { CStr::from_ptr(sys::mdb_strerror(*code)) };
                f.write_str(&text.to_string_lossy())
            }
            Error::Engine(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        let class = match &error {
            Error::Damaged { .. } | Error::OtherProtection => FaultClass::Tampered,
            // Whoever has come this far has the data key.
            Error::Unauthentic => FaultClass::HeaderDamaged,
            Error::OtherKey => FaultClass::InUse,
            Error::Refused(_) => FaultClass::InvalidArgument,
            Error::System(libc::ENOMEM) => FaultClass::NoMemory,
            Error::System(_) | Error::Lmdb(_) => FaultClass::Io,
            Error::Engine(_) => FaultClass::Internal,
        };
        // No SQLite has a part in this: the number is LMDB's or the system's.
        let fault = Fault::new(class, error.to_string()).with_code(error.code().unwrap_or(0));
        match error {
            Error::Damaged { page } => fault.at_number(page),
            _ => fault,
        }
    }
}

/// An error out of a code of LMDB's, which must not be 0. `env` says which page was damaged.
///
/// # Safety
/// `env` is null or an environment that was not closed.
pub(crate) unsafe fn from_code(code: c_int, env: *mut sys::MDB_env) -> Error {
    match code {
        sys::MDB_CRYPTO_FAIL | sys::MDB_BAD_CHECKSUM | sys::MDB_CORRUPTED if !env.is_null() => {
            let mut info = sys::LumoCacheInfo::default();
            // SAFETY: The caller's promise. An environment that is not open yet leaves `info` empty.
            unsafe { sys::lumo_mdb_env_cacheinfo(env, &mut info) };
            Error::Damaged { page: info.damaged_pgno as u64 }
        }
        sys::MDB_ENV_ENCRYPTION | sys::MDB_BAD_CHECKSUM => Error::OtherProtection,
        code if code > 0 => Error::System(code),
        code => Error::Lmdb(code),
    }
}
