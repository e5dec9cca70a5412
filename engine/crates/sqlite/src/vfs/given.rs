//! What a main database is opened with, and where that comes from.

use std::cell::RefCell;
use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::library::abi::SQLITE_WARNING;
use crate::library::api::Api;
use crypto::suite::SuiteId;
use ground::error::{Fault, FaultClass, Result};
use vault::material::Key;
use vault::options;
use vault::registry::{self, IoMode, OpenOptions};
use vault::unlocked;

/// The environment variable of last resort.
const KEY_VARIABLE: &str = "LUMO_KEY";
/// The URI parameters that there are. Another one that begins as they do is an error: it may be a misspelt key.
const PARAMETERS: [&str; 10] = [
    "lumo_cipher",
    "lumo_discard_wal",
    "lumo_handle",
    "lumo_io",
    "lumo_kdf_limit",
    "lumo_key",
    "lumo_no_key",
    "lumo_partial_journal",
    "lumo_plain",
    "lumo_uuid",
];
/// SQLite parameters that decide what is opened, and how; SQLite itself would take one of two without a word.
const OTHER_PARAMETERS: [&str; 4] = ["cache", "immutable", "mode", "vfs"];

/// Where a connection's key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// There is none.
    Nobody,
    /// The connection showed it: by a handle, in its URI, or with `PRAGMA lumo_key`.
    Caller,
    /// `lumocrypt.unlock` keeps it for the path.
    Unlocked,
    /// `LUMO_KEY`, which names no particular file.
    Environment,
}

/// Options, whose key they hold, and who named this very file.
pub struct Given {
    /// With the identity that is wanted, from whomever.
    pub open: OpenOptions,
    /// Where the key comes from.
    pub origin: Origin,
    /// The entry of the path, if it is unlocked.
    pub entry: Option<u64>,
    /// The identity was asked for by the caller.
    pub pinned: bool,
}

/// The parameters behind a name that SQLite passed to `xOpen`.
#[derive(Clone, Copy)]
pub struct Parameters<'a> {
    api: &'a Api,
    name: *const c_char,
}

impl<'a> Parameters<'a> {
    /// Refuses parameters that are given twice, and unknown ones with a prefix like ours.
    ///
    /// # Safety
    /// `name` is a name that SQLite passed to `xOpen` for a main database, and outlives the result.
    pub unsafe fn read(api: &'a Api, name: *const c_char) -> Result<Parameters<'a>> {
        let mut seen: Vec<String> = Vec::new();
        // SAFETY: as the caller promises.
        while let Some(key) = unsafe { api.uri_key(name, seen.len()) } {
            let ours = key.to_ascii_lowercase().starts_with("lumo");
            if ours && !PARAMETERS.contains(&key.as_str()) {
                return Err(invalid(format!(
                    "there is no URI parameter {key:?}; the ones of lumocrypt are {}",
                    PARAMETERS.join(", ")
                )));
            }
            if (ours || OTHER_PARAMETERS.contains(&key.as_str())) && seen.contains(&key) {
                return Err(invalid(format!("{key} is twice in the URI; give it once")));
            }
            seen.push(key);
        }
        Ok(Parameters { api, name })
    }

    /// The value of one of them.
    pub fn get(&self, parameter: &CStr) -> Option<String> {
        // SAFETY: a name that SQLite passed to xOpen, as the maker promised.
        unsafe { self.api.uri_parameter(self.name, parameter) }
    }

    /// Is it switched on?
    pub fn is_set(&self, parameter: &CStr) -> bool {
        self.get(parameter).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "no" | "off"))
    }

    /// Takes over what they say about how the file is read and what a new one is to be like.
    pub fn apply(&self, open: &mut OpenOptions) -> Result<()> {
        if let Some(io) = self.get(c"lumo_io") {
            open.io = Some(match io.as_str() {
                "map" => IoMode::Map,
                "pread" => IoMode::Pread,
                other => return Err(bad_parameter("lumo_io", other, "map or pread")),
            });
        }
        if let Some(cipher) = self.get(c"lumo_cipher") {
            let suite = SuiteId::from_name(&cipher);
            open.suite =
                Some(suite.ok_or_else(|| bad_parameter("lumo_cipher", &cipher, "the name of a cipher"))?);
        }
        Ok(())
    }

    /// Does the connection share its cache with others that ask for the same file? (SQLite can be told so in other ways,
    /// too, of which nothing reaches a VFS.)
    pub fn shares_cache(&self) -> bool {
        self.get(c"cache").is_some_and(|value| value == "shared")
    }
}

/// What the file at `path` is to be opened with. The key comes, in the order of the documentation, from a handle of
/// `connect`, the URI, `unlock`, or the environment. (`PRAGMA lumo_key` comes later, to a file that opened without one.)
pub fn read(parameters: Parameters<'_>, path: &Path) -> Result<Given> {
    let mut open = match parameters.get(c"lumo_handle") {
        Some(handle) => registry::take_handle(&handle).ok_or_else(|| {
            Fault::new(
                FaultClass::InvalidArgument,
                "the lumo_handle in the URI is unknown or used up: a handle opens one database once",
            )
        })?,
        None => OpenOptions::default(),
    };
    open.no_key |= parameters.is_set(c"lumo_no_key");
    if let Some(text) = parameters.get(c"lumo_key") {
        if open.key.is_some() {
            return Err(invalid(
                "two keys were given, by a handle and as lumo_key in the URI; give one".to_owned(),
            ));
        }
        parameters.api.write_log(
            SQLITE_WARNING,
            "a key in a URI is visible to everything that sees the file name; use lumocrypt.connect(key=…)",
        );
        open.key = Some(Arc::new(Key::parse(text.as_bytes())?));
    }
    if let Some(text) = parameters.get(c"lumo_uuid") {
        let uuid = options::uuid(&text)?;
        if open.uuid.is_some_and(|other| other != uuid) {
            return Err(invalid("two UUIDs were given that differ; give the one of the database".to_owned()));
        }
        open.uuid = Some(uuid);
    }
    if let Some(text) = parameters.get(c"lumo_kdf_limit") {
        open.settle_limits(Some(&text), None)?;
    }
    if open.no_key && open.key.is_some() {
        return Err(invalid("a key was given, and also said that none is meant; decide for one".to_owned()));
    }
    complete(open, path, asked_for(path).as_deref())
}

/// Adds to what the caller gave what is known without him: that the path is unlocked, and the environment's key.
pub fn complete(mut open: OpenOptions, path: &Path, asked: Option<&Path>) -> Result<Given> {
    let mut origin = if open.key.is_some() { Origin::Caller } else { Origin::Nobody };
    let no_key = open.no_key;
    let entry = unlocked::find(path, asked);
    // Whoever unlocked the path may have named the database, too.
    let pinned = open.uuid.is_some() || entry.as_ref().is_some_and(|known| known.options.uuid.is_some());
    open.settle_limits(None, entry.as_ref().map(|known| &known.options))?;
    if let Some(known) = &entry {
        if origin == Origin::Nobody && !no_key {
            let given = std::mem::replace(&mut open, known.options.clone());
            open.io = given.io.or(open.io);
            open.suite = given.suite.or(open.suite);
            open.uuid = given.uuid;
            (open.limits, open.limits_named) = (given.limits, given.limits_named);
            origin = Origin::Unlocked;
        }
        // Whatever opens it: this path is about that database.
        open.uuid = open.uuid.or(known.uuid);
    }
    if origin == Origin::Nobody
        && !no_key
        && let Some(key) = environment_key()?
    {
        open.key = Some(key);
        origin = Origin::Environment;
    }
    Ok(Given { open, origin, entry: entry.map(|known| known.number), pinned })
}

/// Whether the process knows any key by itself.
pub fn any_key_is_known() -> bool {
    unlocked::any() || std::env::var_os(KEY_VARIABLE).is_some_and(|text| !text.is_empty())
}

fn environment_key() -> Result<Option<Arc<Key>>> {
    let text = std::env::var_os(KEY_VARIABLE).filter(|text| !text.is_empty());
    text.map(|text| Key::from_variable(text.as_bytes()).map(Arc::new)).transpose()
}

thread_local! {
    /// The last name that SQLite had made a full one on this thread, and what it became: SQLite does that right before it
    /// opens a database, and `xOpen` gets to see the end of all links only.
    static ASKED: RefCell<Option<(PathBuf, PathBuf)>> = const { RefCell::new(None) };
}

/// SQLite's `xFullPathname` has made `full` of `name`.
///
/// # Safety
/// Both are strings.
pub unsafe fn full_name_was_made(name: *const c_char, full: *const c_char) {
    if !unlocked::any() || name.is_null() || full.is_null() {
        return;
    }
    // SAFETY: as the caller promises.
    let path = |text| Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(text) }.to_bytes())).to_owned();
    let pair = (path(name), path(full));
    // A thread that is being torn down opens no databases.
    let _ = ASKED.try_with(|asked| asked.try_borrow_mut().map(|mut asked| *asked = Some(pair)));
}

/// The name that SQLite was asked for, if it made `path` of it on this thread.
fn asked_for(path: &Path) -> Option<PathBuf> {
    let last = ASKED.try_with(|asked| asked.try_borrow_mut().ok().and_then(|mut asked| asked.take()));
    last.ok().flatten().filter(|(_, full)| full == path).map(|(name, _)| name)
}

/// The fault for a malformed parameter.
fn bad_parameter(name: &str, value: &str, wanted: &str) -> Fault {
    invalid(format!("{name}={value:?} in the URI: it must be {wanted}"))
}

fn invalid(message: String) -> Fault {
    Fault::new(FaultClass::InvalidArgument, message)
}
