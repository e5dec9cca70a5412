//! Formats that are none of this engine's own: what makes a VFS one of theirs, and what their open files do.

use std::ffi::{c_char, c_int};
use std::path::Path;

use super::base::BaseFile;
use super::file::Content;
use super::host::Shim;
use super::recorder::Recorder;
use ground::error::{Fault, FileKind, Result};

/// Decides what the files are that are opened through a VFS.
pub trait Opener: Sync {
    /// What the file being opened is.
    ///
    /// # Safety
    /// `name` is what SQLite passed to `xOpen` with `flags`.
    unsafe fn open(
        &'static self,
        shim: &'static Shim,
        name: *const c_char,
        path: &Path,
        base: &mut BaseFile,
        flags: c_int,
    ) -> Result<Content>;

    /// What is told of reads and writes through this VFS.
    fn recorder(&self) -> Option<Recorder>;
}

/// An open file of such a format.
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
    fn judge(&mut self, shim: &'static Shim, base: &mut BaseFile, path: &Path) -> Result<()>;

    /// `xRead`: whether the file had all of it.
    fn read(
        &mut self,
        shim: &'static Shim,
        base: &mut BaseFile,
        path: &Path,
        buf: &mut [u8],
        offset: u64,
    ) -> Result<bool>;

    /// `xWrite`.
    fn write(
        &mut self,
        shim: &'static Shim,
        base: &mut BaseFile,
        path: &Path,
        data: &[u8],
        offset: u64,
    ) -> Result<()>;

    /// `xTruncate`.
    fn truncate(&mut self, base: &mut BaseFile, size: u64) -> Result<()>;

    /// `xFileSize`.
    fn size(&mut self, base: &mut BaseFile) -> Result<u64>;

    /// `PRAGMA lumo_status`: one JSON object.
    fn status(&self) -> String;
}
