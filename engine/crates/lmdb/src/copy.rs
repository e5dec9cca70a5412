//! Copies of an environment while it is used: smaller ones, and under another key.
//!
//! LMDB's own compacting copy has no MAC on its meta pages and fails where files are opened with O_DIRECT, so this is
//! one through ordinary transactions. It sees one snapshot; whoever writes meanwhile goes on.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use lmdb_sys as sys;

use crate::cursor::Step;
use crate::database::Database;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::options::{DatabaseFlags, Durability, Options};
use crate::transaction::{Put, Txn, WriteTxn};

/// How many bytes are put into the copy between two commits.
const PORTION: usize = 64 << 20;

impl Environment {
    /// Copies what is there into a new environment, which `options` say the protection and the identity of: another
    /// data key must come with another identity. It takes over the size of pages unless they name one.
    ///
    /// The copy is durable when this returns. If it fails, what there is of it is removed.
    pub fn copy_compact(&self, path: impl AsRef<Path>, options: Options) -> Result<()> {
        let path = path.as_ref();
        if path.exists()
            && std::fs::metadata(path).map_or(0, |metadata| metadata.len()) > options.header_len as u64
        {
            return Err(Error::System(libc::EEXIST));
        }
        let copied = self.copy_into(path, options);
        // The copy is of one process until it is complete; its lock file would only be in the way of a rename.
        let mut lock = path.as_os_str().to_owned();
        lock.push("-lock");
        let _ = std::fs::remove_file(lock);
        if copied.is_err() {
            let _ = std::fs::remove_file(path);
        }
        copied
    }

    fn copy_into(&self, path: &Path, mut options: Options) -> Result<()> {
        let page_size = options.page_size.unwrap_or(self.info()?.page_size);
        options = options.page_size(page_size).durability(Durability::NoSync);
        options.max_dbs = options.max_dbs.max(self.options().max_dbs);
        let copy = options.open(path)?;
        let from = self.read()?;
        let main = from.open(None, 0)?;
        let mut to = copy.write()?;
        to.open_database(None, from.flags(main)?, true)?;
        to.commit()?;
        copy_database(&from, main, &copy, None)?;
        copy.sync()
    }
}

/// Copies one database; the nameless one with those that it names.
fn copy_database(from: &Txn, source: Database, copy: &Environment, name: Option<&str>) -> Result<()> {
    let flags = from.flags(source)?;
    let how = if flags.contains(DatabaseFlags::DUP_SORT) { Put::APPEND_DUP } else { Put::APPEND };
    let mut to = copy.write()?;
    let mut target = to.open_database(name, flags, true)?;
    let (mut named, mut portion) = (Vec::new(), 0);
    let mut cursor = from.cursor(source)?;
    let mut step = Step::First;
    while cursor.go(step)?.is_some() {
        step = Step::Next;
        let is_database = name.is_none() && cursor.is_database();
        let Some((key, value)) = cursor.go(Step::Current)? else { break };
        if is_database {
            // Names are kept with the NUL at their end.
            let name = key.strip_suffix(&[0]).unwrap_or(key);
            let name = std::str::from_utf8(name).map_err(|_| Error::Lmdb(sys::MDB_INCOMPATIBLE))?;
            named.push(name.to_owned());
            continue;
        }
        to.put(target, key, value, how)?;
        portion += key.len() + value.len();
        if portion > PORTION {
            portion = 0;
            to = next(to, copy)?;
            target = to.open_database(name, flags, true)?;
        }
    }
    drop(cursor);
    to.commit()?;
    for name in named {
        let source = from.open(Some(&name), 0)?;
        copy_database(from, source, copy, Some(&name))?;
    }
    Ok(())
}

fn next(txn: WriteTxn<'static>, copy: &Environment) -> Result<WriteTxn<'static>> {
    txn.commit()?;
    copy.write()
}

impl Environment {
    /// A smaller copy under the same key, with the same header region.
    pub fn copy_compact_alike(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut file = File::create_new(path).map_err(system)?;
        file.write_all(&self.header()?).map_err(system)?;
        drop(file);
        self.copy_compact(path, self.options().again())
    }

    /// Copies the environment as it is, header region and all, into a file that is empty and open for writing: same
    /// key, same pages, nothing is opened.
    pub fn copy_plain(&self, mut file: &File) -> Result<()> {
        let inner = self.inner()?;
        file.write_all(&self.header()?).map_err(system)?;
        // SAFETY: Environment and descriptor are open.
        inner.check(unsafe { sys::mdb_env_copyfd2(inner.env, file.as_raw_fd(), 0) })?;
        file.sync_all().map_err(system)
    }

    /// What is in front of LMDB's pages.
    fn header(&self) -> Result<Vec<u8>> {
        let mut header = vec![0; self.options().header_len];
        File::open(self.path()).and_then(|from| from.read_exact_at(&mut header, 0)).map_err(system)?;
        Ok(header)
    }
}

fn system(error: std::io::Error) -> Error {
    Error::System(error.raw_os_error().unwrap_or(libc::EIO))
}
