//! A panic in the middle of a callback becomes a result code, and the file is of no use afterwards.
//!
//! Below is a VFS in memory and above nothing: the callbacks are called as SQLite would.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::host::{self, Host};
use super::report::guard;
use super::shim;
use super::shim_file::ShimFile;
use crate::library::abi::*;
use crate::library::api::Api;
use crypto::nonce;
use ground::error::{Fault, FaultClass};
use ground::failure;
use ground::fork;
use storage::{MemoryFile, Storage};
use vault::cache;
use vault::material::Key;
use vault::registry::{self, OpenOptions};
use vault::unlocked;

const MAIN: c_int = SQLITE_OPEN_MAIN_DB | 0x6; // SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE

#[repr(C)]
struct Below {
    head: sqlite3_file,
    content: *mut MemoryFile,
}

unsafe fn content<'a>(file: *mut sqlite3_file) -> &'a mut MemoryFile {
    // SAFETY: opened by `open` below.
    unsafe { &mut *(*file.cast::<Below>()).content }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite, or we, close a file once.
    drop(unsafe { Box::from_raw((*file.cast::<Below>()).content) });
    SQLITE_OK
}

unsafe extern "C" fn read(file: *mut sqlite3_file, buf: *mut c_void, len: c_int, offset: i64) -> c_int {
    // SAFETY: the engine passes a buffer of that length.
    let buf = unsafe { std::slice::from_raw_parts_mut(buf.cast::<u8>(), len as usize) };
    // SAFETY: an open file.
    match unsafe { content(file) }.read(buf, offset as u64) {
        Ok(true) => SQLITE_OK,
        _ => SQLITE_IOERR_SHORT_READ,
    }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, data: *const c_void, len: c_int, offset: i64) -> c_int {
    // SAFETY: the engine passes a buffer of that length.
    let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len as usize) };
    // SAFETY: an open file.
    unsafe { content(file) }.write(data, offset as u64).map_or(SQLITE_IOERR, |()| SQLITE_OK)
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: i64) -> c_int {
    // SAFETY: an open file.
    unsafe { content(file) }.truncate(size as u64).map_or(SQLITE_IOERR, |()| SQLITE_OK)
}

unsafe extern "C" fn level(_: *mut sqlite3_file, _: c_int) -> c_int {
    SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: an open file and a place for the result.
    unsafe { *size = content(file).bytes.len() as i64 };
    SQLITE_OK
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    close: Some(close),
    read: Some(read),
    write: Some(write),
    truncate: Some(truncate),
    sync: Some(level),
    file_size: Some(file_size),
    lock: Some(level),
    unlock: Some(level),
    ..sqlite3_io_methods::NONE
};

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    _: *const c_char,
    file: *mut sqlite3_file,
    _: c_int,
    _: *mut c_int,
) -> c_int {
    let below = file.cast::<Below>();
    // SAFETY: memory of the size that the VFS asked for.
    unsafe {
        (*below).content = Box::into_raw(Box::default());
        (*below).head.methods = &METHODS;
    }
    SQLITE_OK
}

unsafe extern "C" fn access(_: *mut sqlite3_vfs, _: *const c_char, _: c_int, answer: *mut c_int) -> c_int {
    // SAFETY: a place for the answer. There are no other files.
    unsafe { *answer = 0 };
    SQLITE_OK
}

unsafe extern "C" fn ignore_log(_: c_int, _: *const c_char) {}

unsafe extern "C" fn no_string(_: *const c_char) -> *mut c_char {
    null_mut()
}

/// A library that knows our VFS and answers nothing.
#[allow(clippy::too_many_lines)] // As many as it has functions.
#[allow(clippy::missing_transmute_annotations)] // The field's type says what each function is to be.
fn api() -> Api {
    unsafe extern "C" fn version() -> c_int {
        3_045_000
    }
    unsafe extern "C" fn find(_: *const c_char) -> *mut sqlite3_vfs {
        null_mut()
    }
    unsafe extern "C" fn register(_: *mut sqlite3_vfs, _: c_int) -> c_int {
        SQLITE_OK
    }
    unsafe extern "C" fn unregister(_: *mut sqlite3_vfs) -> c_int {
        SQLITE_OK
    }
    unsafe extern "C" fn control(_: *mut sqlite3, _: *const c_char, _: c_int, _: *mut c_void) -> c_int {
        SQLITE_NOTFOUND
    }
    unsafe extern "C" fn no_name(_: *mut sqlite3, _: *const c_char) -> *const c_char {
        null_mut()
    }
    unsafe extern "C" fn parameter(_: *const c_char, _: *const c_char) -> *const c_char {
        null_mut()
    }
    unsafe extern "C" fn no_key(_: *const c_char, _: c_int) -> *const c_char {
        null_mut()
    }
    unsafe extern "C" fn next(_: *mut sqlite3, _: *mut sqlite3_stmt) -> *mut sqlite3_stmt {
        null_mut()
    }
    unsafe extern "C" fn is_busy(_: *mut sqlite3_stmt) -> c_int {
        0
    }
    unsafe extern "C" fn sql(_: *mut sqlite3_stmt) -> *const c_char {
        null_mut()
    }
    unsafe extern "C" fn message(_: *mut sqlite3) -> *const c_char {
        null_mut()
    }
    unsafe extern "C" fn mutex(_: *mut sqlite3) -> *mut sqlite3_mutex {
        null_mut()
    }
    unsafe extern "C" fn try_mutex(_: *mut sqlite3_mutex) -> c_int {
        SQLITE_OK
    }
    unsafe extern "C" fn leave_mutex(_: *mut sqlite3_mutex) {}
    unsafe extern "C" fn name(_: *const c_char) -> *const c_char {
        null_mut()
    }
    unsafe extern "C" fn open_v2(
        _: *const c_char,
        _: *mut *mut sqlite3,
        _: c_int,
        _: *const c_char,
    ) -> c_int {
        SQLITE_CANTOPEN
    }
    unsafe extern "C" fn busy(_: *mut sqlite3, _: c_int) -> c_int {
        SQLITE_MISUSE
    }
    unsafe extern "C" fn exec(
        _: *mut sqlite3,
        _: *const c_char,
        _: Option<unsafe extern "C" fn(*mut c_void, c_int, *mut *mut c_char, *mut *mut c_char) -> c_int>,
        _: *mut c_void,
        _: *mut *mut c_char,
    ) -> c_int {
        SQLITE_MISUSE
    }
    unsafe extern "C" fn no_connection(_: *mut sqlite3) -> c_int {
        SQLITE_OK
    }
    Api {
        host: u32::MAX,
        libversion_number: version,
        vfs_find: find,
        vfs_register: register,
        vfs_unregister: unregister,
        // SAFETY: a function that ignores what comes behind its named parameters is called as one that is
        // variadic on every platform served.
        mprintf: unsafe { std::mem::transmute(no_string as unsafe extern "C" fn(_) -> _) },
        // SAFETY: as above.
        log: unsafe { std::mem::transmute(ignore_log as unsafe extern "C" fn(_, _)) },
        db_filename: no_name,
        file_control: control,
        uri_parameter: parameter,
        uri_key: no_key,
        filename_journal: name,
        filename_wal: name,
        open_v2,
        busy_timeout: busy,
        exec,
        get_autocommit: no_connection,
        close: no_connection,
        next_stmt: next,
        stmt_busy: is_busy,
        sql,
        errmsg: message,
        extended_errcode: no_connection,
        db_mutex: mutex,
        mutex_try: try_mutex,
        mutex_leave: leave_mutex,
    }
}

fn base_vfs() -> &'static mut sqlite3_vfs {
    Box::leak(Box::new(sqlite3_vfs {
        version: 1,
        os_file_size: size_of::<Below>() as c_int,
        max_pathname: 100,
        next: null_mut(),
        name: c"memory".as_ptr(),
        app_data: null_mut(),
        open: Some(open),
        delete: None,
        access: Some(access),
        full_pathname: None,
        dl_open: None,
        dl_error: None,
        dl_sym: None,
        dl_close: None,
        randomness: None,
        sleep: None,
        current_time: None,
        get_last_error: None,
        current_time_int64: None,
        set_system_call: None,
        get_system_call: None,
        next_system_call: None,
    }))
}

/// A new encrypted database, opened through our VFS.
struct Opened {
    memory: Vec<u64>,
}

impl Opened {
    fn new(path: &str) -> Opened {
        let key = Some(Arc::new(Key::raw(&[7; 32]).unwrap()));
        unlocked::insert(Path::new(path), OpenOptions { key, ..OpenOptions::default() }, None);
        let host: &'static Host = Box::leak(Box::new(Host::for_tests(api(), shim::vfs_over)));
        let vfs = host.add_for_tests(base_vfs());
        let mut opened = Opened { memory: vec![0; (size_of::<ShimFile>() + size_of::<Below>()).div_ceil(8)] };
        let name = CString::new(path).unwrap().into_raw();
        // SAFETY: what SQLite passes; the name is leaked, as it must outlive the file.
        let code = unsafe { ((*vfs).open.unwrap())(vfs, name, opened.file(), MAIN, null_mut()) };
        assert_eq!(code, SQLITE_OK);
        opened
    }

    fn file(&mut self) -> *mut sqlite3_file {
        self.memory.as_mut_ptr().cast()
    }

    fn methods(&mut self) -> &'static sqlite3_io_methods {
        // SAFETY: an open file of ours has methods, which are static.
        unsafe { &*(*self.file()).methods }
    }

    fn write(&mut self, page: &[u8], offset: i64) -> c_int {
        let write = self.methods().write.unwrap();
        // SAFETY: an open file and a buffer of that length.
        unsafe { write(self.file(), page.as_ptr().cast(), page.len() as c_int, offset) }
    }

    fn read(&mut self, page: &mut [u8], offset: i64) -> c_int {
        let read = self.methods().read.unwrap();
        // SAFETY: an open file and a buffer of that length.
        unsafe { read(self.file(), page.as_mut_ptr().cast(), page.len() as c_int, offset) }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let close = self.methods().close.unwrap();
        // SAFETY: an open file, closed once.
        assert_eq!(unsafe { close(self.file()) }, SQLITE_OK);
    }
}

#[test]
fn a_panic_in_a_callback_is_a_result_code_and_the_file_is_done_with() {
    let mut file = Opened::new("/lumocrypt-tests/panic.db");
    let mut page = [1; 4096];
    assert_eq!(file.write(&page, 0), SQLITE_OK);
    assert_eq!(file.read(&mut page, 0), SQLITE_OK);

    nonce::panic_rng_for_tests();
    assert_eq!(file.write(&page, 0), SQLITE_INTERNAL);
    nonce::fail_rng_for_tests(false);
    let fault = failure::take().expect("the panic left a record");
    assert_eq!(fault.class, FaultClass::Internal);

    // What the call had taken apart must not be used.
    assert_eq!(file.write(&page, 0), SQLITE_INTERNAL);
    assert_eq!(file.read(&mut page, 0), SQLITE_INTERNAL);
    assert!(failure::take().unwrap().message.contains("happened before"));
    let (methods, mut size) = (file.methods(), 0);
    // SAFETY: an open file and a place for the result.
    unsafe {
        assert_eq!(methods.sync.unwrap()(file.file(), SQLITE_SYNC_NORMAL), SQLITE_INTERNAL);
        assert_eq!(methods.truncate.unwrap()(file.file(), 0), SQLITE_INTERNAL);
        assert_eq!(methods.lock.unwrap()(file.file(), SQLITE_LOCK_SHARED), SQLITE_INTERNAL);
        assert_eq!(methods.file_size.unwrap()(file.file(), &mut size), SQLITE_INTERNAL);
        // It can be left, though.
        assert_eq!(methods.unlock.unwrap()(file.file(), SQLITE_LOCK_NONE), SQLITE_OK);
    }
}

#[test]
fn a_failing_generator_fails_the_write_and_nothing_else() {
    let mut file = Opened::new("/lumocrypt-tests/rng.db");
    assert_eq!(file.write(&[1; 4096], 0), SQLITE_OK);
    nonce::fail_rng_for_tests(true);
    assert_eq!(file.write(&[2; 4096], 0), SQLITE_IOERR);
    nonce::fail_rng_for_tests(false);
    let mut page = [0; 4096];
    assert_eq!(file.read(&mut page, 0), SQLITE_OK);
    assert_eq!(page, [1; 4096]);
    assert_eq!(file.write(&[3; 4096], 0), SQLITE_OK);
}

#[test]
fn a_guard_turns_panics_and_faults_into_codes() {
    let api = api();
    assert_eq!(guard(&api, "p", || panic!("a bug")), SQLITE_INTERNAL);
    assert_eq!(failure::take().unwrap().path, Some("p".into()));
    let fault = || Fault::new(FaultClass::Tampered, "changed");
    assert_eq!(guard(&api, "p", || Err(fault())), SQLITE_IOERR_DATA);
    assert_eq!(guard(&api, "p", || Ok(SQLITE_BUSY)), SQLITE_BUSY);
}

#[test]
fn a_thread_that_ends_can_still_fail() {
    struct AtTheEnd;
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            // By now the thread's record may be gone, as it is for a connection that a host's own thread-local
            // storage closes.
            failure::record(Fault::new(FaultClass::Internal, "late"));
            failure::take();
        }
    }
    thread_local! {
        static LATE: AtTheEnd = const { AtTheEnd };
    }
    std::thread::spawn(|| {
        LATE.with(|_| ());
        failure::record(Fault::new(FaultClass::Io, "early"));
    })
    .join()
    .unwrap();
}

/// What a connection does with the locks of the process: keys, handles, registered VFSs, names of logs, data keys.
fn open_and_close(path: &str) {
    let key = registry::store_key(Arc::new(Key::random().unwrap()));
    assert!(registry::get_key(key).is_some() && registry::drop_key(key));
    drop(Opened::new(path));
    cache::forget_all();
    host::hosts();
}

/// SQLite's own mutexes are another matter: a child of a process with threads in SQLite may wait for them for ever.
#[test]
fn a_child_of_a_process_with_threads_finds_our_locks_free() {
    fork::watch(nonce::prepare);
    open_and_close("/lumocrypt-tests/fork.db");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // One lock each without a pause, and connections.
        let busy: [fn(); 4] = [
            || drop(registry::get_key(0)),
            cache::forget_all,
            || drop(host::hosts()),
            || open_and_close("/lumocrypt-tests/fork.db"),
        ];
        for action in busy {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    action();
                }
            });
        }
        let mut ends = [0; 200];
        for end in &mut ends {
            // SAFETY: the child runs nothing but the engine and the allocator, which is made for that, and never
            // returns.
            unsafe {
                let child = libc::fork();
                assert!(child >= 0);
                if child == 0 {
                    libc::alarm(5);
                    let fine = std::panic::catch_unwind(|| open_and_close("/lumocrypt-tests/child.db"));
                    libc::_exit(c_int::from(fine.is_err()));
                }
                assert_eq!(libc::waitpid(child, end, 0), child);
            }
            if *end != 0 {
                break;
            }
        }
        done.store(true, Relaxed);
        // Killed by the alarm would be 14.
        assert_eq!(ends, [0; 200]);
    });
}
