//! No symbol without a prefix: a stock LMDB in the process is another library.

use std::process::Command;

#[test]
fn nothing_is_exported_under_the_names_of_a_stock_lmdb() {
    let program = std::env::current_exe().expect("this program");
    let Ok(output) = Command::new("nm").arg("--defined-only").arg(&program).output() else {
        return;
    };
    // A call, so that the linker keeps the library.
    // SAFETY: every argument may be null.
    let version =
        unsafe { lmdb_sys::mdb_version(std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut()) };
    assert!(!version.is_null());
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let global: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_once(" T "))
        .map(|(_, name)| name)
        .filter(|name| name.contains("mdb_"))
        .collect();
    assert!(global.contains(&"lumo_mdb_version"), "{global:?}");
    let bare: Vec<_> = global.iter().filter(|name| name.starts_with("mdb_")).collect();
    assert!(bare.is_empty(), "{bare:?}");
}
