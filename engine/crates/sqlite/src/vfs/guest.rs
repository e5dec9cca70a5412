//! Files of formats that are none of the engine's own: what they do while they are open.

use std::path::Path;

use super::base::BaseFile;
use ground::error::{Fault, FileKind, Result};

/// An open file of another format.
pub trait Guest {
    /// The kind of file.
    fn kind(&self) -> FileKind;

    /// What SQLite is to take for a sector, in bytes.
    fn sector_size(&self) -> usize;

    /// The name of the cipher.
    fn cipher_name(&self) -> &'static str;

    /// What to say to somebody who offers another key.
    fn another_key(&self) -> Fault;

    /// What to say to somebody who asks for another cipher.
    fn another_cipher(&self) -> Fault;

    /// Refuses the file from now on.
    fn refuse(&mut self, fault: Fault);

    /// Makes sure, before anything depends on it, that the key opens the main database.
    fn judge(&mut self, base: &mut BaseFile, path: &Path) -> Result<()>;

    /// `xRead`: whether the file had all of it.
    fn read(&mut self, base: &mut BaseFile, path: &Path, buf: &mut [u8], offset: u64) -> Result<bool>;

    /// `xWrite`.
    fn write(&mut self, base: &mut BaseFile, path: &Path, data: &[u8], offset: u64) -> Result<()>;

    /// `xTruncate`.
    fn truncate(&mut self, base: &mut BaseFile, size: u64) -> Result<()>;

    /// `xFileSize`.
    fn size(&mut self, base: &mut BaseFile) -> Result<u64>;

    /// `PRAGMA lumo_status`: one JSON object.
    fn status(&self) -> String;
}
