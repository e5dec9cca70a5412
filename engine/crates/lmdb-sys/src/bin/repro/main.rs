//! Shows one fault of LMDB, or that it is not there: `repro stock|lumo CASE FOLDER`.
//!
//! Prints what it saw. Ends with 0 if everything was right, with 1 if not, and with a signal if LMDB crashed; so each
//! case is a process of its own. The cipher here is a toy: these cases are about pages, not about secrets.

#![allow(missing_docs, clippy::undocumented_unsafe_blocks)]

use std::path::Path;
use std::process::ExitCode;

mod toy;

/// The cases on the edited library.
mod lumo {
    use lmdb_sys as api;
    pub const EDITED: bool = true;
    include!("env.rs");
    include!("pages.rs");
    include!("files.rs");
}

/// The cases on the library as it is.
mod stock {
    use lmdb_sys::stock as api;
    pub const EDITED: bool = false;
    include!("env.rs");
    include!("pages.rs");
    include!("files.rs");
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let [_, library, case, folder] = args.as_slice() else {
        eprintln!("usage: repro stock|lumo CASE FOLDER");
        return ExitCode::from(2);
    };
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder).expect("a folder for the environment");
    let problems = match library.as_str() {
        "lumo" => lumo::run(case, folder),
        _ => stock::run(case, folder),
    };
    match problems {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("{what}");
            ExitCode::FAILURE
        }
    }
}
