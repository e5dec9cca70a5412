//! Cursors: walking through a database in order.

use std::marker::PhantomData;
use std::ptr::null_mut;

use lmdb_sys as sys;

use crate::database::Database;
use crate::error::Result;
use crate::transaction::{Put, Txn, WriteTxn, bytes, val};

/// Where a cursor goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// To the first entry.
    First,
    /// To the last entry.
    Last,
    /// To the next entry; to the first, if it was nowhere.
    Next,
    /// To the entry before; to the last, if it was nowhere.
    Previous,
    /// To the next value of this key.
    NextDuplicate,
    /// To the next key.
    NextKey,
    /// To the key before.
    PreviousKey,
    /// To this key.
    At(&'a [u8]),
    /// To this key, or the next one.
    From(&'a [u8]),
    /// Where it is.
    Current,
}

/// A key and a value where they are; good until the cursor moves.
pub type Entry<'a> = (&'a [u8], &'a [u8]);

/// A cursor in a transaction.
pub struct Cursor<'txn> {
    cursor: *mut sys::MDB_cursor,
    txn: &'txn Txn,
}

impl Txn {
    /// A cursor on a database.
    pub fn cursor(&self, database: Database) -> Result<Cursor<'_>> {
        Cursor::open(self, database)
    }
}

impl WriteTxn<'_> {
    /// A cursor that may write.
    pub fn write_cursor(&mut self, database: Database) -> Result<WriteCursor<'_>> {
        WriteCursor::open(self, database)
    }
}

impl<'txn> Cursor<'txn> {
    fn open(txn: &'txn Txn, database: Database) -> Result<Self> {
        let (dbi, mut cursor) = (txn.handle(database)?, null_mut());
        // SAFETY: The transaction is borrowed, so it ends after the cursor.
        txn.inner.check(unsafe { sys::mdb_cursor_open(txn.txn, dbi, &mut cursor) })?;
        Ok(Cursor { cursor, txn })
    }

    /// Moves and returns what is there, if anything is.
    pub fn go(&mut self, step: Step<'_>) -> Result<Option<Entry<'_>>> {
        let (mut key, mut value) = (val(&[]), val(&[]));
        let op = match step {
            Step::First => sys::MDB_FIRST,
            Step::Last => sys::MDB_LAST,
            Step::Next => sys::MDB_NEXT,
            Step::Previous => sys::MDB_PREV,
            Step::NextDuplicate => sys::MDB_NEXT_DUP,
            Step::NextKey => sys::MDB_NEXT_NODUP,
            Step::PreviousKey => sys::MDB_PREV_NODUP,
            Step::Current => sys::MDB_GET_CURRENT,
            Step::At(wanted) => {
                key = val(wanted);
                sys::MDB_SET_KEY
            }
            Step::From(wanted) => {
                key = val(wanted);
                sys::MDB_SET_RANGE
            }
        };
        // SAFETY: Cursor and transaction are there. What LMDB returns is on pages that the cursor keeps until it moves,
        // which needs it exclusively, as does whatever writes.
        match unsafe { sys::mdb_cursor_get(self.cursor, &mut key, &mut value, op) } {
            // SAFETY: As above.
            0 => Ok(Some(unsafe { (bytes(&key), bytes(&value)) })),
            sys::MDB_NOTFOUND => Ok(None),
            rc => Err(self.txn.inner.check(rc).unwrap_err()),
        }
    }

    /// How many values the key has where the cursor is.
    pub fn count(&self) -> Result<usize> {
        let mut count = 0;
        // SAFETY: Cursor and transaction are there.
        self.txn.inner.check(unsafe { sys::mdb_cursor_count(self.cursor, &mut count) })?;
        Ok(count)
    }

    /// Whether the entry is a named database, not a value.
    pub fn is_database(&self) -> bool {
        // SAFETY: Cursor and transaction are there.
        unsafe { sys::mdb_cursor_is_db(self.cursor) != 0 }
    }
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        if self.txn.inner.is_ours() {
            // SAFETY: The transaction has not ended.
            unsafe { sys::mdb_cursor_close(self.cursor) };
        }
    }
}

/// A cursor that may write. Its transaction does nothing else meanwhile.
pub struct WriteCursor<'txn> {
    cursor: Cursor<'txn>,
    exclusive: PhantomData<&'txn mut ()>,
}

impl<'txn> WriteCursor<'txn> {
    /// The caller has the transaction exclusively.
    fn open(txn: &'txn Txn, database: Database) -> Result<Self> {
        Ok(WriteCursor { cursor: Cursor::open(txn, database)?, exclusive: PhantomData })
    }

    /// Moves and returns what is there, if anything is.
    pub fn go(&mut self, step: Step<'_>) -> Result<Option<Entry<'_>>> {
        self.cursor.go(step)
    }

    /// Puts an entry and goes there. Returns whether it was put.
    pub fn put(&mut self, key: &[u8], value: &[u8], how: Put) -> Result<bool> {
        let (mut key, mut value) = (val(key), val(value));
        // SAFETY: Cursor and transaction are there; LMDB copies both.
        match unsafe { sys::mdb_cursor_put(self.cursor.cursor, &mut key, &mut value, how.0) } {
            0 => Ok(true),
            sys::MDB_KEYEXIST => Ok(false),
            rc => Err(self.cursor.txn.inner.check(rc).unwrap_err()),
        }
    }

    /// Replaces the value where the cursor is, whose key must be given.
    pub fn replace(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put(key, value, Put(sys::MDB_CURRENT)).map(drop)
    }

    /// Removes the entry where the cursor is, or all values of its key.
    pub fn delete(&mut self, all_values: bool) -> Result<()> {
        let flags = if all_values { sys::MDB_NODUPDATA } else { 0 };
        // SAFETY: Cursor and transaction are there.
        self.cursor.txn.inner.check(unsafe { sys::mdb_cursor_del(self.cursor.cursor, flags) })
    }
}
