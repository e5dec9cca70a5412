//! `Cursor` and its iterators.

use std::cell::Cell;
use std::sync::Arc;

use lumo_lmdb::sys;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::bytes::{Given, copy, empty, give, wrap};
use crate::environment::Database;
use crate::errors::refuse;
use crate::state::{CursorState, Guarded};
use crate::transaction::{Transaction, put_flags};

/// Where a cursor is.
struct Position {
    key: Cell<sys::MDB_val>,
    value: Cell<sys::MDB_val>,
    positioned: Cell<bool>,
    /// The transaction's writes when it looked.
    seen: Cell<u64>,
}

/// A cursor in a transaction.
#[pyclass(frozen, weakref, module = "lumocrypt.lmdb")]
pub struct Cursor {
    txn: Py<Transaction>,
    db: Py<Database>,
    cursor: Arc<CursorState>,
    position: Guarded<Position>,
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.txn.get().state.close_cursor(&self.cursor);
    }
}

impl Cursor {
    pub fn new(txn: Py<Transaction>, db: Py<Database>, cursor: Arc<CursorState>) -> Cursor {
        let position = Position {
            key: Cell::new(empty()),
            value: Cell::new(empty()),
            positioned: Cell::new(false),
            seen: Cell::new(0),
        };
        Cursor { txn, db, cursor, position: Guarded::new(position) }
    }

    fn ptr(&self) -> PyResult<*mut sys::MDB_cursor> {
        let cursor = self.cursor.get();
        self.txn.get().state.ptr()?;
        if cursor.is_null() {
            return Err(refuse("attempt to operate on closed/deleted/dropped object"));
        }
        Ok(cursor)
    }

    /// Moves; returns whether it is anywhere.
    fn go(&self, op: sys::MDB_cursor_op, mut key: sys::MDB_val, mut value: sys::MDB_val) -> PyResult<bool> {
        // SAFETY: Cursor and transaction are there.
        let rc = unsafe { sys::mdb_cursor_get(self.ptr()?, &mut key, &mut value, op) };
        let state = &self.txn.get().state;
        self.position.seen.set(state.writes.get());
        self.position.positioned.set(rc == 0);
        self.position.key.set(if rc == 0 { key } else { empty() });
        self.position.value.set(if rc == 0 { value } else { empty() });
        match rc {
            0 => Ok(true),
            // What LMDB says of a cursor that is nowhere.
            sys::MDB_NOTFOUND => Ok(false),
            libc::EINVAL if op == sys::MDB_GET_CURRENT => Ok(false),
            rc => Err(state.check("mdb_cursor_get", rc).unwrap_err()),
        }
    }

    fn step(&self, op: sys::MDB_cursor_op) -> PyResult<bool> {
        self.go(op, empty(), empty())
    }

    /// Looks again if something was written since.
    fn refresh(&self) -> PyResult<()> {
        self.ptr()?;
        if self.position.seen.get() != self.txn.get().state.writes.get() && self.position.positioned.get() {
            self.step(sys::MDB_GET_CURRENT)?;
        }
        Ok(())
    }

    fn part<'py>(&self, py: Python<'py>, part: &Cell<sys::MDB_val>) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: The cursor keeps its pages until it moves, and looked again if something was written.
        unsafe { give(py, &part.get(), self.txn.get().buffers) }
    }

    /// Key and value. Both are copied before anything else: wrapping them may run code that closes the cursor.
    fn both<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        // SAFETY: As in `part`.
        let (key, value) =
            unsafe { (copy(py, &self.position.key.get()), copy(py, &self.position.value.get())) };
        let buffers = self.txn.get().buffers;
        PyTuple::new(py, [wrap(key, buffers)?, wrap(value, buffers)?])
    }

    fn wrote(&self) {
        let state = &self.txn.get().state;
        state.writes.set(state.writes.get() + 1);
    }

    fn put_one(&self, key: &Given<'_>, value: &Given<'_>, flags: u32) -> PyResult<bool> {
        let (mut key, mut value) = (key.val(), value.val());
        self.wrote();
        // SAFETY: Cursor and transaction are there; LMDB copies both.
        match unsafe { sys::mdb_cursor_put(self.ptr()?, &mut key, &mut value, flags) } {
            0 => {
                self.position.positioned.set(true);
                Ok(true)
            }
            sys::MDB_KEYEXIST => Ok(false),
            rc => Err(self.txn.get().state.check("mdb_cursor_put", rc).unwrap_err()),
        }
    }

    fn iterate(
        slf: &Bound<'_, Self>,
        first: Option<sys::MDB_cursor_op>,
        op: sys::MDB_cursor_op,
        keys: bool,
        values: bool,
    ) -> PyResult<Entries> {
        if let (Some(first), false) = (first, slf.get().position.positioned.get()) {
            slf.get().step(first)?;
        }
        Ok(Entries {
            cursor: slf.clone().unbind(),
            op,
            keys,
            values,
            state: Guarded::new(Cell::new(Iteration::New)),
        })
    }
}

#[pymethods]
impl Cursor {
    /// Closes it.
    fn close(&self) {
        self.txn.get().state.close_cursor(&self.cursor);
    }

    /// The key where it is.
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.refresh()?;
        self.part(py, &self.position.key)
    }

    /// The value where it is.
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.refresh()?;
        self.part(py, &self.position.value)
    }

    /// Both.
    fn item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.refresh()?;
        self.both(py)
    }

    /// To the first entry.
    fn first(&self) -> PyResult<bool> {
        self.step(sys::MDB_FIRST)
    }

    /// To the last entry.
    fn last(&self) -> PyResult<bool> {
        self.step(sys::MDB_LAST)
    }

    /// To the next entry.
    fn next(&self) -> PyResult<bool> {
        self.step(sys::MDB_NEXT)
    }

    /// To the entry before.
    fn prev(&self) -> PyResult<bool> {
        self.step(sys::MDB_PREV)
    }

    /// To the key's first value.
    fn first_dup(&self) -> PyResult<bool> {
        self.step(sys::MDB_FIRST_DUP)?;
        self.step(sys::MDB_GET_CURRENT)
    }

    /// To the key's last value.
    fn last_dup(&self) -> PyResult<bool> {
        self.step(sys::MDB_LAST_DUP)?;
        self.step(sys::MDB_GET_CURRENT)
    }

    /// To the key's next value.
    fn next_dup(&self) -> PyResult<bool> {
        self.step(sys::MDB_NEXT_DUP)
    }

    /// To the key's value before.
    fn prev_dup(&self) -> PyResult<bool> {
        self.step(sys::MDB_PREV_DUP)
    }

    /// To the next key.
    fn next_nodup(&self) -> PyResult<bool> {
        self.step(sys::MDB_NEXT_NODUP)
    }

    /// To the key before.
    fn prev_nodup(&self) -> PyResult<bool> {
        self.step(sys::MDB_PREV_NODUP)
    }

    /// To this key.
    fn set_key(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.go(sys::MDB_SET_KEY, Given::of(key)?.val(), empty())
    }

    /// To this key and value.
    fn set_key_dup(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (key, value) = (Given::of(key)?, Given::of(value)?);
        Ok(self.go(sys::MDB_GET_BOTH, key.val(), value.val())? && self.step(sys::MDB_GET_CURRENT)?)
    }

    /// To this key, or the next one.
    fn set_range(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key = Given::of(key)?;
        if key.is_empty() {
            self.step(sys::MDB_FIRST)
        } else {
            self.go(sys::MDB_SET_RANGE, key.val(), empty())
        }
    }

    /// To this key and value, or the next value of the key.
    fn set_range_dup(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (key, value) = (Given::of(key)?, Given::of(value)?);
        Ok(self.go(sys::MDB_GET_BOTH_RANGE, key.val(), value.val())? && self.step(sys::MDB_GET_CURRENT)?)
    }

    /// Goes to a key and returns its value.
    #[pyo3(signature = (key, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.set_key(key)? { self.part(py, &self.position.value).map(Some) } else { Ok(default) }
    }

    /// The entries of several keys that are there; without `values`, their keys.
    #[pyo3(signature = (keys, dupdata=false, dupfixed_bytes=None, keyfixed=false, values=true))]
    #[allow(clippy::fn_params_excessive_bools)]
    fn getmulti<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        dupdata: bool,
        dupfixed_bytes: Option<usize>,
        keyfixed: bool,
        values: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        if keyfixed {
            return Err(refuse("keyfixed is not done here: leave it out, and the entries come as a list"));
        }
        let dupdata = dupdata || dupfixed_bytes.is_some();
        let found = PyList::empty(py);
        for key in keys.try_iter()? {
            let key = key?;
            let mut there = self.set_key(&key)?;
            while there {
                if values {
                    found.append((&key, self.part(py, &self.position.value)?))?;
                } else {
                    found.append(&key)?;
                }
                there = dupdata && self.step(sys::MDB_NEXT_DUP)?;
            }
        }
        Ok(found)
    }

    /// Puts an entry and goes there. Returns whether it was put.
    #[pyo3(signature = (key, value, dupdata=true, overwrite=true, append=false))]
    #[allow(clippy::fn_params_excessive_bools)]
    fn put(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        dupdata: bool,
        overwrite: bool,
        append: bool,
    ) -> PyResult<bool> {
        let flags = put_flags(self.db.get(), dupdata, overwrite, append);
        self.put_one(&Given::of(key)?, &Given::of(value)?, flags)
    }

    /// Puts several entries. Returns how many were taken and how many were put.
    #[pyo3(signature = (items, dupdata=true, overwrite=true, append=false))]
    #[allow(clippy::fn_params_excessive_bools)]
    fn putmulti(
        &self,
        items: &Bound<'_, PyAny>,
        dupdata: bool,
        overwrite: bool,
        append: bool,
    ) -> PyResult<(usize, usize)> {
        let flags = put_flags(self.db.get(), dupdata, overwrite, append);
        let (mut taken, mut put) = (0, 0);
        for item in items.try_iter()? {
            let (key, value) = item?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            taken += 1;
            put += usize::from(self.put_one(&Given::of(&key)?, &Given::of(&value)?, flags)?);
        }
        Ok((taken, put))
    }

    /// Removes the entry where it is, or all values of its key.
    #[pyo3(signature = (dupdata=false))]
    fn delete(&self, dupdata: bool) -> PyResult<bool> {
        self.refresh()?;
        if !self.position.positioned.get() {
            return Ok(false);
        }
        self.wrote();
        let flags = if dupdata { sys::MDB_NODUPDATA } else { 0 };
        // SAFETY: Cursor and transaction are there.
        let rc = unsafe { sys::mdb_cursor_del(self.ptr()?, flags) };
        self.txn.get().state.check("mdb_cursor_del", rc)?;
        self.step(sys::MDB_GET_CURRENT)?;
        Ok(true)
    }

    /// Goes to a key, removes it and returns its value.
    fn pop<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if !self.set_key(key)? {
            return Ok(None);
        }
        let popped = self.part(py, &self.position.value)?;
        self.delete(false)?;
        Ok(Some(popped))
    }

    /// Puts a value and returns the one before.
    fn replace<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let sorted = self.db.get().flags & sys::MDB_DUPSORT != 0;
        let old = if sorted { self.pop(py, key)? } else { self.get(py, key, None)? };
        self.put_one(&Given::of(key)?, &Given::of(value)?, 0)?;
        Ok(old)
    }

    /// How many values the key has.
    fn count(&self) -> PyResult<usize> {
        let mut count = 0;
        // SAFETY: Cursor and transaction are there.
        let rc = unsafe { sys::mdb_cursor_count(self.ptr()?, &mut count) };
        self.txn.get().state.check("mdb_cursor_count", rc)?;
        Ok(count)
    }

    /// Entries from here on.
    #[pyo3(signature = (keys=true, values=true))]
    fn iternext(slf: &Bound<'_, Self>, keys: bool, values: bool) -> PyResult<Entries> {
        Self::iterate(slf, Some(sys::MDB_FIRST), sys::MDB_NEXT, keys, values)
    }

    /// Values of the key from here on.
    #[pyo3(signature = (keys=false, values=true))]
    fn iternext_dup(slf: &Bound<'_, Self>, keys: bool, values: bool) -> PyResult<Entries> {
        Self::iterate(slf, None, sys::MDB_NEXT_DUP, keys, values)
    }

    /// Keys from here on.
    #[pyo3(signature = (keys=true, values=false))]
    fn iternext_nodup(slf: &Bound<'_, Self>, keys: bool, values: bool) -> PyResult<Entries> {
        Self::iterate(slf, Some(sys::MDB_FIRST), sys::MDB_NEXT_NODUP, keys, values)
    }

    /// Entries from here back.
    #[pyo3(signature = (keys=true, values=true))]
    fn iterprev(slf: &Bound<'_, Self>, keys: bool, values: bool) -> PyResult<Entries> {
        Self::iterate(slf, Some(sys::MDB_LAST), sys::MDB_PREV, keys, values)
    }

    /// Values of the key from here back.
    #[pyo3(signature = (keys=false, values=true))]
    fn iterprev_dup(slf: &Bound<'_, Self>, keys: bool, values: bool) -> PyResult<Entries> {
        Self::iterate(slf, Some(sys::MDB_LAST), sys::MDB_PREV_DUP, keys, values)
    }

    /// Keys from here back.
    #[pyo3(signature = (keys=true, values=false))]
    fn iterprev_nodup(slf: &Bound<'_, Self>, keys: bool, values: bool) -> PyResult<Entries> {
        Self::iterate(slf, Some(sys::MDB_LAST), sys::MDB_PREV_NODUP, keys, values)
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<Entries> {
        Self::iternext(slf, true, true)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, _args: &Bound<'_, PyTuple>) {
        self.close();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Iteration {
    New,
    Running,
    Ended,
}

/// An iterator: the entry where the cursor is, then one after the other.
#[pyclass(frozen, name = "Iterator", module = "lumocrypt.lmdb")]
pub struct Entries {
    cursor: Py<Cursor>,
    op: sys::MDB_cursor_op,
    keys: bool,
    values: bool,
    state: Guarded<Cell<Iteration>>,
}

#[pymethods]
impl Entries {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let cursor = self.cursor.get();
        if self.state.get() == Iteration::Running {
            // Not looked up again first: after a deletion LMDB's cursor is before what comes next.
            cursor.step(self.op)?;
        } else {
            cursor.refresh()?;
        }
        if self.state.get() == Iteration::Ended || !cursor.position.positioned.get() {
            self.state.set(Iteration::Ended);
            return Ok(None);
        }
        self.state.set(Iteration::Running);
        match (self.keys, self.values) {
            (true, false) => cursor.part(py, &cursor.position.key).map(Some),
            (false, true) => cursor.part(py, &cursor.position.value).map(Some),
            _ => Ok(Some(cursor.both(py)?.into_any())),
        }
    }
}
