//! Reading a database page by page, in spite of damage.

use std::ffi::{c_char, c_int, c_void};
use std::path::Path;

use super::files::{open_options, placed};
use super::input::{beside, new_file, open};
use super::{call, file_name, give};
use ground::error::{Fault, FaultClass, Result};
use offline::image::{Image, ImageFiles};
use storage::Storage;

/// Opens the database at `path` with the logs beside it for [`lumo_image_page`].
///
/// # Safety
/// Strings as named; `image` and `json` are places for pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_image_open(
    host: u32,
    path: *const c_char,
    key: u64,
    options: *const c_char,
    image: *mut *mut c_void,
    json: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (path, options) = unsafe { (file_name(path)?, open_options(options, key)?) };
        if image.is_null() {
            return Err(null_image());
        }
        let boxed = |file| Box::new(file) as Box<dyn Storage>;
        let files = ImageFiles {
            main: boxed(open(host, path)?),
            wal: beside(host, path, "-wal")?.map(boxed),
            journal: beside(host, path, "-journal")?.map(boxed),
        };
        let exists = |name: &Path| name.exists();
        let opened =
            Image::open(files, &options, path, &exists).map_err(|fault| placed(host, path, fault))?;
        // SAFETY: as the caller promises.
        unsafe {
            give(json, &opened.describe().to_string())?;
            *image = Box::into_raw(Box::new(opened)).cast();
        }
        Ok(())
    })
}

/// Reads page `number`, counted from 1, into `buf` of `len` bytes, the page size. `source`: where it was found.
///
/// # Safety
/// `image` is from [`lumo_image_open`] and used by one thread at a time; `buf` has room for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_image_page(
    image: *mut c_void,
    number: u32,
    buf: *mut u8,
    len: usize,
    source: *mut c_int,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let image = unsafe { borrow(image) }?;
        if buf.is_null() || source.is_null() || len != image.page_size() as usize {
            return Err(Fault::new(FaultClass::InvalidArgument, "the buffer is not a page long"));
        }
        // SAFETY: as the caller promises.
        let buf = unsafe { std::slice::from_raw_parts_mut(buf, len) };
        let found = image.page(number, buf)?;
        // SAFETY: as the caller promises.
        unsafe { *source = found as c_int };
        Ok(())
    })
}

/// Makes the empty file that is open as `destination` a database without content that the image's keys open.
///
/// # Safety
/// As for [`lumo_image_page`]; the descriptor stays open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_image_relative(image: *mut c_void, destination: c_int) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (image, mut target) = unsafe { (borrow(image)?, new_file(destination)?) };
        image.relative(&mut target)
    })
}

/// Closes an image.
///
/// # Safety
/// `image` is null or from [`lumo_image_open`], and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_image_close(image: *mut c_void) {
    if !image.is_null() {
        // SAFETY: made by Box::into_raw, and given back once.
        drop(unsafe { Box::from_raw(image.cast::<Image>()) });
    }
}

/// # Safety
/// As for [`lumo_image_page`].
unsafe fn borrow<'a>(image: *mut c_void) -> Result<&'a mut Image> {
    // SAFETY: as the caller promises.
    unsafe { image.cast::<Image>().as_mut() }.ok_or_else(null_image)
}

fn null_image() -> Fault {
    Fault::new(FaultClass::InvalidArgument, "a required image is null")
}
