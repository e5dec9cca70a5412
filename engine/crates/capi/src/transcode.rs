//! Whole files from one format to another.

use std::ffi::{c_char, c_int, c_void};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::input::{InputFile, new_file};
use super::work::begin;
use super::{call, file_name, required};
use crypto::{LengthPreserving, instantiate_length_preserving};
use ground::error::{Fault, FaultClass, Result};
use offline::progress::Meter;
use offline::transcode;
use offline::view::{Format, Gosqlite, View};
use storage::Storage;
use storage::disk::DiskFile;
use vault::format::superblock::is_block_size;
use vault::registry::{self, OpenOptions};

/// Begins to write the database `source` to the empty file that is open as `destination` in another format, and reads it
/// back.
///
/// # Safety
/// Strings as named; `secret` and `new_secret` point to as many readable bytes as said, or are null with none;
/// `work` as for `lumo_encrypt_file`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_convert_file(
    host: u32,
    source: *const c_char,
    folder: c_int,
    options: *const c_char,
    key: u64,
    secret: *const u8,
    secret_len: usize,
    destination: c_int,
    new_options: *const c_char,
    new_key: u64,
    new_secret: *const u8,
    new_secret_len: usize,
    work: *mut *mut c_void,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (source, old) = unsafe { (file_name(source)?, format(options, key, secret, secret_len)?) };
        // SAFETY: as the caller promises.
        let (mut target, new) =
            unsafe { (new_file(destination)?, format(new_options, new_key, new_secret, new_secret_len)?) };
        let input = Box::new(InputFile::open(host, source, folder)?);
        let source = source.to_owned();
        let operation =
            async move |meter: Rc<Meter>| convert(input, (&source, &old), &mut target, &new, &meter).await;
        // SAFETY: as the caller promises.
        unsafe { begin(work, operation) }
    })
}

/// Writes `input`, which was found at `source`, to `target` in the other format, and reads that back, which is the other
/// half of the work.
async fn convert(
    input: Box<InputFile>,
    (source, old): (&Path, &Side),
    target: &mut DiskFile,
    new: &Side,
    meter: &Meter,
) -> Result<String> {
    let at_source = |fault: Fault| fault.at_path(source);
    let mut view = View::open(input, &old.format, source).map_err(at_source)?;
    meter.enter_part(0, 2);
    transcode::transcode(&mut view, target, &new.format, new.threads, meter).await.map_err(at_source)?;
    let mut written = View::open(Box::new(target.again()?), &new.format, "")?;
    meter.enter_part(1, 2);
    transcode::compare(&mut view, &mut written, meter).await.map_err(at_source)?;
    Ok(json!({"size": view.size()?, "page_size": view.page_size()}).to_string())
}

/// Finds out the page size of a database in the gosqlite format, of which the file itself says nothing.
///
/// # Safety
/// Strings as named; `secret` points to `secret_len` readable bytes; `page_size` is null or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_gosqlite_page_size(
    host: u32,
    path: *const c_char,
    options: *const c_char,
    secret: *const u8,
    secret_len: usize,
    page_size: *mut u32,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (path, side) = unsafe { (file_name(path)?, format(options, 0, secret, secret_len)?) };
        let input = Box::new(InputFile::open(host, path, -1)?);
        let view = View::open(input, &side.format, path).map_err(|fault| fault.at_path(path))?;
        // SAFETY: as the caller promises.
        if let Some(place) = unsafe { page_size.as_mut() } {
            *place = view.block_size();
        }
        Ok(())
    })
}

/// A format with what else its options say.
struct Side {
    format: Format,
    threads: Option<usize>,
}

/// Reads the options of one side: `"format"`, and what goes with it.
///
/// # Safety
/// `options` is a string; `secret` points to `secret_len` readable bytes, or is null with none.
unsafe fn format(options: *const c_char, key: u64, secret: *const u8, secret_len: usize) -> Result<Side> {
    // SAFETY: as the caller promises.
    let text = unsafe { required(options) }?;
    let mut members = match serde_json::from_str(text) {
        Ok(Value::Object(members)) => members,
        _ => return Err(invalid("the options are not a JSON object")),
    };
    let format = members.remove("format");
    match format.as_ref().and_then(Value::as_str) {
        Some("lumocrypt") => {
            let mut open = OpenOptions::from_json(&Value::Object(members).to_string())?;
            if key != 0 {
                open.key = Some(
                    registry::get_key(key).ok_or_else(|| invalid("there is no such key; it was freed"))?,
                );
            }
            Ok(Side { threads: open.threads, format: Format::Native(open) })
        }
        Some("gosqlite") => {
            let cipher = members.remove("cipher");
            let cipher = cipher.as_ref().and_then(Value::as_str).and_then(LengthPreserving::from_name);
            let cipher = cipher.ok_or_else(|| invalid("the cipher is adiantum or aes-256-xts"))?;
            if secret.is_null() {
                return Err(invalid("a required key is null"));
            }
            // SAFETY: as the caller promises.
            let secret = unsafe { std::slice::from_raw_parts(secret, secret_len) };
            let keyed = Arc::from(instantiate_length_preserving(cipher, secret)?);
            let page_size = match members.remove("page_size") {
                None | Some(Value::Null) => None,
                Some(size) => Some(page_size(&size)?),
            };
            let threads = threads(members)?;
            Ok(Side { format: Format::Gosqlite(Gosqlite { cipher, keyed, page_size }), threads })
        }
        Some("plain") => Ok(Side { format: Format::Plain, threads: threads(members)? }),
        _ => Err(invalid("the format is plain, lumocrypt or gosqlite")),
    }
}

/// `"threads"`, which is all that may be left.
fn threads(members: Map<String, Value>) -> Result<Option<usize>> {
    OpenOptions::from_json(&Value::Object(members).to_string()).map(|options| options.threads)
}

fn page_size(size: &Value) -> Result<u32> {
    size.as_u64().and_then(|size| u32::try_from(size).ok()).filter(|size| is_block_size(*size)).ok_or_else(
        || {
            invalid(&format!(
                "a page size of {size} is not possible; choose a power of two from 512 to 65536"
            ))
        },
    )
}

fn invalid(message: &str) -> Fault {
    Fault::new(FaultClass::InvalidArgument, message)
}
