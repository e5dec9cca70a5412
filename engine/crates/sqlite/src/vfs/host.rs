//! The SQLite libraries of the process, and the VFSs registered in each.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::base::BaseFile;
use super::database::{Database, Link, News, Phase};
use super::file::{Content, OpenFile};
use super::guest::Opener;
use super::mains;
use super::observe::Recorder;
use super::orphans::{self, NewMain, Outcome};
use super::shim;
use crate::files::journal::JournalFile;
use crate::files::redo::{REDO_SUFFIX, redo_path};
use crate::files::wal::{MainLink, WalFile};
use crate::format::journal_header::{EXTENT_HEAD_LEN, JOURNAL_PREAMBLE_LEN};
use crate::library::abi::*;
use crate::library::api::Api;
use crypto::nonce;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::fork;
use ground::locks::{self, Lasting, Lock, Rank};
use ground::paths;
use storage::{Storage, is_zero};
use vault::file_keys::FileKeys;
use vault::format::header;

/// One SQLite library.
pub struct Host {
    /// Its number in the C ABI.
    pub id: u32,
    /// Its functions.
    pub api: Api,
    shims: Lock<Vec<&'static Shim>>,
    /// All its VFSs are registered.
    is_served: AtomicBool,
}

/// One VFS of ours, over one VFS of the library.
pub struct Shim {
    host: &'static Host,
    /// The VFS below.
    pub base: *mut sqlite3_vfs,
    /// What SQLite has registered; its `app_data` points back here.
    pub vfs: Box<sqlite3_vfs>,
    name: CString,
    /// Plaintext databases pass through (`lumocrypt.install`).
    pub pass_through: bool,
    /// Not where the process knows a key.
    strict: AtomicBool,
    /// Connections share caches here, and each of them shows its key first. The name is a secret of the process.
    pub shared: bool,
    /// Files are of the format that this opens.
    pub(super) opener: Option<&'static dyn Opener>,
    is_registered: AtomicBool,
}

// SAFETY: SQLite's VFS objects are shared between threads by design; ours are never changed once registered.
unsafe impl Sync for Shim {}
// SAFETY: as above.
unsafe impl Send for Shim {}
// SAFETY: function pointers and a mutex.
unsafe impl Sync for Host {}
// SAFETY: as above.
unsafe impl Send for Host {}

/// All libraries served. They are never unloaded: the engine is pinned in memory with the first.
static HOSTS: Lasting<Vec<&'static Host>> = Lasting::new(Rank::Hosts, Vec::new());

/// What a VFS of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Encrypted databases.
    Native,
    /// These, and plaintext ones that exist.
    PassThrough,
    /// Encrypted databases whose connections share their caches.
    Shared,
    /// Databases of another format.
    Guest,
}

/// The name of the VFS over a library's default one.
pub const VFS_NAME: &str = "lumocrypt";
/// The name of the pass-through flavour.
const PASS_THROUGH_NAME: &str = "lumocrypt+plain";

/// Serves the library behind `api`: registers a VFS over its default and one over each named VFS, once. Several threads may
/// ask for it at the same time: each does what is missing, and returns when all of it is there.
pub fn serve(api: Api) -> Result<&'static Host> {
    pin_in_memory();
    fork::watch(nonce::prepare);
    let host = {
        let mut hosts = HOSTS.lock();
        let id = hosts.len() as u32;
        let known = hosts.iter().find(|host| host.api.is_same_library(&api)).copied();
        known.unwrap_or_else(|| {
            let host: &'static Host = Box::leak(Box::new(Host::new(id, Api { host: id, ..api })));
            host.shims.enrol();
            hosts.push(host);
            host
        })
    };
    if host.is_served.load(Ordering::Acquire) {
        return Ok(host);
    }
    let default = api.find_vfs(None);
    if default.is_null() {
        return Err(Fault::new(FaultClass::InvalidArgument, "this SQLite has no VFS to build on"));
    }
    host.add(default, VFS_NAME, Flavour::Native)?;
    let mut next = default;
    while !next.is_null() {
        // SAFETY: SQLite's list of registered VFSs, whose members have names.
        let name = unsafe { CStr::from_ptr((*next).name) }.to_string_lossy().into_owned();
        // SAFETY: as above.
        if !unsafe { is_our_vfs(next) } && name != "memdb" {
            host.add(next, &format!("{VFS_NAME}-{name}"), Flavour::Native)?;
        }
        // SAFETY: as above.
        next = unsafe { (*next).next };
    }
    host.is_served.store(true, Ordering::Release);
    Ok(host)
}

/// The library with that number.
pub fn host(id: u32) -> Result<&'static Host> {
    HOSTS.lock().get(id as usize).copied().ok_or_else(|| {
        Fault::new(FaultClass::InvalidArgument, format!("no SQLite library is registered as number {id}"))
    })
}

/// All libraries served so far.
pub fn hosts() -> Vec<&'static Host> {
    HOSTS.lock().clone()
}

/// Is this VFS one of ours, in any library?
///
/// # Safety
/// `vfs` is null or a VFS that SQLite handed out.
pub unsafe fn is_our_vfs(vfs: *mut sqlite3_vfs) -> bool {
    // SAFETY: a VFS that SQLite handed out.
    !vfs.is_null() && unsafe { shim::is_ours(&*vfs) }
}

/// Keeps the engine loaded for ever: SQLite holds pointers into it once a VFS is registered.
fn pin_in_memory() {
    static PIN: std::sync::Once = std::sync::Once::new();
    PIN.call_once(|| {
        // SAFETY: asks where this function is loaded from, and opens that object once more, never to close it.
        unsafe {
            let mut info: libc::Dl_info = std::mem::zeroed();
            if libc::dladdr(pin_in_memory as fn() as *const libc::c_void, &mut info) != 0
                && !info.dli_fname.is_null()
            {
                libc::dlopen(info.dli_fname, libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE);
            }
        }
    });
}

impl Host {
    fn new(id: u32, api: Api) -> Host {
        Host { id, api, shims: Lock::new(Rank::Shims, Vec::new()), is_served: AtomicBool::new(false) }
    }

    /// The names of the VFSs registered in this library.
    pub fn vfs_names(&self) -> Vec<String> {
        self.shims.lock().iter().filter(|shim| !shim.shared).map(|shim| shim.name().to_owned()).collect()
    }

    /// Registers a VFS over the one called `base`; returns its name, `lumocrypt-<base>`.
    pub fn add_over(&'static self, base: &str) -> Result<String> {
        let name = format!("{VFS_NAME}-{base}");
        if !self.vfs_names().contains(&name) {
            self.add(self.find_base(base)?, &name, Flavour::Native)?;
        }
        Ok(name)
    }

    /// The VFS called `name`, which is none of ours.
    pub fn find_base(&self, name: &str) -> Result<*mut sqlite3_vfs> {
        let c_name = CString::new(name)
            .map_err(|_| Fault::new(FaultClass::InvalidArgument, "a VFS name with a NUL byte"))?;
        let below = self.api.find_vfs(Some(&c_name));
        // SAFETY: SQLite's answer.
        if below.is_null() || unsafe { is_our_vfs(below) } {
            return Err(Fault::new(
                FaultClass::InvalidArgument,
                format!("this SQLite has no VFS called {name:?} to encrypt"),
            ));
        }
        Ok(below)
    }

    /// A library that is not among those served.
    #[cfg(test)]
    pub(super) fn for_tests(api: Api) -> Host {
        Host::new(u32::MAX, api)
    }

    /// A VFS of ours over `base`.
    #[cfg(test)]
    pub(super) fn add_for_tests(&'static self, base: *mut sqlite3_vfs) -> *mut sqlite3_vfs {
        let shim = self.add(base, VFS_NAME, Flavour::Native).expect("registered");
        std::ptr::from_ref(&*shim.vfs).cast_mut()
    }

    /// The name of a VFS over that of the VFS called `name`, one of ours, on which connections share caches. Nothing that
    /// SQL says can lead to it: the name is random, and whoever knows it has the connections prove their keys.
    pub fn shared_vfs(&'static self, name: &str) -> Result<String> {
        let base = self.shims.lock().iter().find(|shim| shim.name() == name).map(|shim| shim.base);
        let base = base.ok_or_else(|| {
            Fault::new(FaultClass::InvalidArgument, format!("there is no VFS of lumocrypt called {name:?}"))
        })?;
        let mut id = [0; 16];
        nonce::random(&mut id)?;
        let name = format!("{VFS_NAME}-shared-{:032x}", u128::from_be_bytes(id));
        let is_it = |shim: &Shim| shim.shared && std::ptr::eq(shim.base, base);
        self.add_unless(is_it, base, &name, Flavour::Shared).map(|shim| shim.name().to_owned())
    }

    /// Makes the pass-through VFS this library's default, or restores the default that was there before. `strict`: where
    /// the process knows a key, no plaintext database passes; that stays until the default is restored.
    pub fn set_default(&'static self, on: bool, strict: bool) -> Result<()> {
        let below = self.base_of_default();
        let target = if on {
            std::ptr::from_ref(&*self.add(below, PASS_THROUGH_NAME, Flavour::PassThrough)?.vfs).cast_mut()
        } else {
            below
        };
        for shim in self.shims.lock().iter().filter(|shim| shim.pass_through) {
            let before = shim.strict.load(Ordering::Acquire);
            shim.strict.store(on && (strict || before), Ordering::Release);
        }
        locks::calls_out();
        // SAFETY: a registered VFS; registering it again only moves it.
        let code = unsafe { (self.api.vfs_register)(target, c_int::from(true)) };
        if code != SQLITE_OK {
            return Err(Fault::new(FaultClass::Io, "SQLite refused the default VFS").with_code(code));
        }
        Ok(())
    }

    /// The VFS that `lumocrypt` was put over.
    pub fn base_of_default(&self) -> *mut sqlite3_vfs {
        self.shims.lock().first().map_or(std::ptr::null_mut(), |shim| shim.base)
    }

    /// The VFS called `name`, registered, over `base` where it is not there yet.
    fn add(&'static self, base: *mut sqlite3_vfs, name: &str, flavour: Flavour) -> Result<&'static Shim> {
        self.add_unless(|shim| shim.name() == name, base, name, flavour)
    }

    /// The VFS for which `is_it` holds, registered; where there is none yet, one called `name`, over `base`.
    ///
    /// No lock is held while SQLite registers it. A second thread that wants it meanwhile finds it and registers it, too,
    /// which only moves it in SQLite's list; so it is there for whoever returns from here.
    fn add_unless(
        &'static self,
        is_it: impl Fn(&Shim) -> bool,
        base: *mut sqlite3_vfs,
        name: &str,
        flavour: Flavour,
    ) -> Result<&'static Shim> {
        let known = self.shims.lock().iter().find(|shim| is_it(shim)).copied();
        let shim = match known {
            Some(shim) if shim.is_registered.load(Ordering::Acquire) => return Ok(shim),
            Some(shim) => shim,
            None => {
                let new = self.make(base, name, flavour, None)?;
                let mut shims = self.shims.lock();
                let other = shims.iter().find(|shim| is_it(shim)).copied();
                other.unwrap_or_else(|| {
                    shims.push(new);
                    new
                })
            }
        };
        shim.register()?;
        Ok(shim)
    }

    /// As `add`, of a VFS of another format, whose name is its own.
    pub fn register(
        &'static self,
        base: *mut sqlite3_vfs,
        name: &str,
        opener: &'static dyn Opener,
    ) -> Result<&'static Shim> {
        let shim = self.make(base, name, Flavour::Guest, Some(opener))?;
        shim.register()?;
        Ok(shim)
    }

    /// A VFS object, which lives for ever: SQLite may hold on to it after it is unregistered.
    fn make(
        &'static self,
        base: *mut sqlite3_vfs,
        name: &str,
        flavour: Flavour,
        opener: Option<&'static dyn Opener>,
    ) -> Result<&'static Shim> {
        let c_name = CString::new(name)
            .map_err(|_| Fault::new(FaultClass::InvalidArgument, "a VFS name with a NUL byte"))?;
        // SAFETY: a VFS of the library.
        let vfs = unsafe { shim::vfs_over(&*base) };
        let shim = Box::leak(Box::new(Shim {
            host: self,
            base,
            vfs: Box::new(vfs),
            name: c_name,
            pass_through: flavour == Flavour::PassThrough,
            strict: AtomicBool::new(false),
            shared: flavour == Flavour::Shared,
            opener,
            is_registered: AtomicBool::new(false),
        }));
        shim.vfs.name = shim.name.as_ptr();
        shim.vfs.app_data = std::ptr::from_ref::<Shim>(shim).cast_mut().cast();
        Ok(shim)
    }
}

impl Shim {
    fn register(&'static self) -> Result<()> {
        locks::calls_out();
        let vfs = std::ptr::from_ref(&*self.vfs).cast_mut();
        // SAFETY: a complete VFS object that lives for ever. SQLite alone changes it, under its own mutex.
        let code = unsafe { (self.host.api.vfs_register)(vfs, 0) };
        if code != SQLITE_OK {
            return Err(Fault::new(FaultClass::Io, "SQLite refused to register the VFS").with_code(code));
        }
        self.is_registered.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether plaintext databases stay out where the process knows a key.
    pub fn is_strict(&self) -> bool {
        self.strict.load(Ordering::Acquire)
    }

    /// The library this VFS is registered in.
    pub fn host(&self) -> &'static Host {
        self.host
    }

    /// Takes this VFS out of SQLite's list. It stays where it is, should a connection without files know it.
    pub fn unregister(&'static self) {
        locks::calls_out();
        // SAFETY: the object that was registered, which lives for ever.
        unsafe { (self.host.api.vfs_unregister)(std::ptr::from_ref(&*self.vfs).cast_mut()) };
    }

    /// What is told of reads and writes through this VFS.
    pub(super) fn recorder(&self) -> Option<Recorder> {
        self.opener.and_then(Opener::recorder)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.name.to_str().unwrap_or(VFS_NAME)
    }

    /// Is there a file with content of that name, below us?
    fn exists(&self, path: &Path) -> bool {
        locks::calls_out();
        let Ok(path) = CString::new(paths::bytes(path)) else { return false };
        let mut answer = 0;
        // SAFETY: the VFS below, a name and a place for the answer.
        let code = unsafe {
            (*self.base).access.map_or(SQLITE_ERROR, |access| {
                access(self.base, path.as_ptr(), SQLITE_ACCESS_EXISTS, &mut answer)
            })
        };
        code == SQLITE_OK && answer != 0
    }

    /// Does the log begin as `journal_mode=PERSIST` leaves a finished journal? Then it counts for nothing.
    fn is_finished(&self, path: &Path) -> Result<bool> {
        let Some(mut log) = OwnFile::open(self.host, path)? else { return Ok(true) };
        let mut head = [0u8; JOURNAL_PREAMBLE_LEN + EXTENT_HEAD_LEN];
        log.base.read(&mut head, 0)?;
        Ok(is_zero(&head))
    }

    /// An empty main file beside a log with content is no new database: SQLite would delete the log.
    /// Where there was no file at all, the log is one whose database is gone: it is moved aside, while SQLite holds SHARED,
    /// which `level` says, and no more.
    pub fn check_companions(
        &self,
        database: &mut Database,
        base: &mut BaseFile,
        path: &Path,
        level: c_int,
    ) -> Result<()> {
        if !matches!(database.phase, Phase::New) {
            return Ok(());
        }
        if level == SQLITE_LOCK_SHARED
            && let Some(new_main) = database.new_main.take()
            && self.set_logs_aside(database, base, path, new_main)?
        {
            return Ok(());
        }
        if self.check_no_log(path).is_err() {
            if orphans::is_announced(path) {
                return Err(being_made(SQLITE_BUSY));
            }
            // Whoever announced it may have made it in between.
            return if base.size()? == 0 {
                self.check_no_log(path)
            } else {
                database.settle(base, News::Lock)
            };
        }
        Ok(())
    }

    /// Announces a main file that opening `path` makes.
    pub fn announce(&self, path: &Path) -> Option<NewMain> {
        NewMain::announce(path, || logs_of(path).iter().any(|log| self.exists(log)))
    }

    /// An error if an empty main file has a log that counts.
    fn check_no_log(&self, path: &Path) -> Result<()> {
        for (suffix, log) in ["-wal", "-journal", REDO_SUFFIX].into_iter().zip(logs_of(path)) {
            // A change of the data key is never finished while its file is there.
            if self.exists(&log) && (suffix == REDO_SUFFIX || !self.is_finished(&log)?) {
                return Err(header::emptied(suffix).at_path(path));
            }
        }
        Ok(())
    }

    /// Moves the logs of a database that is gone aside. Returns whether that, or another connection, settled the matter.
    fn set_logs_aside(
        &self,
        database: &mut Database,
        base: &mut BaseFile,
        path: &Path,
        new_main: NewMain,
    ) -> Result<bool> {
        let logs: Vec<_> = logs_of(path).into_iter().filter(|log| self.exists(log)).collect();
        if logs.is_empty() {
            return Ok(true);
        }
        match orphans::set_aside(&self.host.api, base, &logs)? {
            Outcome::Moved => Ok(true),
            Outcome::Left => Ok(false),
            Outcome::Created => database.settle(base, News::Lock).map(|()| true),
            Outcome::Busy(code) => {
                database.new_main = Some(new_main);
                Err(being_made(code))
            }
        }
    }

    /// SQLite is about to delete `name`. If that is a WAL, everything in it is in the main file: the database
    /// stops naming it first, durably. A log beside a main file that was cut to nothing is not deleted at all.
    ///
    /// # Safety
    /// `name` is null or a string.
    pub unsafe fn before_delete(&self, name: *const c_char) -> Result<()> {
        if name.is_null() {
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let text = unsafe { CStr::from_ptr(name) }.to_bytes();
        let Some((main, is_wal)) = mains::owner_of(self, name, text) else { return Ok(()) };
        // SAFETY: the owner is removed from the list before it is freed, and SQLite deletes a log from the
        // thread that uses its connection.
        let main = unsafe { &mut *main };
        let OpenFile { content: Content::Main(database), base, path, .. } = main else { return Ok(()) };
        let Phase::Ready(file) = &mut database.phase else { return Ok(()) };
        let mut link = Link { file, base };
        if is_wal {
            return self.retire_wal(link, path);
        }
        if link.slots()? == 0 {
            self.keep_needed_journal(link.file.keys().clone(), path)?;
        }
        Ok(())
    }

    fn retire_wal(&self, mut link: Link<'_>, path: &Path) -> Result<()> {
        let cell = link.cell()?;
        if cell.active && link.slots()? == 0 {
            return Err(cut_to_nothing("write-ahead log holds commits", path));
        }
        let path = paths::beside(path, "-wal");
        if !cell.active && std::fs::metadata(&path).is_ok_and(|log| log.len() == 0) {
            // It says nothing that the cell does not.
            return Ok(());
        }
        match OwnFile::open(self.host, &path)? {
            Some(mut log) => {
                WalFile::new(link.file.keys().clone(), true)?.retire(&mut log.base, &mut link)?;
                link.file.forget_log();
                link.file.record_unsynced(link.base)
            }
            None if cell.active => link.set_cell(false, [0; 16], cell.current, Some(SQLITE_SYNC_NORMAL)),
            None => Ok(()),
        }
    }

    /// A journal that restores pages of a main file that has none: the file was cut, the journal is evidence.
    fn keep_needed_journal(&self, keys: Arc<FileKeys>, path: &Path) -> Result<()> {
        let Some(mut file) = OwnFile::open(self.host, &paths::beside(path, "-journal"))? else {
            return Ok(());
        };
        match JournalFile::new(keys, true)?.original_pages(&mut file.base)? {
            0 => Ok(()),
            _ => Err(cut_to_nothing("rollback journal holds pages of it", path)),
        }
    }
}

fn cut_to_nothing(evidence: &str, path: &Path) -> Fault {
    Fault::new(
        FaultClass::Tampered,
        format!("the database file was cut to nothing while its {evidence}; restore it from a backup"),
    )
    .in_file(FileKind::MainDb)
    .at_path(path)
}

/// A file opened through a library's own default VFS, for the engine's own use. A second descriptor on a
/// database would drop the process's locks on it when closed; SQLite's VFS knows how not to.
pub struct OwnFile {
    _name: Vec<u8>,
    _memory: Vec<u64>,
    /// The open file.
    pub base: BaseFile,
}

/// Zero bytes around a name: what SQLite's VFSs look for in front of it and behind it (main.c,
/// sqlite3_create_filename).
const NAME_PADDING: usize = 8;

/// How often a lock that others hold is asked for again, and the time in between: a second in all.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

impl OwnFile {
    /// Opens `path` for reading. `None`: there is no such file.
    pub fn open(host: &'static Host, path: &Path) -> Result<Option<OwnFile>> {
        Self::open_through(host.base_of_default(), path)
    }

    /// Opens `path`, which exists, for writing, and takes SQLite's EXCLUSIVE lock on it, which no connection that is in a
    /// transaction or in WAL mode lets it have. The lock goes with the file.
    pub fn open_exclusively(host: &'static Host, path: &Path) -> Result<OwnFile> {
        let file = Self::open_with(host.base_of_default(), path, SQLITE_OPEN_READWRITE)?;
        let file = file
            .ok_or_else(|| Fault::new(FaultClass::Io, "there is no such file").with_code(SQLITE_CANTOPEN))?;
        let Some(lock) = file.base.methods().lock else { return Ok(file) };
        for level in [SQLITE_LOCK_SHARED, SQLITE_LOCK_EXCLUSIVE] {
            let mut tries = LOCK_TRIES;
            loop {
                // SAFETY: an open file, and a lock that may follow the one that is held.
                match unsafe { lock(file.base.as_ptr(), level) } {
                    SQLITE_OK => break,
                    code if code & 0xff != SQLITE_BUSY => {
                        return Err(Fault::new(FaultClass::Io, "the file cannot be locked").with_code(code));
                    }
                    _ if tries == 0 => {
                        return Err(Fault::new(
                            FaultClass::InUse,
                            "other connections have the database open or locked; close them and try again",
                        ));
                    }
                    _ => tries -= 1,
                }
                std::thread::sleep(LOCK_PAUSE);
            }
        }
        Ok(file)
    }

    /// As `open`, through a VFS that is not one of ours.
    pub fn open_through(base_vfs: *mut sqlite3_vfs, path: &Path) -> Result<Option<OwnFile>> {
        Self::open_with(base_vfs, path, SQLITE_OPEN_READONLY)
    }

    fn open_with(base_vfs: *mut sqlite3_vfs, path: &Path, access: c_int) -> Result<Option<OwnFile>> {
        locks::calls_out();
        // To open a pipe waits for somebody at its other end.
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(Fault::new(FaultClass::Io, "this is no regular file")
                .with_code(SQLITE_CANTOPEN)
                .at_path(path));
        }
        // SAFETY: a registered VFS.
        let vfs = unsafe { &*base_vfs };
        let mut name = vec![0; NAME_PADDING];
        name.extend_from_slice(paths::bytes(path));
        name.extend_from_slice(&[0; NAME_PADDING]);
        let mut memory = vec![0u64; (vfs.os_file_size.max(0) as usize).div_ceil(8)];
        let file: *mut sqlite3_file = memory.as_mut_ptr().cast();
        let name_ptr: *const c_char = name[NAME_PADDING..].as_ptr().cast();
        let (mut exists, mut granted) = (0, access);
        // SAFETY: the VFS, a padded name, and places for the answers.
        unsafe {
            if let Some(ask) = vfs.access {
                ask(base_vfs, name_ptr, SQLITE_ACCESS_EXISTS, &mut exists);
            }
            let is_gone = || !path.exists();
            if exists == 0 && is_gone() {
                return Ok(None);
            }
            let code = match vfs.open {
                Some(open) => open(base_vfs, name_ptr, file, access | SQLITE_OPEN_MAIN_DB, &mut granted),
                None => SQLITE_CANTOPEN,
            };
            let why = std::io::Error::last_os_error();
            if code != SQLITE_OK {
                if is_gone() {
                    // Deleted meanwhile, as logs of a database in use are.
                    return Ok(None);
                }
                // What SQLite's VFS does after its call of the system has failed does not change these two.
                let message = match why.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE) => format!("the file cannot be opened: {why}"),
                    _ => "the file cannot be opened".to_owned(),
                };
                return Err(Fault::new(FaultClass::Io, message).with_code(code).at_path(path));
            }
            let own = OwnFile { _name: name, _memory: memory, base: BaseFile::new(file) };
            if granted & access == 0 {
                // SQLite's VFS goes on with less where it cannot have what it was asked for.
                return Err(Fault::new(FaultClass::Io, "the file cannot be opened for writing")
                    .with_code(SQLITE_READONLY)
                    .at_path(path));
            }
            Ok(Some(own))
        }
    }
}

impl Storage for OwnFile {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.base.read(buf, offset)
    }

    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.base.write(data, offset)
    }

    fn truncate(&mut self, size: u64) -> Result<()> {
        self.base.truncate(size)
    }

    fn sync(&mut self, flags: i32) -> Result<()> {
        self.base.sync(flags)
    }

    fn size(&mut self) -> Result<u64> {
        self.base.size()
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        self.base.close();
    }
}

fn logs_of(path: &Path) -> [PathBuf; 3] {
    [paths::beside(path, "-wal"), paths::beside(path, "-journal"), redo_path(path)]
}

fn being_made(code: c_int) -> Fault {
    Fault::new(FaultClass::Io, "another connection is making the database").with_code(code)
}
