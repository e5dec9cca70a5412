//! Builds LMDB 1.0.2 under the prefix `lumo_`, edited, and with the feature `stock` a second time as it is.
//!
//! The source is that of the pinned crate `natdb-sys`, found through `cargo metadata` and checked by SHA-256. The edits
//! are the files in `edits/`, in the order of their names; the code that they bring in is in `c/`.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

mod bindings;
mod edits;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What is taken out of the crate, and the SHA-256 that it must have.
const SOURCES: [(&str, &str); 5] = [
    ("lmdb/mdb.c", "6a84f672a05b1dda9f4e3aaae2a4a0bac73683752ec9640518b904b2f9a11109"),
    ("lmdb/midl.c", "26a37f2e94e147e7cce4c8875c94d239d528d1b7b6ac6dfa5d73673dd7fd29f6"),
    ("lmdb/midl.h", "ff8babe69bb4a90aca5798789264c53de4f9efaee2f8cea3ab617c05d7e842d8"),
    ("lmdb/lmdb.h", "fe585a964eb6123f0569608a7d94485f8ca227a49a1ef9e51cc27805afefa5e2"),
    ("src/bindings.rs", "0738ebd3104dbfd27b55d3e661b5274d413e82e6067f131e8f1b4a4f50639396"),
];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=edits");
    println!("cargo::rerun-if-changed=c");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let pristine = out.join("pristine");
    let rust = take_out(&package(&out)?, &pristine)?;
    build(&Build { prefix: "lumo_", name: "lumo_lmdb", edited: true }, &pristine, &rust, &out)?;
    if env::var_os("CARGO_FEATURE_STOCK").is_some() {
        build(&Build { prefix: "stock_", name: "stock_lmdb", edited: false }, &pristine, &rust, &out)?;
    }
    Ok(())
}

/// The folder of the crate that the source is taken from, as Cargo resolved it.
///
/// Cargo is asked about a package that depends on it alone, at the versions of our lock file: about ours, it would want
/// the dependencies of every crate, test and platform, of which a build fetches only its own.
fn package(out: &Path) -> Result<PathBuf> {
    let folder = out.join("asked");
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    fs::write(
        folder.join("Cargo.toml"),
        "[workspace]\n[package]\nname = \"asked\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\nnatdb-sys = \"=0.1.1\"\n",
    )?;
    let ours = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    if let Some(lock) = ours.ancestors().map(|folder| folder.join("Cargo.lock")).find(|path| path.is_file()) {
        fs::copy(lock, folder.join("Cargo.lock"))?;
    }
    // From our folder, so that a configuration with vendored sources counts.
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--offline", "--filter-platform"])
        .arg(env::var("HOST")?)
        .arg("--manifest-path")
        .arg(folder.join("Cargo.toml"))
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let natdb = packages
        .iter()
        .find(|package| package["name"] == "natdb-sys" && package["version"] == "0.1.1")
        .ok_or("natdb-sys 0.1.1 is not among the dependencies")?;
    let manifest = natdb["manifest_path"].as_str().ok_or("natdb-sys has no path")?;
    Ok(Path::new(manifest).parent().ok_or("natdb-sys has no folder")?.to_owned())
}

/// Copies the C source to `to`, and returns the Rust declarations. Fails if anything is not what it was when the
/// edits were written.
fn take_out(package: &Path, to: &Path) -> Result<String> {
    fs::create_dir_all(to)?;
    let mut rust = String::new();
    for (path, expected) in SOURCES {
        let bytes = fs::read(package.join(path))?;
        let found = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        if found != expected {
            return Err(format!(
                "{path} of natdb-sys has SHA-256 {found} instead of {expected}: it is not the source that the edits \
                 are for"
            )
            .into());
        }
        if path.ends_with(".rs") {
            rust = String::from_utf8(bytes)?;
        } else {
            fs::write(to.join(Path::new(path).file_name().ok_or("no name")?), bytes)?;
        }
    }
    Ok(rust)
}

/// One of the two libraries.
struct Build {
    prefix: &'static str,
    name: &'static str,
    edited: bool,
}

fn build(library: &Build, pristine: &Path, rust: &str, out: &Path) -> Result<()> {
    let folder = out.join(library.name);
    fs::create_dir_all(&folder)?;
    for name in ["mdb.c", "midl.c", "midl.h", "lmdb.h"] {
        let mut text = fs::read_to_string(pristine.join(name))?;
        if library.edited {
            text = edits::apply(Path::new("edits"), name, text)?;
        }
        fs::write(folder.join(name), text)?;
    }
    let headers = ["lmdb.h", "midl.h", "midl.c"];
    let mut names = bindings::functions(rust);
    for name in headers {
        names.extend(bindings::c_functions(&fs::read_to_string(pristine.join(name))?));
    }
    names.push("mdb_env_sync0".into());
    names.sort();
    names.dedup();
    fs::write(folder.join("prefix.h"), bindings::prefix_header(&names, library.prefix))?;
    fs::write(out.join(format!("{}.rs", library.name)), bindings::declarations(rust, library.prefix))?;

    let mut cc = cc::Build::new();
    cc.file(folder.join("mdb.c")).file(folder.join("midl.c")).include(&folder);
    cc.flag("-include").flag(folder.join("prefix.h"));
    cc.warnings(false).flag_if_supported("-Wno-unused-parameter");
    if library.edited {
        cc.include("c");
    }
    if env::var_os("CARGO_FEATURE_SMALL_LISTS").is_some() {
        cc.define("MDB_IDL_LOGN", "8");
    }
    // Callers' files may be larger than 2 GiB on 32-bit machines, too.
    cc.define("_FILE_OFFSET_BITS", "64");
    cc.try_compile(library.name)?;
    Ok(())
}
