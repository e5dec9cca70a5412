//! py-lmdb's names over encrypted environments: the extension module below `lumocrypt.lmdb`.
//!
//! An `Environment`'s transactions and cursors are Python objects, so nothing of Rust's lifetimes keeps them in order.
//! [`state`] does: a transaction that ends closes its cursors and ends those within it first, and what has ended says
//! so. The interpreter's lock guards all of it; the module is never loaded without one.

use pyo3::prelude::*;

mod bytes;
mod cursor;
mod environment;
mod errors;
mod state;
mod transaction;

#[pymodule]
fn _lmdb(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<environment::Environment>()?;
    module.add_class::<environment::Database>()?;
    module.add_class::<transaction::Transaction>()?;
    module.add_class::<cursor::Cursor>()?;
    module.add_function(wrap_pyfunction!(environment::open_raw, module)?)?;
    module.add_function(wrap_pyfunction!(environment::version, module)?)?;
    errors::register(module)
}
