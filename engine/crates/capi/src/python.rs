//! A recorder that is a function of Python's.
//!
//! To make a C function of it, cffi writes machine code and has it executed, which hardened processes may not do. Here it
//! is called by CPython's own functions, which are found in the process by their names where there is a CPython. The
//! engine is neither compiled nor linked against it.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::OnceLock;

use super::call;
use ground::error::{Fault, FaultClass};

type Object = *mut c_void;

/// What is needed of CPython, all of it part of its stable ABI (https://docs.python.org/3/c-api/stable.html).
struct Python {
    ensure: unsafe extern "C" fn() -> c_int,
    release: unsafe extern "C" fn(c_int),
    fetch: unsafe extern "C" fn(*mut Object, *mut Object, *mut Object),
    restore: unsafe extern "C" fn(Object, Object, Object),
    call: unsafe extern "C" fn(Object, *const c_char, ...) -> Object,
    forget: unsafe extern "C" fn(Object),
    unraisable: unsafe extern "C" fn(Object),
    /// The function to call. Whoever named it keeps it for ever.
    function: usize,
}

static PYTHON: OnceLock<Python> = OnceLock::new();

impl Python {
    /// `None`: this process has no CPython, or hides it.
    fn find(function: Object) -> Option<Python> {
        // SAFETY: functions of these names have these types.
        unsafe {
            Some(Python {
                ensure: std::mem::transmute::<Object, unsafe extern "C" fn() -> c_int>(symbol(
                    c"PyGILState_Ensure",
                )?),
                release: std::mem::transmute::<Object, unsafe extern "C" fn(c_int)>(symbol(
                    c"PyGILState_Release",
                )?),
                fetch: std::mem::transmute::<
                    Object,
                    unsafe extern "C" fn(*mut Object, *mut Object, *mut Object),
                >(symbol(c"PyErr_Fetch")?),
                restore: std::mem::transmute::<Object, unsafe extern "C" fn(Object, Object, Object)>(symbol(
                    c"PyErr_Restore",
                )?),
                call: std::mem::transmute::<Object, unsafe extern "C" fn(Object, *const c_char, ...) -> Object>(
                    symbol(c"PyObject_CallFunction")?,
                ),
                forget: std::mem::transmute::<Object, unsafe extern "C" fn(Object)>(symbol(c"Py_DecRef")?),
                unraisable: std::mem::transmute::<Object, unsafe extern "C" fn(Object)>(symbol(
                    c"PyErr_WriteUnraisable",
                )?),
                function: function as usize,
            })
        }
    }
}

fn symbol(name: &CStr) -> Option<Object> {
    // SAFETY: a string; the process's own symbols.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// Names the Python function that [`lumo_python_record`] calls, with the seven numbers of a recorder. Later calls change
/// nothing. Class 8 where this process shows no CPython.
///
/// # Safety
/// `function` is a callable object of this process's CPython, which is never freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_python_recorder(function: *mut c_void) -> c_int {
    call(|| {
        if PYTHON.get().is_none() {
            let python = Python::find(function).ok_or_else(|| {
                Fault::new(FaultClass::InvalidArgument, "the functions of CPython are not visible")
            })?;
            let _ = PYTHON.set(python);
        }
        Ok(())
    })
}

/// A recorder (`lumo_gosqlite_open`) that calls the function that [`lumo_python_recorder`] has named. What that raises goes
/// to `sys.unraisablehook`.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_python_record(
    context: u64,
    operation: c_int,
    kind: c_int,
    offset: i64,
    bytes: i64,
    nanoseconds: u64,
    code: c_int,
) {
    let Some(python) = PYTHON.get() else { return };
    let function = python.function as Object;
    let (mut class, mut value, mut trace) = (null_mut(), null_mut(), null_mut());
    // SAFETY: CPython's functions, in an order that its documentation asks for: any thread may call Ensure, and then the
    // others until Release. An exception that is on its way, as where an object is dropped because of one, is put
    // aside, since Python code must not begin with one. The format names the types of the numbers.
    unsafe {
        let state = (python.ensure)();
        (python.fetch)(&mut class, &mut value, &mut trace);
        let format = c"KiiLLKi".as_ptr();
        let result =
            (python.call)(function, format, context, operation, kind, offset, bytes, nanoseconds, code);
        if result.is_null() {
            (python.unraisable)(function);
        } else {
            (python.forget)(result);
        }
        (python.restore)(class, value, trace);
        (python.release)(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_python_there_is_no_recorder_of_its() {
        // SAFETY: the pointer is not used.
        assert_eq!(unsafe { lumo_python_recorder(null_mut()) }, FaultClass::InvalidArgument as c_int);
        lumo_python_record(1, 0, 1, 0, 4096, 1, 0);
    }
}
