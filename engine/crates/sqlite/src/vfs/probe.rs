//! A look at a database's header from outside of any connection.

use std::path::Path;

use super::database::read_header as read_region;
use super::host;
use super::own_file::OwnFile;
use ground::error::Result;
use storage::Storage;

/// The header region of the file at `path`, read through the first SQLite library that was registered.
/// `None`: absent or empty.
pub fn read_header(path: &Path) -> Result<Option<Vec<u8>>> {
    let Some(mut file) = OwnFile::open(host::host(0)?, path)? else { return Ok(None) };
    if file.base.size()? == 0 {
        return Ok(None);
    }
    read_region(&mut file.base).map(Some)
}
