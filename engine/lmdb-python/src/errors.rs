//! Exceptions with py-lmdb's names: one per code of LMDB's, below `Error`.

use std::ffi::c_int;

use lumo_lmdb::{Error as Failure, sys};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::{PyTypeInfo, create_exception};

create_exception!(_lmdb, Error, PyException);

macro_rules! exceptions {
    ($($name:ident $code:expr),* $(,)?) => {
        $(create_exception!(_lmdb, $name, Error);)*

        fn with_code(code: c_int, message: String) -> PyErr {
            // LMDB 1.0 has a code of its own for what was EACCES.
            let code = if code == sys::MDB_IS_READONLY { libc::EACCES } else { code };
            $(if code == $code { return $name::new_err(message); })*
            Error::new_err(message)
        }

        /// Puts the exceptions into the module.
        pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            module.add("Error", Error::type_object(module.py()))?;
            $(module.add(stringify!($name), $name::type_object(module.py()))?;)*
            Ok(())
        }
    };
}

exceptions! {
    KeyExistsError sys::MDB_KEYEXIST,
    NotFoundError sys::MDB_NOTFOUND,
    PageNotFoundError sys::MDB_PAGE_NOTFOUND,
    CorruptedError sys::MDB_CORRUPTED,
    PanicError sys::MDB_PANIC,
    VersionMismatchError sys::MDB_VERSION_MISMATCH,
    InvalidError sys::MDB_INVALID,
    MapFullError sys::MDB_MAP_FULL,
    DbsFullError sys::MDB_DBS_FULL,
    ReadersFullError sys::MDB_READERS_FULL,
    TlsFullError sys::MDB_TLS_FULL,
    TxnFullError sys::MDB_TXN_FULL,
    CursorFullError sys::MDB_CURSOR_FULL,
    PageFullError sys::MDB_PAGE_FULL,
    MapResizedError sys::MDB_MAP_RESIZED,
    IncompatibleError sys::MDB_INCOMPATIBLE,
    BadRslotError sys::MDB_BAD_RSLOT,
    BadTxnError sys::MDB_BAD_TXN,
    BadValsizeError sys::MDB_BAD_VALSIZE,
    BadDbiError sys::MDB_BAD_DBI,
    CryptoFailError sys::MDB_CRYPTO_FAIL,
    EnvEncryptionError sys::MDB_ENV_ENCRYPTION,
    InvalidParameterError libc::EINVAL,
    ReadonlyError libc::EACCES,
    LockError libc::EAGAIN,
    MemoryError libc::ENOMEM,
    DiskError libc::EIO,
}

/// The exception for a failure of `what`.
pub fn raise(what: &str, failure: &Failure) -> PyErr {
    with_code(failure.code().unwrap_or(libc::EINVAL), format!("{what}: {failure}"))
}

/// The exception for something of the caller's.
pub fn refuse(message: &str) -> PyErr {
    Error::new_err(message.to_owned())
}

/// The exception for arguments that do not go together.
pub fn invalid(message: &str) -> PyErr {
    InvalidParameterError::new_err(message.to_owned())
}
