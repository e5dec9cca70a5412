// A thin layer over one of the two libraries. Included once for each.

use std::ffi::{CString, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use super::toy;
use api::{
    MDB_CREATE, MDB_INTEGERKEY, MDB_NOSUBDIR, MDB_NOSYNC, MDB_NOTFOUND, MDB_NOTLS, MDB_RDONLY, MDB_val,
};

type Outcome<T> = Result<T, String>;

fn check(rc: c_int, what: &str) -> Outcome<()> {
    if rc == 0 { Ok(()) } else { Err(format!("{what}: {}", message(rc))) }
}

fn message(rc: c_int) -> String {
    unsafe { std::ffi::CStr::from_ptr(api::mdb_strerror(rc)) }.to_string_lossy().into_owned()
}

fn val(bytes: &[u8]) -> MDB_val {
    MDB_val { mv_size: bytes.len(), mv_data: bytes.as_ptr().cast_mut().cast() }
}

unsafe extern "C" fn encrypt(
    src: *const MDB_val,
    dst: *mut MDB_val,
    key: *const MDB_val,
    seal: c_int,
) -> c_int {
    unsafe {
        let (from, to, header, tail) = (&*src, &*dst, &*key.add(1), &*key.add(2));
        let header = std::slice::from_raw_parts(header.mv_data.cast::<u8>(), header.mv_size);
        toy::page(
            from.mv_data.cast(),
            to.mv_data.cast(),
            from.mv_size,
            header,
            tail.mv_data.cast(),
            seal == 1,
        )
    }
}

unsafe extern "C" fn checksum(src: *const MDB_val, dst: *mut MDB_val, _key: *const MDB_val) {
    unsafe {
        let bytes = std::slice::from_raw_parts((*src).mv_data.cast::<u8>(), (*src).mv_size);
        (*dst).mv_data.cast::<[u8; 16]>().write_unaligned(toy::sum(bytes));
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Encrypted,
    Sums,
    Plain,
}

struct Env {
    env: *mut api::MDB_env,
    dbi: c_uint,
}

unsafe impl Sync for Env {}
unsafe impl Send for Env {}

fn file(folder: &Path) -> PathBuf {
    folder.join("data")
}

impl Env {
    fn open(folder: &Path, mode: Mode, page_size: c_int, flags: c_uint) -> Outcome<Env> {
        Self::open_at(&file(folder), mode, page_size, flags)
    }

    fn open_at(path: &Path, mode: Mode, page_size: c_int, flags: c_uint) -> Outcome<Env> {
        let mut env = null_mut();
        unsafe {
            check(api::mdb_env_create(&mut env), "create")?;
            check(api::mdb_env_set_mapsize(env, 8 << 30), "mapsize")?;
            check(api::mdb_env_set_maxreaders(env, 1000), "maxreaders")?;
            check(api::mdb_env_set_pagesize(env, page_size), "pagesize")?;
            match mode {
                Mode::Encrypted => {
                    check(
                        api::mdb_env_set_encrypt(env, Some(encrypt), &val(b"toy"), toy::TAIL as c_uint),
                        "encrypt",
                    )?;
                }
                Mode::Sums => check(api::mdb_env_set_checksum(env, Some(checksum), 16), "checksum")?,
                Mode::Plain => {}
            }
            let name =
                CString::new(path.to_str().ok_or("a path that is no text")?).map_err(|e| e.to_string())?;
            let rc =
                api::mdb_env_open(env, name.as_ptr(), MDB_NOSUBDIR | MDB_NOTLS | MDB_NOSYNC | flags, 0o600);
            if rc != 0 {
                api::mdb_env_close(env);
                return Err(format!("open: {}", message(rc)));
            }
        }
        let mut opened = Env { env, dbi: 0 };
        let txn = opened.begin(flags & MDB_RDONLY)?;
        let dbi = &mut opened.dbi;
        let rc = unsafe {
            api::mdb_dbi_open(txn.txn, std::ptr::null(), MDB_INTEGERKEY | MDB_CREATE & !flags, dbi)
        };
        check(rc, "dbi_open")?;
        txn.commit()?;
        Ok(opened)
    }

    fn begin(&self, flags: c_uint) -> Outcome<Txn> {
        let mut txn = null_mut();
        check(unsafe { api::mdb_txn_begin(self.env, null_mut(), flags, &mut txn) }, "begin")?;
        Ok(Txn { txn, dbi: self.dbi })
    }

    fn close(self) {
        unsafe { api::mdb_env_close(self.env) };
    }
}

struct Txn {
    txn: *mut api::MDB_txn,
    dbi: c_uint,
}

impl Txn {
    fn put(&self, key: u64, value: &[u8]) -> Outcome<()> {
        let (mut k, mut v) = (val(key.to_ne_bytes().as_slice()), val(value));
        let key = key.to_ne_bytes();
        k.mv_data = key.as_ptr().cast_mut().cast();
        check(unsafe { api::mdb_put(self.txn, self.dbi, &mut k, &mut v, 0) }, "put")
    }

    fn get(&self, key: u64) -> Outcome<Option<&[u8]>> {
        let key = key.to_ne_bytes();
        let (mut k, mut v) = (val(&key), val(&[]));
        match unsafe { api::mdb_get(self.txn, self.dbi, &mut k, &mut v) } {
            0 => Ok(Some(unsafe { std::slice::from_raw_parts(v.mv_data.cast::<u8>(), v.mv_size) })),
            MDB_NOTFOUND => Ok(None),
            rc => Err(format!("get: {}", message(rc))),
        }
    }

    fn del(&self, key: u64) -> Outcome<()> {
        let key = key.to_ne_bytes();
        check(unsafe { api::mdb_del(self.txn, self.dbi, &mut val(&key), null_mut()) }, "del")
    }

    fn commit(self) -> Outcome<()> {
        check(unsafe { api::mdb_txn_commit(self.txn) }, "commit")
    }

    fn abort(self) {
        unsafe { api::mdb_txn_abort(self.txn) };
    }
}

/// A value that says which key and version it is of, over and over.
fn value(key: u64, version: u64, words: usize) -> Vec<u8> {
    (0..words).flat_map(|_| (key << 32 | version).to_le_bytes()).collect()
}

/// Compares what is there with what should be.
struct Tally {
    wrong: u64,
    missing: u64,
    first: Option<String>,
}

impl Tally {
    fn new() -> Self {
        Tally { wrong: 0, missing: 0, first: None }
    }

    fn look(&mut self, txn: &Txn, key: u64, version: u64, words: usize) -> Outcome<()> {
        match txn.get(key)? {
            Some(found) if found == value(key, version, words) => {}
            Some(_) => self.wrong += 1,
            None => self.missing += 1,
        }
        if self.wrong + self.missing == 1 && self.first.is_none() {
            self.first = Some(format!("key {key}, version {version}"));
        }
        Ok(())
    }

    fn outcome(self, what: &str) -> Outcome<()> {
        match self.first {
            None => Ok(()),
            Some(first) => {
                Err(format!("{what}: {} wrong, {} missing; first {first}", self.wrong, self.missing))
            }
        }
    }
}

pub fn run(case: &str, folder: &Path) -> Outcome<()> {
    match case {
        "stale" => stale(folder),
        "others" => others(folder),
        "others-write" => others_write(folder),
        "spill" => spill(folder),
        "race" => race(folder),
        "writers" => writers(folder),
        "cursors" => cursors(folder),
        "memory" => memory(folder),
        "prepare" => prepare(folder),
        "hold" => hold(folder),
        "swap" => swap(folder),
        "extent" => extent(folder),
        "truncated" => truncated(folder),
        "sums-read" => sums_read(folder),
        "sums-forgotten" => sums_forgotten(folder),
        "sums-size" => sums_size(),
        "writemap" => writemap(folder),
        "compact" => compact(folder),
        "metas" => metas(folder),
        _ => Err(format!("no case {case}")),
    }
}
