//! Operations on whole files.

use std::ffi::{c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::json;

use super::input::{InputFile, beside, new_file, open};
use super::work::begin;
use super::{call, file_name, give, text};
use ground::bytes::hex;
use ground::error::{Fault, FaultClass, Result};
use offline::convert::{self, Converted};
use offline::environment;
use offline::inspect;
use offline::progress::Meter;
use offline::verify::{self, Files};
use sqlite::vfs::companions::log_that_counts;
use sqlite::vfs::host;
use storage::Storage;
use storage::disk::DiskFile;
use vault::format::header;
use vault::registry::{self, OpenOptions};

/// Describes the file at `path` without a key.
///
/// # Safety
/// `path` is a string; `json` is null or a place for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_inspect(host: u32, path: *const c_char, json: *mut *mut c_char) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let path = unsafe { file_name(path) }?;
        let mut file = open(host, path)?;
        let description = inspect::inspect(&mut file.base).map_err(|fault| placed(host, path, fault))?;
        // SAFETY: as the caller promises.
        unsafe { give(json, &description.to_string()) }
    })
}

/// Begins to encrypt `source`, which is in the open folder `folder` if that is not negative, into the empty file that is
/// open as `destination`.
///
/// # Safety
/// Strings as named; the descriptors stay open until the call returns; `work` is null or a place for what `lumo_work_step`
/// takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_encrypt_file(
    host: u32,
    source: *const c_char,
    folder: c_int,
    destination: c_int,
    key: u64,
    options: *const c_char,
    work: *mut *mut c_void,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let mut made = unsafe { Making::of(host, source, folder, destination, key, options) }?;
        let operation = async move |meter: Rc<Meter>| {
            let Making { source, target, options, .. } = &mut made;
            let done = convert::encrypt(source, target, options, &meter).await;
            made.described(done)
        };
        // SAFETY: as the caller promises.
        unsafe { begin(work, operation) }
    })
}

/// Makes the empty file that is open as `destination` a database without content.
///
/// # Safety
/// Strings as named; the descriptor stays open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_create_file(destination: c_int, key: u64, options: *const c_char) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (mut target, options) = unsafe { (new_file(destination)?, open_options(options, key)?) };
        convert::create(&mut target, &options)
    })
}

/// Begins to decrypt `source` into the empty file that is open as `destination`.
///
/// # Safety
/// As for [`lumo_encrypt_file`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_decrypt_file(
    host: u32,
    source: *const c_char,
    folder: c_int,
    destination: c_int,
    key: u64,
    options: *const c_char,
    work: *mut *mut c_void,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let mut made = unsafe { Making::of(host, source, folder, destination, key, options) }?;
        let operation = async move |meter: Rc<Meter>| {
            let Making { source, target, options, path, .. } = &mut made;
            let done = convert::decrypt(source, target, options, path, &meter).await;
            made.described(done)
        };
        // SAFETY: as the caller promises.
        unsafe { begin(work, operation) }
    })
}

/// Begins to verify the database at `path` and the logs beside it, or the LMDB environment there.
///
/// # Safety
/// As for [`lumo_encrypt_file`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_verify_file(
    host: u32,
    path: *const c_char,
    key: u64,
    options: *const c_char,
    work: *mut *mut c_void,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (path, options) = unsafe { (file_name(path)?, open_options(options, key)?) };
        let mut main = InputFile::open(host, path, -1)?;
        let mut wal = beside(host, path, "-wal")?;
        let mut journal = beside(host, path, "-journal")?;
        let path = path.to_owned();
        let operation = async move |meter: Rc<Meter>| {
            if environment::is_environment(&mut main).map_err(|fault| placed(host, &path, fault))? {
                let verdict = environment::verify(&mut main, &options, &path, &meter).await;
                return Ok(verdict.map_err(|fault| fault.at_path(&path))?.to_string());
            }
            let files = Files {
                main: &mut main,
                wal: wal.as_mut().map(|file| &mut file.base as &mut dyn Storage),
                journal: journal.as_mut().map(|file| &mut file.base as &mut dyn Storage),
                exists: &|name| name.exists(),
            };
            let verdict = verify::verify(files, &options, &path, &meter).await;
            Ok(verdict.map_err(|fault| placed(host, &path, fault))?.to_string())
        };
        // SAFETY: as the caller promises.
        unsafe { begin(work, operation) }
    })
}

/// One whole file that is made of another.
struct Making {
    host: u32,
    path: PathBuf,
    source: InputFile,
    target: DiskFile,
    options: OpenOptions,
}

impl Making {
    /// Opens both.
    ///
    /// # Safety
    /// As for [`lumo_encrypt_file`].
    unsafe fn of(
        host: u32,
        source: *const c_char,
        folder: c_int,
        destination: c_int,
        key: u64,
        options: *const c_char,
    ) -> Result<Making> {
        // SAFETY: as the caller promises.
        let (path, target, options) =
            unsafe { (file_name(source)?, new_file(destination)?, open_options(options, key)?) };
        let source = InputFile::open(host, path, folder)?;
        Ok(Making { host, path: path.to_owned(), source, target, options })
    }

    /// The JSON of what was made.
    fn described(&self, done: Result<Converted>) -> Result<String> {
        done.map(|done| describe(&done)).map_err(|fault| placed(self.host, &self.path, fault))
    }
}

/// `fault` with the name of the database that it is about. A file that looks as if its creation had been interrupted is a
/// database that was truncated if there is a log beside it.
pub(super) fn placed(host: u32, path: &Path, fault: Fault) -> Fault {
    let fault = match fault.class {
        FaultClass::NoDatabase => {
            match host::host(host).and_then(|host| log_that_counts(host, path, Path::exists)) {
                Ok(Some(suffix)) => header::emptied(suffix),
                Ok(None) => fault,
                Err(failure) => failure,
            }
        }
        _ => fault,
    };
    fault.at_path(path)
}

/// # Safety
/// `options` is null or a string.
pub(super) unsafe fn open_options(options: *const c_char, key: u64) -> Result<OpenOptions> {
    // SAFETY: as the caller promises.
    let mut open = OpenOptions::from_json(unsafe { text(options) }?.unwrap_or("{}"))?;
    if key != 0 {
        open.key = Some(registry::get_key(key).ok_or_else(|| {
            Fault::new(FaultClass::InvalidArgument, format!("no key has the number {key}; it was freed"))
        })?);
    }
    Ok(open)
}

pub(super) fn describe(done: &Converted) -> String {
    json!({
        "cipher": done.suite.name(),
        "uuid": hex(&done.uuid),
        "block_size": done.block_size,
        "size": done.size,
    })
    .to_string()
}
