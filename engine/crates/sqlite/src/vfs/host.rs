//! The SQLite libraries of the process, and the VFSs registered in each.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::base::BaseFile;
use super::guest::Guest;
use super::recorder::Recorder;
use crate::library::abi::*;
use crate::library::api::Api;
use crypto::nonce;
use ground::error::{Fault, FaultClass, Result};
use ground::fork;
use ground::locks::{self, Lasting, Lock, Rank};

/// Decides what the files are that are opened through a VFS of another format.
pub trait Opener: Sync {
    /// What the file being opened is; `None`: nothing but bytes.
    ///
    /// # Safety
    /// `name` is what SQLite passed to `xOpen` with `flags`.
    unsafe fn open(
        &'static self,
        shim: &'static Shim,
        name: *const c_char,
        path: &Path,
        base: &mut BaseFile,
        flags: c_int,
    ) -> Result<Option<Box<dyn Guest>>>;

    /// What is told of reads and writes through this VFS.
    fn recorder(&self) -> Option<Recorder>;
}

/// Makes a VFS object of ours over another. The name and the way back to the shim are for the caller to fill in.
pub type VfsOver = fn(&sqlite3_vfs) -> sqlite3_vfs;

/// One SQLite library.
pub struct Host {
    /// Its number in the C ABI.
    pub id: u32,
    /// Its functions.
    pub api: Api,
    vfs_over: VfsOver,
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
pub fn serve(api: Api, vfs_over: VfsOver) -> Result<&'static Host> {
    pin_in_memory();
    fork::watch(nonce::prepare);
    let host = {
        let mut hosts = HOSTS.lock();
        let id = hosts.len() as u32;
        let known = hosts.iter().find(|host| host.api.is_same_library(&api)).copied();
        known.unwrap_or_else(|| {
            let host: &'static Host = Box::leak(Box::new(Host::new(id, Api { host: id, ..api }, vfs_over)));
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

/// The `xOpen` of every VFS of ours, by which they are known, once there is one.
static X_OPEN: AtomicUsize = AtomicUsize::new(0);

fn address_of(vfs: &sqlite3_vfs) -> usize {
    vfs.open.map_or(0, |open| open as usize)
}

/// Is this VFS one of ours, in any library?
///
/// # Safety
/// `vfs` is null or a VFS that SQLite handed out.
pub unsafe fn is_our_vfs(vfs: *mut sqlite3_vfs) -> bool {
    // SAFETY: a VFS that SQLite handed out.
    !vfs.is_null() && address_of(unsafe { &*vfs }) == X_OPEN.load(Ordering::Acquire)
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
    fn new(id: u32, api: Api, vfs_over: VfsOver) -> Host {
        Host {
            id,
            api,
            vfs_over,
            shims: Lock::new(Rank::Shims, Vec::new()),
            is_served: AtomicBool::new(false),
        }
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
    pub(super) fn for_tests(api: Api, vfs_over: VfsOver) -> Host {
        Host::new(u32::MAX, api, vfs_over)
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
        let vfs = (self.vfs_over)(unsafe { &*base });
        X_OPEN.store(address_of(&vfs), Ordering::Release);
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
}
