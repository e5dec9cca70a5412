//! `Transaction`.

use std::ffi::CString;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use lumo_lmdb::sys;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::bytes::{Given, empty, give};
use crate::cursor::Cursor;
use crate::environment::{Database, Environment, begin, stat_dict};
use crate::errors::{invalid, raise, refuse};
use crate::state::{Guarded, TxnState};

/// A transaction of an environment.
#[pyclass(frozen, weakref, module = "lumocrypt.lmdb")]
pub struct Transaction {
    pub state: Arc<Guarded<TxnState>>,
    db: Py<Database>,
    pub buffers: bool,
    /// What must not go before.
    #[allow(dead_code)]
    env: Py<Environment>,
    #[allow(dead_code)]
    parent: Option<Py<Transaction>>,
}

/// LMDB's flags of a put.
pub fn put_flags(database: &Database, dupdata: bool, overwrite: bool, append: bool) -> u32 {
    let when = |on: bool, flag: u32| if on { flag } else { 0 };
    let sorted = database.flags & sys::MDB_DUPSORT != 0;
    when(!dupdata, sys::MDB_NODUPDATA)
        | when(!overwrite, sys::MDB_NOOVERWRITE)
        | when(append, if sorted { sys::MDB_APPENDDUP } else { sys::MDB_APPEND })
}

impl Transaction {
    pub fn begin(
        env: &Bound<'_, Environment>,
        db: Py<Database>,
        parent: Option<&Bound<'_, Transaction>>,
        write: bool,
        buffers: bool,
    ) -> PyResult<Transaction> {
        let raw = env.get().open()?.raw().map_err(|failure| raise("begin", &failure))?;
        let outer = parent.map_or(Ok(null_mut()), |parent| parent.get().state.ptr())?;
        if !outer.is_null() && !write {
            return Err(invalid("a transaction within another one writes: pass write=True"));
        }
        if parent.is_some_and(|parent| parent.get().state.env.opening() != raw.opening()) {
            return Err(invalid("the parent is a transaction of another environment"));
        }
        let spare = if write { None } else { env.get().spare(&raw) };
        let txn = spare.map_or_else(|| begin(env.py(), &raw, outer, write), Ok)?;
        let state =
            Arc::new(Guarded::new(TxnState::new(raw, env.get().shared(), txn, write, !outer.is_null())));
        if let Some(parent) = parent {
            parent.get().state.set_within(&state);
        }
        let parent = parent.map(|parent| parent.clone().unbind());
        Ok(Transaction { state, db, buffers, env: env.clone().unbind(), parent })
    }

    /// Opens a database in a transaction of its own.
    pub fn open_database_alone(
        env: &Bound<'_, Environment>,
        name: Option<&[u8]>,
        flags: u32,
        write: bool,
    ) -> PyResult<Database> {
        let raw = env.get().open()?.raw().map_err(|failure| raise("open_db", &failure))?;
        let txn = begin(env.py(), &raw, null_mut(), write)?;
        let state = TxnState::new(raw, env.get().shared(), txn, write, false);
        let database = open_in(&state, name, flags)?;
        state.opened.set(true);
        end(&state, env.py())?;
        Ok(database)
    }

    pub fn open_database(&self, name: Option<&[u8]>, flags: u32) -> PyResult<Database> {
        let flags = if self.state.write { flags } else { flags & !sys::MDB_CREATE };
        self.state.opened.set(true);
        open_in(&self.state, name, flags)
    }

    /// The handle of the database that was given, or of the transaction's own.
    fn database<'a>(&'a self, db: Option<&'a Bound<'_, Database>>) -> PyResult<&'a Database> {
        let database = db.map_or_else(|| self.db.get(), Bound::get);
        if database.opening != self.state.env.opening() {
            return Err(refuse(
                "the database is one of another environment, or of a process that this one was forked from",
            ));
        }
        Ok(database)
    }

    /// The value of a key, if there is one.
    fn look(&self, database: &Database, key: &Given<'_>) -> PyResult<Option<sys::MDB_val>> {
        let (mut key, mut value) = (key.val(), empty());
        // SAFETY: The transaction has not ended; LMDB looks at the key and fills in the value.
        match unsafe { sys::mdb_get(self.state.ptr()?, database.dbi, &mut key, &mut value) } {
            0 => Ok(Some(value)),
            sys::MDB_NOTFOUND => Ok(None),
            rc => Err(self.state.check("mdb_get", rc).unwrap_err()),
        }
    }

    fn remove(&self, database: &Database, key: &Given<'_>, value: Option<&Given<'_>>) -> PyResult<bool> {
        let (mut key, mut one) = (key.val(), value.map(Given::val));
        let value = one.as_mut().map_or(null_mut(), |value| &raw mut *value);
        self.state.writes.set(self.state.writes.get() + 1);
        // SAFETY: The transaction has not ended; LMDB looks at both.
        match unsafe { sys::mdb_del(self.state.ptr()?, database.dbi, &mut key, value) } {
            0 => Ok(true),
            sys::MDB_NOTFOUND => Ok(false),
            rc => Err(self.state.check("mdb_del", rc).unwrap_err()),
        }
    }
}

fn open_in(state: &TxnState, name: Option<&[u8]>, flags: u32) -> PyResult<Database> {
    let name = name.map(CString::new).transpose()?;
    let address = name.as_ref().map_or(null(), |name| name.as_ptr());
    let (txn, mut dbi, mut kind) = (state.ptr()?, 0, 0);
    // SAFETY: The transaction has not ended; the name is a C string or null.
    unsafe {
        state.check("mdb_dbi_open", sys::mdb_dbi_open(txn, address, flags, &mut dbi))?;
        state.check("mdb_dbi_flags", sys::mdb_dbi_flags(txn, dbi, &mut kind))?;
    }
    Ok(Database { dbi, opening: state.env.opening(), flags: kind })
}

/// Commits, without the interpreter's lock.
fn end(state: &TxnState, py: Python<'_>) -> PyResult<()> {
    state.ptr()?;
    if !state.write && !state.opened.get() {
        state.abort();
        return Ok(());
    }
    let Some(txn) = state.take() else {
        return Err(refuse("attempt to operate on closed/deleted/dropped object"));
    };
    if state.nested {
        // Its parent must not end meanwhile, so the interpreter's lock is kept. Nothing is written to the file.
        // SAFETY: It has not ended, and nobody else has it any more.
        return state.check("mdb_txn_commit", unsafe { sys::mdb_txn_commit(txn) });
    }
    let address = txn as usize;
    // SAFETY: It has not ended, and nobody else has it any more.
    let rc = py.detach(|| unsafe { sys::mdb_txn_commit(address as *mut sys::MDB_txn) });
    state.check("mdb_txn_commit", rc)
}

#[pymethods]
impl Transaction {
    /// As `Environment.begin`.
    #[new]
    #[pyo3(signature = (env, db=None, parent=None, write=false, buffers=false))]
    fn new(
        env: &Bound<'_, Environment>,
        db: Option<Bound<'_, Database>>,
        parent: Option<Bound<'_, Transaction>>,
        write: bool,
        buffers: bool,
    ) -> PyResult<Transaction> {
        Environment::begin(env, db, parent, write, buffers)
    }

    /// The value of a key; the first, if there are several.
    #[pyo3(signature = (key, default=None, db=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
        db: Option<Bound<'py, Database>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.look(self.database(db.as_ref())?, &Given::of(key)?)? {
            // SAFETY: Nothing was done since.
            Some(value) => unsafe { give(py, &value, self.buffers) }.map(Some),
            None => Ok(default),
        }
    }

    /// Puts a value. Returns whether it was put.
    #[pyo3(signature = (key, value, dupdata=true, overwrite=true, append=false, db=None))]
    #[allow(clippy::fn_params_excessive_bools)]
    fn put(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        dupdata: bool,
        overwrite: bool,
        append: bool,
        db: Option<Bound<'_, Database>>,
    ) -> PyResult<bool> {
        let (key, value, database) = (Given::of(key)?, Given::of(value)?, self.database(db.as_ref())?);
        let (mut key, mut value) = (key.val(), value.val());
        let flags = put_flags(database, dupdata, overwrite, append);
        self.state.writes.set(self.state.writes.get() + 1);
        // SAFETY: The transaction has not ended; LMDB copies both.
        match unsafe { sys::mdb_put(self.state.ptr()?, database.dbi, &mut key, &mut value, flags) } {
            0 => Ok(true),
            sys::MDB_KEYEXIST => Ok(false),
            rc => Err(self.state.check("mdb_put", rc).unwrap_err()),
        }
    }

    /// Removes a key, or one value of it. Returns whether it was there.
    #[pyo3(signature = (key, value=None, db=None))]
    fn delete(
        &self,
        key: &Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        db: Option<Bound<'_, Database>>,
    ) -> PyResult<bool> {
        let value = value.as_ref().map(Given::of).transpose()?.filter(|value| !value.is_empty());
        self.remove(self.database(db.as_ref())?, &Given::of(key)?, value.as_ref())
    }

    /// Removes a key and returns its value.
    #[pyo3(signature = (key, db=None))]
    fn pop<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        db: Option<Bound<'py, Database>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (database, key) = (self.database(db.as_ref())?, Given::of(key)?);
        let Some(value) = self.look(database, &key)? else { return Ok(None) };
        // SAFETY: Nothing was done since.
        let popped = unsafe { give(py, &value, self.buffers) }?;
        let one = Given::of(&popped)?;
        self.remove(database, &key, (database.flags & sys::MDB_DUPSORT != 0).then_some(&one))?;
        Ok(Some(popped))
    }

    /// Puts a value and returns the one before.
    #[pyo3(signature = (key, value, db=None))]
    fn replace<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        db: Option<Bound<'py, Database>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let database = self.database(db.as_ref())?;
        let old = if database.flags & sys::MDB_DUPSORT != 0 {
            self.pop(py, key, db.clone())?
        } else {
            let found = self.look(database, &Given::of(key)?)?;
            // SAFETY: Nothing was done since.
            found.map(|value| unsafe { give(py, &value, self.buffers) }).transpose()?
        };
        self.put(key, value, true, true, false, db)?;
        Ok(old)
    }

    /// Removes everything in a database, and the database itself.
    #[pyo3(signature = (db, delete=true))]
    fn drop(&self, db: Bound<'_, Database>, delete: bool) -> PyResult<()> {
        let database = self.database(Some(&db))?;
        self.state.writes.set(self.state.writes.get() + 1);
        // SAFETY: The transaction has not ended.
        let rc = unsafe { sys::mdb_drop(self.state.ptr()?, database.dbi, i32::from(delete)) };
        self.state.check("mdb_drop", rc)
    }

    /// A cursor on a database.
    #[pyo3(signature = (db=None))]
    fn cursor(slf: &Bound<'_, Self>, db: Option<Bound<'_, Database>>) -> PyResult<Cursor> {
        let this = slf.get();
        let database = this.database(db.as_ref())?;
        let state = this.state.open_cursor(database.dbi)?;
        let db = db.map_or_else(|| this.db.clone_ref(slf.py()), Bound::unbind);
        Ok(Cursor::new(slf.clone().unbind(), db, state))
    }

    /// The numbers of a database.
    #[pyo3(signature = (db=None))]
    fn stat<'py>(&self, py: Python<'py>, db: Option<Bound<'py, Database>>) -> PyResult<Bound<'py, PyDict>> {
        let database = self.database(db.as_ref())?;
        // SAFETY: LMDB fills it in; all of it are numbers.
        let stat = unsafe {
            let mut stat = std::mem::zeroed();
            self.state.check("mdb_stat", sys::mdb_stat(self.state.ptr()?, database.dbi, &mut stat))?;
            stat
        };
        stat_dict(py, &stat)
    }

    /// The transaction's number.
    fn id(&self) -> PyResult<usize> {
        // SAFETY: The transaction has not ended.
        Ok(unsafe { sys::mdb_txn_id(self.state.ptr()?) })
    }

    /// Commits.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        end(&self.state, py)
    }

    /// Gives everything up that it did.
    fn abort(&self) {
        self.state.abort();
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (kind=None, *_args))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Option<Bound<'_, PyAny>>,
        _args: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        match kind {
            None if self.state.ptr().is_ok() => self.commit(py),
            _ => {
                self.abort();
                Ok(())
            }
        }
    }
}
