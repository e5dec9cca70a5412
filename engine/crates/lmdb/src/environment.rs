//! An environment: one for each file and process, however often it is opened.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use crypto::nonce;
use ground::fork;
use lmdb_sys as sys;

use crate::database::Database;
use crate::error::Result;
use crate::opening::{Inner, Opening};
use crate::options::{DatabaseFlags, Options};
use crate::transaction::{ReadTxn, WriteTxn};

/// Numbers about an environment.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Bytes of a page.
    pub page_size: u32,
    /// The most that it may grow to.
    pub map_size: usize,
    /// The last page that is used.
    pub last_page: u64,
    /// The last transaction that was committed.
    pub last_txn: u64,
    /// Slots for readers, and how many of them were ever used.
    pub max_readers: u32,
    /// See `max_readers`.
    pub readers: u32,
    /// The longest key.
    pub max_key: u32,
    /// The cache of clear pages.
    pub cache: sys::LumoCacheInfo,
}

/// An environment. Clones are the same one.
#[derive(Clone)]
pub struct Environment {
    shared: Arc<Shared>,
}

struct Shared {
    first: Opening,
    options: Options,
    path: PathBuf,
}

impl Options {
    /// Opens the environment in this file, or creates it. Its lock file is next to it, with `-lock` at its name's end.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Environment> {
        Environment::open(self, PathBuf::from(path.as_ref()))
    }
}

impl Environment {
    fn open(options: Options, path: PathBuf) -> Result<Environment> {
        fork::watch(nonce::prepare);
        options.check()?;
        let inner = Inner::open(&options, &path, None)?;
        Ok(Environment { shared: Arc::new(Shared { first: Opening::new(inner), options, path }) })
    }

    /// The environment of this process. A forked child opens it for itself, the first time that it uses it.
    pub(crate) fn inner(&self) -> Result<Arc<Inner>> {
        let last = self.shared.first.last();
        if last.inner.is_ours() {
            return Ok(last.inner.clone());
        }
        Inner::open(&self.shared.options, &self.shared.path, Some(&self.shared.first))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// A snapshot to read.
    pub fn read(&self) -> Result<ReadTxn> {
        ReadTxn::begin(self.inner()?)
    }

    /// The one transaction that may write. Waits for that of another thread or process.
    pub fn write(&self) -> Result<WriteTxn<'static>> {
        WriteTxn::begin(self.inner()?)
    }

    /// A database that exists; the nameless one always does.
    pub fn database(&self, name: Option<&str>) -> Result<Database> {
        self.handle(name, DatabaseFlags::default(), false)
    }

    /// A database that is created if it does not exist.
    pub fn create_database(&self, name: Option<&str>, flags: DatabaseFlags) -> Result<Database> {
        self.handle(name, flags, true)
    }

    fn handle(&self, name: Option<&str>, flags: DatabaseFlags, create: bool) -> Result<Database> {
        let inner = self.inner()?;
        let mut databases = inner.databases.lock().unwrap_or_else(PoisonError::into_inner);
        let named = name.map(|name| name.as_bytes().to_vec());
        if let Some(database) = databases.get(&named) {
            return Ok(*database);
        }
        let database = if create {
            let mut txn = WriteTxn::begin(inner.clone())?;
            let database = txn.open_database(name, flags, true)?;
            txn.commit()?;
            database
        } else {
            let txn = ReadTxn::begin(inner.clone())?;
            let database = txn.open_database(name)?;
            // A handle opened in a transaction that only reads is kept if that is committed.
            txn.commit()?;
            database
        };
        databases.insert(named, database);
        Ok(database)
    }

    /// Makes everything durable that was committed.
    pub fn sync(&self) -> Result<()> {
        let inner = self.inner()?;
        // SAFETY: The environment is open.
        inner.check(unsafe { sys::mdb_env_sync(inner.env, 1) })
    }

    /// Frees the slots of readers that died. Done before each write transaction, too.
    pub fn check_readers(&self) -> Result<u32> {
        let inner = self.inner()?;
        inner.check_readers()
    }

    /// Numbers about it.
    pub fn info(&self) -> Result<Info> {
        let inner = self.inner()?;
        // SAFETY: The environment is open, and LMDB fills in what it is given.
        unsafe {
            let (mut info, mut stat) =
                (std::mem::zeroed::<sys::MDB_envinfo>(), std::mem::zeroed::<sys::MDB_stat>());
            let mut cache = sys::LumoCacheInfo::default();
            inner.check(sys::mdb_env_info(inner.env, &mut info))?;
            inner.check(sys::mdb_env_stat(inner.env, &mut stat))?;
            sys::lumo_mdb_env_cacheinfo(inner.env, &mut cache);
            Ok(Info {
                page_size: stat.ms_psize,
                map_size: info.me_mapsize,
                last_page: info.me_last_pgno as u64,
                last_txn: info.me_last_txnid as u64,
                max_readers: info.me_maxreaders,
                readers: info.me_numreaders,
                max_key: sys::mdb_env_get_maxkeysize(inner.env).unsigned_abs(),
                cache,
            })
        }
    }
}
