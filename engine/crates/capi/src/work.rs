//! Operations that take long, step by step: the caller decides between two steps whether there is another.

use std::ffi::{c_char, c_int, c_void};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{call, give};
use ground::error::{Fault, FaultClass, Result};
use offline::progress::Meter;

/// An operation that has begun. What comes out is JSON.
struct Work {
    operation: Pin<Box<dyn Future<Output = Result<String>>>>,
    meter: Rc<Meter>,
}

/// Hands an operation to the caller, who drives it by [`lumo_work_step`] and ends it by [`lumo_work_free`].
///
/// # Safety
/// `work` is null or a place for a pointer.
pub(super) unsafe fn begin<F>(work: *mut *mut c_void, operation: impl FnOnce(Rc<Meter>) -> F) -> Result<()>
where
    F: Future<Output = Result<String>> + 'static,
{
    // SAFETY: as the caller promises.
    let place = unsafe { work.as_mut() }.ok_or_else(null)?;
    let meter = Rc::new(Meter::default());
    let operation = Box::pin(operation(Rc::clone(&meter)));
    *place = Box::into_raw(Box::new(Work { operation, meter })).cast();
    Ok(())
}

/// Works for about a tenth of a second. `done` and `total` are bytes; `json` is the result, or null as long as there is
/// none.
///
/// # Safety
/// `work` is what an operation has handed out, used by one thread at a time, and not again after a result or a failure
/// but by [`lumo_work_free`]; `done`, `total` and `json` are null or places for the results.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_work_step(
    work: *mut c_void,
    done: *mut u64,
    total: *mut u64,
    json: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (work, done, total) =
            unsafe { (work.cast::<Work>().as_mut().ok_or_else(null)?, done.as_mut(), total.as_mut()) };
        // SAFETY: as the caller promises.
        if let Some(json) = unsafe { json.as_mut() } {
            *json = std::ptr::null_mut();
        }
        let state = work.operation.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let (so_far, all) = work.meter.read();
        done.into_iter().for_each(|done| *done = so_far);
        total.into_iter().for_each(|total| *total = all);
        match state {
            // SAFETY: as the caller promises.
            Poll::Ready(result) => unsafe { give(json, &result?) },
            Poll::Pending => Ok(()),
        }
    })
}

/// Ends an operation, finished or not: its files are closed, and what it made of a destination stays.
///
/// # Safety
/// `work` is null or what an operation has handed out, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_work_free(work: *mut c_void) {
    if !work.is_null() {
        // Closing files cannot panic; if it did, there would be nobody to tell.
        let _ = std::panic::catch_unwind(|| {
            // SAFETY: made by Box::into_raw, and given back once.
            drop(unsafe { Box::from_raw(work.cast::<Work>()) });
        });
    }
}

fn null() -> Fault {
    Fault::new(FaultClass::InvalidArgument, "a required argument is null")
}
