//! `Environment` and its databases.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use lumo_lmdb::raw::RawEnvironment;
use lumo_lmdb::{DatabaseFlags, Durability, Identity, Options, Protection, sys};
use crypto::{Secret, SuiteId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::errors::{raise, refuse};
use crate::state::{Shared, Spares, end_spares};
use crate::transaction::Transaction;

/// A database of an environment.
#[pyclass(frozen, name = "_Database", module = "lumocrypt.lmdb")]
pub struct Database {
    pub dbi: sys::MDB_dbi,
    pub opening: u64,
    pub flags: u32,
}

#[pymethods]
impl Database {
    /// The kind of the database.
    #[pyo3(signature = (txn=None))]
    fn flags<'py>(&self, py: Python<'py>, txn: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyDict>> {
        let _ = txn;
        let has = |flag: DatabaseFlags| DatabaseFlags::from_bits(self.flags).contains(flag);
        let dict = PyDict::new(py);
        dict.set_item("reverse_key", has(DatabaseFlags::REVERSE_KEY))?;
        dict.set_item("dupsort", has(DatabaseFlags::DUP_SORT))?;
        dict.set_item("integerkey", has(DatabaseFlags::INTEGER_KEY))?;
        dict.set_item("dupfixed", has(DatabaseFlags::DUP_FIXED))?;
        dict.set_item("integerdup", has(DatabaseFlags::INTEGER_DUP))?;
        dict.set_item("reversedup", has(DatabaseFlags::REVERSE_DUP))?;
        Ok(dict)
    }
}

/// A database's name, in one opening of the environment.
type Named = (u64, Option<Vec<u8>>);

/// An environment.
#[pyclass(frozen, weakref, module = "lumocrypt.lmdb")]
pub struct Environment {
    env: Mutex<Option<lumo_lmdb::Environment>>,
    closed: Arc<AtomicBool>,
    spares: Arc<Spares>,
    databases: Mutex<HashMap<Named, Py<Database>>>,
    /// The nameless one, which most transactions begin with.
    main: Mutex<Option<Py<Database>>>,
    path: PathBuf,
    read_only: bool,
}

impl Environment {
    pub fn open(&self) -> PyResult<lumo_lmdb::Environment> {
        let env = self.env.lock().unwrap_or_else(PoisonError::into_inner);
        env.clone().ok_or_else(|| refuse("attempt to operate on closed/deleted/dropped object"))
    }

    pub fn shared(&self) -> Shared {
        (self.closed.clone(), self.spares.clone())
    }

    /// The nameless database, as it is open in this process.
    fn main(slf: &Bound<'_, Self>) -> PyResult<Py<Database>> {
        let this = slf.get();
        let opening = this.open()?.raw().map_err(|failure| raise("begin", &failure))?.opening();
        let known = this.main.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(main) = known.as_ref().filter(|main| main.get().opening == opening) {
            return Ok(main.clone_ref(slf.py()));
        }
        drop(known);
        let main = Self::open_db(slf, None, None, false, false, true, false, false, false)?;
        *this.main.lock().unwrap_or_else(PoisonError::into_inner) = Some(main.clone_ref(slf.py()));
        Ok(main)
    }

    /// A spare snapshot, at the newest state.
    pub fn spare(&self, raw: &RawEnvironment) -> Option<*mut sys::MDB_txn> {
        let (opening, txn) = self.spares.borrow_mut().pop()?;
        if opening != raw.opening() {
            // Of a parent process: its slot is the parent's.
            return None;
        }
        // SAFETY: It was reset, is of this environment, and nobody else has it.
        unsafe {
            if sys::mdb_txn_renew(txn) == 0 {
                return Some(txn);
            }
            sys::mdb_txn_abort(txn);
        }
        None
    }

    fn stat_dict<'py>(py: Python<'py>, stat: &sys::MDB_stat) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("psize", stat.ms_psize)?;
        dict.set_item("depth", stat.ms_depth)?;
        dict.set_item("branch_pages", stat.ms_branch_pages)?;
        dict.set_item("leaf_pages", stat.ms_leaf_pages)?;
        dict.set_item("overflow_pages", stat.ms_overflow_pages)?;
        dict.set_item("entries", stat.ms_entries)?;
        Ok(dict)
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.close();
    }
}

/// The dictionary of a database's numbers.
pub fn stat_dict<'py>(py: Python<'py>, stat: &sys::MDB_stat) -> PyResult<Bound<'py, PyDict>> {
    Environment::stat_dict(py, stat)
}

/// Opens an environment under a data key of 32 bytes; without one, with checksums.
///
/// What passphrases, keyslots and the header region become is for `lumocrypt.lmdb` to say, above this.
#[pyfunction]
#[pyo3(signature = (path, key=None, *, uuid=None, key_id=None, cipher="aegis-256x2", header_len=0, page_size=None,
    cache_size=67_108_864, map_size=70_368_744_177_664, readonly=false, metasync=true, sync=true, readahead=true,
    max_readers=4096, max_dbs=32, lock=true, mode=0o600))]
#[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
pub fn open_raw(
    path: PathBuf,
    key: Option<&[u8]>,
    uuid: Option<[u8; 16]>,
    key_id: Option<[u8; 16]>,
    cipher: &str,
    header_len: usize,
    page_size: Option<u32>,
    cache_size: usize,
    map_size: usize,
    readonly: bool,
    metasync: bool,
    sync: bool,
    readahead: bool,
    max_readers: u32,
    max_dbs: u32,
    lock: bool,
    mode: u32,
) -> PyResult<Environment> {
    let protection = match key {
        None => Protection::Checksum,
        Some(key) => Protection::Sealed {
            suite: SuiteId::from_name(cipher)
                .ok_or_else(|| PyValueError::new_err(format!("no cipher {cipher}")))?,
            key: Secret::from_slice(key).ok_or_else(|| PyValueError::new_err("a data key has 32 bytes"))?,
        },
    };
    let identity = Identity { uuid: uuid.unwrap_or_default(), key_id: key_id.unwrap_or_default() };
    let mut options = Options::new(protection, identity)
        .header_len(header_len)
        .cache_size(cache_size)
        .map_size(map_size)
        .read_only(readonly)
        .readahead(readahead)
        .max_readers(max_readers)
        .max_dbs(max_dbs)
        .lock(lock)
        .mode(mode)
        .durability(match (sync, metasync) {
            (false, _) => Durability::NoSync,
            (true, false) => Durability::NoMetaSync,
            (true, true) => Durability::Full,
        });
    if let Some(bytes) = page_size {
        options = options.page_size(bytes);
    }
    let env = options.open(&path).map_err(|failure| raise("open", &failure))?;
    Ok(Environment {
        env: Mutex::new(Some(env)),
        closed: Arc::default(),
        spares: Arc::new(Spares::new(RefCell::default())),
        databases: Mutex::default(),
        main: Mutex::default(),
        path,
        read_only: readonly,
    })
}

/// LMDB's version.
#[pyfunction]
pub fn version() -> (c_int, c_int, c_int) {
    let mut version = (0, 0, 0);
    // SAFETY: LMDB fills in the three numbers.
    unsafe { sys::mdb_version(&mut version.0, &mut version.1, &mut version.2) };
    version
}

#[pymethods]
impl Environment {
    /// Begins a transaction.
    #[pyo3(signature = (db=None, parent=None, write=false, buffers=false))]
    pub fn begin(
        slf: &Bound<'_, Self>,
        db: Option<Bound<'_, Database>>,
        parent: Option<Bound<'_, Transaction>>,
        write: bool,
        buffers: bool,
    ) -> PyResult<Transaction> {
        let db = match db {
            Some(db) => db.unbind(),
            None => Self::main(slf)?,
        };
        Transaction::begin(slf, db, parent.as_ref(), write, buffers)
    }

    /// Opens a database, or creates it.
    #[pyo3(signature = (key=None, txn=None, reverse_key=false, dupsort=false, create=true, integerkey=false,
        integerdup=false, dupfixed=false))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
    fn open_db(
        slf: &Bound<'_, Self>,
        key: Option<&[u8]>,
        txn: Option<Bound<'_, Transaction>>,
        reverse_key: bool,
        dupsort: bool,
        create: bool,
        integerkey: bool,
        integerdup: bool,
        dupfixed: bool,
    ) -> PyResult<Py<Database>> {
        let this = slf.get();
        let raw = this.open()?.raw().map_err(|failure| raise("open_db", &failure))?;
        let name = (raw.opening(), key.map(<[u8]>::to_vec));
        if let Some(there) = this.databases.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(there.clone_ref(slf.py()));
        }
        let when = |on: bool, flag: u32| if on { flag } else { 0 };
        let flags = when(reverse_key, sys::MDB_REVERSEKEY)
            | when(dupsort, sys::MDB_DUPSORT)
            | when(integerkey, sys::MDB_INTEGERKEY)
            | when(integerdup, sys::MDB_INTEGERDUP | sys::MDB_DUPFIXED | sys::MDB_DUPSORT)
            | when(dupfixed, sys::MDB_DUPFIXED | sys::MDB_DUPSORT)
            | when(create && !this.read_only && key.is_some(), sys::MDB_CREATE);
        let opened = match txn {
            Some(txn) => txn.get().open_database(key, flags)?,
            None => Transaction::open_database_alone(slf, key, flags, !this.read_only && key.is_some())?,
        };
        let opened = Py::new(slf.py(), opened)?;
        let mut databases = this.databases.lock().unwrap_or_else(PoisonError::into_inner);
        databases.insert(name, opened.clone_ref(slf.py()));
        Ok(opened)
    }

    /// Closes the environment. Its transactions and cursors cannot be used any more.
    fn close(&self) {
        self.closed.store(true, Relaxed);
        if let Ok(Ok(raw)) = self.open().map(|env| env.raw()) {
            end_spares(&self.spares, &raw);
        }
        self.env.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.databases.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Where it is.
    fn path<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        (&self.path).into_pyobject(py)?.str()
    }

    /// The numbers of the nameless database.
    fn stat<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let raw = slf.get().open()?.raw().map_err(|failure| raise("stat", &failure))?;
        // SAFETY: LMDB fills it in; all of it are numbers.
        let stat = unsafe {
            let mut stat = std::mem::zeroed();
            sys::mdb_env_stat(raw.as_ptr(), &mut stat);
            stat
        };
        Self::stat_dict(slf.py(), &stat)
    }

    /// Numbers about the environment.
    fn info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let info = slf.get().open()?.info().map_err(|failure| raise("info", &failure))?;
        let dict = PyDict::new(slf.py());
        dict.set_item("map_addr", 0)?;
        dict.set_item("map_size", info.map_size)?;
        dict.set_item("last_pgno", info.last_page)?;
        dict.set_item("last_txnid", info.last_txn)?;
        dict.set_item("max_readers", info.max_readers)?;
        dict.set_item("num_readers", info.readers)?;
        dict.set_item("cache_bytes", info.cache.bytes)?;
        dict.set_item("cache_limit", info.cache.limit)?;
        Ok(dict)
    }

    /// The longest key.
    fn max_key_size(&self) -> PyResult<u32> {
        Ok(self.open()?.info().map_err(|failure| raise("info", &failure))?.max_key)
    }

    /// How many readers there may be.
    fn max_readers(&self) -> PyResult<u32> {
        Ok(self.open()?.info().map_err(|failure| raise("info", &failure))?.max_readers)
    }

    /// The table of readers, as text.
    fn readers(&self) -> PyResult<String> {
        unsafe extern "C" fn line(text: *const c_char, lines: *mut c_void) -> c_int {
            // SAFETY: LMDB gives a C string and what it was given, the `String` below.
            unsafe { (*lines.cast::<String>()).push_str(&CStr::from_ptr(text).to_string_lossy()) };
            0
        }
        let raw = self.open()?.raw().map_err(|failure| raise("readers", &failure))?;
        let mut lines = String::new();
        // SAFETY: The environment is open; `lines` is there meanwhile.
        unsafe { sys::mdb_reader_list(raw.as_ptr(), Some(line), (&raw mut lines).cast()) };
        Ok(lines)
    }

    /// Frees the slots of readers that died.
    fn reader_check(&self) -> PyResult<u32> {
        self.open()?.check_readers().map_err(|failure| raise("mdb_reader_check", &failure))
    }

    /// Makes everything durable that was committed.
    #[pyo3(signature = (force=false))]
    fn sync(&self, py: Python<'_>, force: bool) -> PyResult<()> {
        let _ = force;
        let env = self.open()?;
        py.detach(|| env.sync()).map_err(|failure| raise("mdb_env_sync", &failure))
    }

    /// Copies the environment into a file that does not exist yet: as it is, or smaller with `compact`.
    #[pyo3(signature = (path, compact=false))]
    fn copy(&self, py: Python<'_>, path: PathBuf, compact: bool) -> PyResult<()> {
        let env = self.open()?;
        let failed = |failure| raise("copy", &failure);
        if compact {
            return py.detach(|| env.copy_compact_alike(&path)).map_err(failed);
        }
        let file = std::fs::File::create_new(&path)?;
        py.detach(|| env.copy_plain(&file)).map_err(failed)
    }

    /// How it was opened.
    fn flags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let raw = self.open()?.raw().map_err(|failure| raise("flags", &failure))?;
        let mut flags = 0;
        // SAFETY: The environment is open.
        unsafe { sys::mdb_env_get_flags(raw.as_ptr(), &mut flags) };
        let dict = PyDict::new(py);
        dict.set_item("subdir", flags & sys::MDB_NOSUBDIR == 0)?;
        dict.set_item("readonly", flags & sys::MDB_RDONLY != 0)?;
        dict.set_item("metasync", flags & sys::MDB_NOMETASYNC == 0)?;
        dict.set_item("sync", flags & sys::MDB_NOSYNC == 0)?;
        dict.set_item("map_async", false)?;
        dict.set_item("readahead", flags & sys::MDB_NORDAHEAD == 0)?;
        dict.set_item("writemap", false)?;
        dict.set_item("meminit", true)?;
        dict.set_item("lock", flags & sys::MDB_NOLOCK == 0)?;
        Ok(dict)
    }

    /// The limit on the environment's growth; no more than that.
    fn set_mapsize(&self, map_size: usize) -> PyResult<()> {
        let raw = self.open()?.raw().map_err(|failure| raise("set_mapsize", &failure))?;
        // SAFETY: The environment is open.
        raw.check(unsafe { sys::mdb_env_set_mapsize(raw.as_ptr(), map_size) })
            .map_err(|failure| raise("mdb_env_set_mapsize", &failure))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, _args: &Bound<'_, pyo3::types::PyTuple>) {
        self.close();
    }
}

/// Begins a transaction, without the interpreter's lock: a writer may have to wait.
pub fn begin(
    py: Python<'_>,
    raw: &RawEnvironment,
    parent: *mut sys::MDB_txn,
    write: bool,
) -> PyResult<*mut sys::MDB_txn> {
    let flags = if write { 0 } else { sys::MDB_RDONLY };
    let mut txn = null_mut();
    if write && parent.is_null() {
        let address = py.detach(|| {
            raw.before_write()?;
            let mut txn = null_mut();
            // SAFETY: The environment is open.
            raw.check(unsafe { sys::mdb_txn_begin(raw.as_ptr(), null_mut(), flags, &mut txn) })?;
            raw.writing(true);
            Ok(txn as usize)
        });
        return address.map(|address| address as *mut _).map_err(|failure| raise("mdb_txn_begin", &failure));
    }
    // SAFETY: The environment is open, and so is the parent, if there is one.
    raw.check(unsafe { sys::mdb_txn_begin(raw.as_ptr(), parent, flags, &mut txn) })
        .map_err(|failure| raise("mdb_txn_begin", &failure))?;
    Ok(txn)
}
