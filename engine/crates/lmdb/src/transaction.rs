//! Transactions: snapshots to read, and the one that writes.

use std::cell::Cell;
use std::ffi::{CString, c_uint};
use std::marker::PhantomData;
use std::ptr::{null, null_mut};
use std::slice::from_raw_parts;
use std::sync::Arc;

use lmdb_sys::{self as sys, MDB_val};

use crate::database::Database;
use crate::error::{Error, Result};
use crate::opening::Inner;
use crate::options::DatabaseFlags;

/// How a value is put, as LMDB's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Put(pub(crate) c_uint);

impl Put {
    /// A key that is there is an error.
    pub const NO_OVERWRITE: Self = Self(sys::MDB_NOOVERWRITE);
    /// A pair of key and value that is there is an error.
    pub const NO_DUP_DATA: Self = Self(sys::MDB_NODUPDATA);
    /// The key is larger than all that are there.
    pub const APPEND: Self = Self(sys::MDB_APPEND);
    /// The value is larger than all of its key.
    pub const APPEND_DUP: Self = Self(sys::MDB_APPENDDUP);

    /// As LMDB counts them.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl std::ops::BitOr for Put {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

pub(crate) fn val(bytes: &[u8]) -> MDB_val {
    MDB_val { mv_size: bytes.len(), mv_data: bytes.as_ptr().cast_mut().cast() }
}

/// The bytes behind a value of LMDB's.
///
/// # Safety
/// They are there for `'a`.
pub(crate) unsafe fn bytes<'a>(value: &MDB_val) -> &'a [u8] {
    if value.mv_size == 0 {
        return &[];
    }
    // SAFETY: The caller's promise.
    unsafe { from_raw_parts(value.mv_data.cast(), value.mv_size) }
}

/// What both kinds of transactions have.
pub struct Txn {
    pub(crate) inner: Arc<Inner>,
    pub(crate) txn: *mut sys::MDB_txn,
    held: Cell<bool>,
    /// Whether it is the transaction that its thread writes with.
    writes: Cell<bool>,
}

impl Txn {
    fn begin(inner: Arc<Inner>, parent: *mut sys::MDB_txn, flags: c_uint) -> Result<Txn> {
        let mut txn = null_mut();
        // SAFETY: The environment is open and stays so; `parent` is null or a transaction that is borrowed meanwhile.
        inner.check(unsafe { sys::mdb_txn_begin(inner.env, parent, flags, &mut txn) })?;
        Ok(Txn { inner, txn, held: Cell::new(false), writes: Cell::new(false) })
    }

    /// A database's handle, if it is one of this environment.
    pub(crate) fn handle(&self, database: Database) -> Result<sys::MDB_dbi> {
        if database.opening == self.inner.opening {
            Ok(database.dbi)
        } else {
            Err(Error::Lmdb(sys::MDB_BAD_DBI))
        }
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        // SAFETY: The transaction has not ended.
        unsafe { sys::mdb_txn_id(self.txn) as u64 }
    }

    /// The value of a key; the first, if there are several. It stays until the transaction ends or writes, and so do
    /// from then on all pages that the transaction reads: [`get_to`](Self::get_to) needs less memory.
    pub fn get(&self, database: Database, key: &[u8]) -> Result<Option<&[u8]>> {
        if !self.held.replace(true) {
            // SAFETY: The transaction has not ended.
            unsafe { sys::lumo_mdb_txn_hold(self.txn) };
        }
        // SAFETY: Pages that are held stay until the transaction ends, or writes, which needs it exclusively.
        Ok(self.look(database, key)?.map(|value| unsafe { bytes(&value) }))
    }

    /// Puts the value of a key in `buffer`; returns whether there is one.
    pub fn get_to(&self, database: Database, key: &[u8], buffer: &mut Vec<u8>) -> Result<bool> {
        buffer.clear();
        let found = self.look(database, key)?;
        if let Some(value) = &found {
            // SAFETY: Nothing is done with the transaction meanwhile.
            buffer.extend_from_slice(unsafe { bytes(value) });
        }
        Ok(found.is_some())
    }

    fn look(&self, database: Database, key: &[u8]) -> Result<Option<MDB_val>> {
        let (dbi, mut key, mut value) = (self.handle(database)?, val(key), val(&[]));
        // SAFETY: The transaction has not ended; LMDB looks at the key and fills in the value.
        match unsafe { sys::mdb_get(self.txn, dbi, &mut key, &mut value) } {
            0 => Ok(Some(value)),
            sys::MDB_NOTFOUND => Ok(None),
            rc => Err(self.inner.check(rc).unwrap_err()),
        }
    }

    /// How many entries a database has, and how many pages of each kind.
    pub fn stat(&self, database: Database) -> Result<sys::MDB_stat> {
        let dbi = self.handle(database)?;
        // SAFETY: LMDB fills it in; all of it are numbers.
        unsafe {
            let mut stat = std::mem::zeroed();
            self.inner.check(sys::mdb_stat(self.txn, dbi, &mut stat))?;
            Ok(stat)
        }
    }

    /// The kind of a database.
    pub fn flags(&self, database: Database) -> Result<DatabaseFlags> {
        let (dbi, mut flags) = (self.handle(database)?, 0);
        // SAFETY: The transaction has not ended.
        self.inner.check(unsafe { sys::mdb_dbi_flags(self.txn, dbi, &mut flags) })?;
        Ok(DatabaseFlags::from_bits(flags))
    }

    pub(crate) fn open(&self, name: Option<&str>, flags: c_uint) -> Result<Database> {
        let name = name.map(CString::new).transpose().map_err(|_| Error::System(libc::EINVAL))?;
        let mut dbi = 0;
        let address = name.as_ref().map_or(null(), |name| name.as_ptr());
        // SAFETY: The name is a C string or null.
        self.inner.check(unsafe { sys::mdb_dbi_open(self.txn, address, flags, &mut dbi) })?;
        Ok(Database { dbi, opening: self.inner.opening })
    }

    /// The transaction, to be ended. Not that of a parent process, whose slot and mutex it would take along.
    fn end(&mut self) -> Option<*mut sys::MDB_txn> {
        let txn = std::mem::replace(&mut self.txn, null_mut());
        if self.writes.replace(false) {
            // Said before it ends, when the next thread may begin.
            self.inner.writing(false);
        }
        (!txn.is_null() && self.inner.is_ours()).then_some(txn)
    }
}

impl Drop for Txn {
    fn drop(&mut self) {
        if let Some(txn) = self.end() {
            // SAFETY: It has not ended, and cursors borrow it.
            unsafe { sys::mdb_txn_abort(txn) };
        }
    }
}

/// A snapshot of an environment.
pub struct ReadTxn {
    txn: Txn,
}

// SAFETY: Environments are opened with MDB_NOTLS, so a snapshot is of no thread. `Txn` is not `Sync`.
unsafe impl Send for ReadTxn {}

impl std::ops::Deref for ReadTxn {
    type Target = Txn;

    fn deref(&self) -> &Txn {
        &self.txn
    }
}

impl ReadTxn {
    pub(crate) fn begin(inner: Arc<Inner>) -> Result<ReadTxn> {
        Ok(ReadTxn { txn: Txn::begin(inner, null_mut(), sys::MDB_RDONLY)? })
    }

    pub(crate) fn open_database(&self, name: Option<&str>) -> Result<Database> {
        self.txn.open(name, 0)
    }

    /// Ends it and begins anew at the newest state, without giving up its slot.
    pub fn renew(&mut self) -> Result<()> {
        self.txn.held.set(false);
        // SAFETY: Nothing borrows the transaction.
        let rc = unsafe {
            sys::mdb_txn_reset(self.txn.txn);
            sys::mdb_txn_renew(self.txn.txn)
        };
        self.txn.inner.check(rc)
    }

    pub(crate) fn commit(mut self) -> Result<()> {
        match self.txn.end() {
            // SAFETY: It has not ended.
            Some(txn) => self.txn.inner.check(unsafe { sys::mdb_txn_commit(txn) }),
            None => Err(Error::Lmdb(sys::MDB_BAD_TXN)),
        }
    }
}

/// The transaction that may write, or one within it. It stays in its thread, which owns the mutex.
pub struct WriteTxn<'parent> {
    txn: Txn,
    nested: bool,
    parent: PhantomData<(&'parent mut (), *mut ())>,
}

impl std::ops::Deref for WriteTxn<'_> {
    type Target = Txn;

    fn deref(&self) -> &Txn {
        &self.txn
    }
}

impl WriteTxn<'_> {
    pub(crate) fn begin(inner: Arc<Inner>) -> Result<WriteTxn<'static>> {
        inner.before_write()?;
        let txn = Txn::begin(inner, null_mut(), 0)?;
        txn.inner.writing(true);
        txn.writes.set(true);
        Ok(WriteTxn { txn, nested: false, parent: PhantomData })
    }

    /// A transaction within this one.
    pub fn nested(&mut self) -> Result<WriteTxn<'_>> {
        let txn = Txn::begin(self.txn.inner.clone(), self.txn.txn, 0)?;
        Ok(WriteTxn { txn, nested: true, parent: PhantomData })
    }

    /// A database, whose handle is good for this transaction, and afterwards if it is committed.
    pub fn open_database(
        &mut self,
        name: Option<&str>,
        flags: DatabaseFlags,
        create: bool,
    ) -> Result<Database> {
        self.txn.open(name, flags.0 | if create { sys::MDB_CREATE } else { 0 })
    }

    /// Puts a value. Returns whether it was put: with [`Put::NO_OVERWRITE`] and [`Put::NO_DUP_DATA`] it may be there.
    pub fn put(&mut self, database: Database, key: &[u8], value: &[u8], how: Put) -> Result<bool> {
        let (dbi, mut key, mut value) = (self.handle(database)?, val(key), val(value));
        // SAFETY: The transaction has not ended; LMDB copies both.
        match unsafe { sys::mdb_put(self.txn.txn, dbi, &mut key, &mut value, how.0) } {
            0 => Ok(true),
            sys::MDB_KEYEXIST => Ok(false),
            rc => Err(self.txn.inner.check(rc).unwrap_err()),
        }
    }

    /// Removes a key, or one value of it. Returns whether it was there.
    pub fn delete(&mut self, database: Database, key: &[u8], value: Option<&[u8]>) -> Result<bool> {
        let (dbi, mut key, mut one) = (self.handle(database)?, val(key), value.map(val));
        let value = one.as_mut().map_or(null_mut(), |value| &raw mut *value);
        // SAFETY: The transaction has not ended; LMDB looks at both.
        match unsafe { sys::mdb_del(self.txn.txn, dbi, &mut key, value) } {
            0 => Ok(true),
            sys::MDB_NOTFOUND => Ok(false),
            rc => Err(self.txn.inner.check(rc).unwrap_err()),
        }
    }

    /// Removes everything in a database.
    pub fn clear(&mut self, database: Database) -> Result<()> {
        let dbi = self.handle(database)?;
        // SAFETY: The transaction has not ended.
        self.txn.inner.check(unsafe { sys::mdb_drop(self.txn.txn, dbi, 0) })
    }

    /// Writes everything but the meta page: after this only [`commit`](Self::commit) is left, and it can hardly fail.
    pub fn prepare(&mut self) -> Result<()> {
        if self.nested {
            return Err(Error::Refused("only a whole transaction can be prepared, not one within another"));
        }
        // SAFETY: The transaction has not ended. If it fails it has.
        let rc = unsafe { sys::mdb_txn_prepare(self.txn.txn) };
        if rc != 0 && rc != sys::MDB_TXN_PENDING {
            self.txn.txn = null_mut();
        }
        self.txn.inner.check(rc)
    }

    /// Commits. Whatever happens, the transaction has ended.
    pub fn commit(mut self) -> Result<()> {
        match self.txn.end() {
            // SAFETY: It has not ended, and cursors borrow it.
            Some(txn) => self.txn.inner.check(unsafe { sys::mdb_txn_commit(txn) }),
            None => Err(Error::Lmdb(sys::MDB_BAD_TXN)),
        }
    }

    /// Gives everything up that it did.
    pub fn abort(self) {}
}
