//! Maps of files, shared by all connections of the process.
//!
//! A map needs no descriptor of its own, which is as well: closing one would drop every POSIX lock that the process
//! holds on the file. SQLite's VFS is asked for a small map of the file that it has open (`xFetch`); `mremap` makes a
//! second map of the same file from that (old size 0, see mremap(2)), and SQLite's is given back. Nothing can be
//! mapped in this way but the very file that the connection has open. Which file another connection's map is of is told
//! by device and inode of the path, when the file was opened and when it is mapped, and for databases by SQLite's word that
//! the file still has that path.
//!
//! The map reaches far beyond the end of the file, so that it need not be made anew, and its pages be faulted in
//! again, when the file grows. Whether a range lies within the file is looked up before it is touched.

use ground::paths;
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::library::abi::*;
use crate::library::calls::has_its_name;
use ground::locks::{self, Guard, Lasting, Rank};

/// Bytes asked of SQLite's VFS for the map that ours is made from, and the smallest file that it maps so much of: it
/// keeps 256 bytes in front of the end unmapped (os_unix.c, unixFetch).
const SEED: usize = 4096;
/// The least that is reserved, in bytes; otherwise twice the size of the file.
const LEAST: u64 = 1 << 30;
/// Granularity of reservations: no page size is larger.
const ROUND: u64 = 1 << 16;

/// File systems whose maps show at once what is written to a file, by its one device and inode: statfs(2)'s numbers for
/// ext2 to ext4, XFS, Btrfs, F2FS, tmpfs, ramfs, ZFS, JFS and NILFS2. Elsewhere files may change on another machine or
/// go away with it (NFS, SMB, FUSE), which a read from a map learns by a signal; or a map may stay with a lower layer
/// that was copied up since (overlayfs).
const LOCAL: [u32; 9] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x0102_1994,
    0x8584_58f6,
    0x2fc1_2fc1,
    0x3153_464a,
    0x3434,
];

/// A map of a file.
pub struct FileMap {
    address: NonNull<u8>,
    reserved: u64,
    /// So long was the file when somebody of this process looked last. What was written since is not counted: a read from
    /// a page that is not there after all kills the process.
    size: AtomicU64,
}

// SAFETY: the map is only read, through pointers that `get` hands out, and unmapped when nobody has it any more.
unsafe impl Send for FileMap {}
// SAFETY: as above.
unsafe impl Sync for FileMap {}

/// Device and inode.
type Identity = (u64, u64);

/// Under which name a file was opened, and which file that was.
pub struct Name {
    path: CString,
    identity: Identity,
}

impl Name {
    /// Of the file that was just opened as `path`. `None` if it has no such name by now.
    pub fn of(path: &Path) -> Option<Name> {
        let path = CString::new(paths::bytes(path)).ok()?;
        Some(Name { identity: identity_of(&path)?, path })
    }
}

/// The maps of this process.
static MAPS: Lasting<Option<HashMap<Identity, Weak<FileMap>>>> = Lasting::new(Rank::Maps, None);

type Maps = Guard<'static, Option<HashMap<Identity, Weak<FileMap>>>>;

fn maps() -> Maps {
    MAPS.lock()
}

/// The map that others have of the file.
fn known(identity: Identity) -> Option<Arc<FileMap>> {
    maps().get_or_insert_default().get(&identity).and_then(Weak::upgrade)
}

impl FileMap {
    /// A map of the open file `file`, which was opened under `name` and has `size` bytes: that of another connection, or
    /// a new one. `None` if it cannot be had.
    ///
    /// # Safety
    /// `file` is an open file of the VFS below.
    pub unsafe fn of(file: *mut sqlite3_file, name: &Name, size: u64) -> Option<Arc<FileMap>> {
        let Name { path, identity } = name;
        if !is_local(path) {
            return None;
        }
        // Of a file that was replaced since it was opened, the map is nobody else's.
        // SAFETY: as the caller promises.
        let same = identity_of(path) == Some(*identity) && unsafe { has_its_name(file) };
        if same && let Some(map) = known(*identity) {
            return Some(map);
        }
        // SAFETY: as the caller promises.
        let map = Arc::new(unsafe { FileMap::seeded(file, size) }?);
        if same {
            let mut maps = maps();
            let known = maps.get_or_insert_default();
            // Another thread may have been quicker.
            if let Some(map) = known.get(identity).and_then(Weak::upgrade) {
                return Some(map);
            }
            known.retain(|_, map| map.strong_count() > 0);
            known.insert(*identity, Arc::downgrade(&map));
        }
        Some(map)
    }

    /// A map with room for `size` bytes, in place of this one, which has become too small. Others change over when
    /// they come to its end.
    pub fn grown(self: &Arc<FileMap>, size: u64) -> Option<Arc<FileMap>> {
        let mut maps = maps();
        let known = maps.get_or_insert_default();
        let entry =
            known.values_mut().find(|map| map.strong_count() > 0 && map.as_ptr() == Arc::as_ptr(self));
        let map = Arc::new(FileMap::second(self.address.as_ptr(), size)?);
        if let Some(entry) = entry {
            *entry = Arc::downgrade(&map);
        }
        Some(map)
    }

    /// # Safety
    /// As for [`FileMap::of`].
    unsafe fn seeded(file: *mut sqlite3_file, size: u64) -> Option<FileMap> {
        locks::calls_out();
        // SAFETY: an open file has methods (sqlite3.h, sqlite3_file).
        let methods = unsafe { &*(*file).methods };
        let (Some(fetch), Some(unfetch), Some(control)) =
            (methods.fetch, methods.unfetch, methods.file_control)
        else {
            return None;
        };
        if methods.version < 3 {
            return None;
        }
        let limit = |mut bytes: i64| {
            // SAFETY: the file control takes a pointer to a 64-bit limit.
            unsafe { control(file, SQLITE_FCNTL_MMAP_SIZE, (&raw mut bytes).cast()) };
        };
        limit(ROUND as i64);
        let mut page: *mut c_void = null_mut();
        // SAFETY: an open file and a place for the result; what was fetched is given back.
        let map = unsafe {
            let code = fetch(file, 0, SEED as c_int, &raw mut page);
            let map = (code == SQLITE_OK && !page.is_null()).then(|| FileMap::second(page.cast(), size));
            if !page.is_null() {
                unfetch(file, 0, page);
            }
            map.flatten()
        };
        // Of what is left of its own map SQLite's VFS has no more need.
        limit(0);
        map
    }

    /// A second map of the file that is mapped at `first`, with room for `size` bytes.
    #[cfg(target_os = "linux")]
    fn second(first: *mut u8, size: u64) -> Option<FileMap> {
        let round = |bytes: u64| bytes.max(1).next_multiple_of(ROUND);
        // Where address space is limited, no more than there is of the file.
        [size.saturating_mul(2).max(LEAST), size].into_iter().find_map(|wanted| {
            let reserved = round(wanted);
            // SAFETY: an old size of 0 leaves the first map alone and makes another of the same shared pages.
            let second = unsafe {
                libc::mremap(first.cast(), 0, usize::try_from(reserved).ok()?, libc::MREMAP_MAYMOVE)
            };
            if second == libc::MAP_FAILED {
                return None;
            }
            Some(FileMap { address: NonNull::new(second.cast())?, reserved, size: AtomicU64::new(0) })
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn second(_first: *mut u8, _size: u64) -> Option<FileMap> {
        None
    }

    /// The file was seen to be `size` bytes long.
    pub fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Relaxed);
    }

    /// Is the range up to `end` within what is reserved?
    pub fn reaches(&self, end: u64) -> bool {
        end <= self.reserved
    }

    /// The bytes of the file from `offset` to `end`, if it was last seen to have them.
    pub fn get(&self, offset: u64, end: u64) -> Option<*const u8> {
        let there = offset <= end && end <= self.size.load(Ordering::Relaxed) && self.reaches(end);
        // SAFETY: within the reserved range.
        there.then(|| unsafe { self.address.as_ptr().add(offset as usize).cast_const() })
    }
}

impl Drop for FileMap {
    fn drop(&mut self) {
        // SAFETY: this value's own map, which nobody has a pointer into any more.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.reserved as usize) };
    }
}

fn identity_of(path: &CString) -> Option<Identity> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: a string and a place for the answer, which is there if the call succeeds.
    unsafe {
        let path: *const c_char = path.as_ptr();
        (libc::stat(path, stat.as_mut_ptr()) == 0).then(|| {
            let stat = stat.assume_init();
            (stat.st_dev, stat.st_ino)
        })
    }
}

/// Is the file on a file system of the list?
#[cfg(target_os = "linux")]
fn is_local(path: &CString) -> bool {
    let mut statfs = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: as in `identity_of`.
    let kind = unsafe {
        (libc::statfs(path.as_ptr(), statfs.as_mut_ptr()) == 0).then(|| statfs.assume_init().f_type as u32)
    };
    kind.is_some_and(|kind| LOCAL.contains(&kind))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_path: &CString) -> bool {
    false
}
