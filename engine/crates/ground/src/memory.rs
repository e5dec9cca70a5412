//! Memory in sizes that files decide: asked for, not assumed. Rust ends the process where an allocation fails;
//! SQLite lives on with SQLITE_NOMEM, and so do its transactions.

use crate::error::{Fault, FaultClass, Result};

/// Makes `buffer` `len` bytes long, zeros behind what it holds.
pub fn resize(buffer: &mut Vec<u8>, len: usize) -> Result<()> {
    reserve(buffer, len.saturating_sub(buffer.len()))?;
    buffer.resize(len, 0);
    Ok(())
}

/// Appends `bytes`.
pub fn extend(buffer: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    reserve(buffer, bytes.len())?;
    buffer.extend_from_slice(bytes);
    Ok(())
}

/// `len` zeros.
pub fn zeroed(len: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    resize(&mut buffer, len)?;
    Ok(buffer)
}

/// Makes room for `more` elements.
pub fn reserve<T>(buffer: &mut Vec<T>, more: usize) -> Result<()> {
    buffer.try_reserve(more).map_err(|_| {
        let bytes = buffer.len().saturating_add(more).saturating_mul(size_of::<T>());
        Fault::new(FaultClass::NoMemory, format!("there is no memory for a buffer of {bytes} bytes"))
    })
}
