//! Paths that were unlocked (`lumocrypt.unlock`): what opens them, and which database they are.
//!
//! A path is a promise about a file, and whoever may write to its folder can put another file there. So an entry knows
//! every name that the path went by when it was unlocked (as it was given, each link on the way, and where they led), and
//! it is asked for with every name that an open goes by. It also knows the database's UUID, from the beginning or from the
//! first time that it is opened or made: another database in its place is refused.

use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::options::OpenOptions;
use ground::locks::{Guard, Lasting, Rank};

/// Symlinks followed from the last part of a path; Linux allows as many (`MAXSYMLINKS`).
const SYMLINK_DEPTH: usize = 40;

static ENTRIES: Lasting<Entries> = Lasting::new(Rank::Unlocked, Entries { last: 0, all: Vec::new() });
/// How many there are, for those who only need to know whether there are any.
static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Entries {
    last: u64,
    all: Vec<Entry>,
}

struct Entry {
    number: u64,
    names: Vec<PathBuf>,
    options: OpenOptions,
    uuid: Option<[u8; 16]>,
}

/// What is known of an unlocked path.
#[derive(Clone, Debug)]
pub struct Unlocked {
    /// Names the entry for [`bind`].
    pub number: u64,
    /// What it is opened with.
    pub options: OpenOptions,
    /// Which database it is, once that is known.
    pub uuid: Option<[u8; 16]>,
}

/// Whether any path is unlocked.
pub fn any() -> bool {
    COUNT.load(Ordering::Acquire) > 0
}

/// Lets every later open of `path` use `options`, which replace those from before. `uuid`: which database it is, if there
/// is one.
pub fn insert(path: &Path, options: OpenOptions, uuid: Option<[u8; 16]>) {
    let mut names = names_of(path);
    let mut entries = entries();
    let (same, kept): (Vec<_>, Vec<_>) =
        std::mem::take(&mut entries.all).into_iter().partition(|entry| entry.has_one_of(&names));
    // The names of those that it replaces stay promised.
    names.extend(same.into_iter().flat_map(|entry| entry.names));
    names.sort();
    names.dedup();
    entries.last += 1;
    let number = entries.last;
    entries.all = kept;
    entries.all.push(Entry { number, names, options, uuid });
    COUNT.store(entries.all.len(), Ordering::Release);
}

/// Takes back [`insert`]; whether there was anything to take back.
pub fn remove(path: &Path) -> bool {
    let names = names_of(path);
    let mut entries = entries();
    let before = entries.all.len();
    entries.all.retain(|entry| !entry.has_one_of(&names));
    COUNT.store(entries.all.len(), Ordering::Release);
    entries.all.len() < before
}

/// What the file at `path` was unlocked as. `asked`: the name that the opener gave, if links led from there to `path`.
pub fn find(path: &Path, asked: Option<&Path>) -> Option<Unlocked> {
    if !any() {
        return None; // the usual case needs no system call
    }
    // What was asked for comes first: it may be another one's link.
    let mut names = asked.map(names_of).unwrap_or_default();
    names.extend(names_of(path));
    let entries = entries();
    names
        .iter()
        .find_map(|name| entries.all.iter().find(|entry| entry.names.contains(name)))
        // Hard links, and file systems for which "APP.DB" is "app.db".
        .or_else(|| entries.all.iter().find(|entry| entry.leads_to(path)))
        .map(Entry::known)
}

/// The entry is about this database from now on. `anew`: also if it was about another one, which is gone.
pub fn bind(number: u64, uuid: [u8; 16], anew: bool) {
    if let Some(entry) = entries().all.iter_mut().find(|entry| entry.number == number)
        && (anew || entry.uuid.is_none())
    {
        entry.uuid = Some(uuid);
    }
}

impl Entry {
    fn has_one_of(&self, names: &[PathBuf]) -> bool {
        self.names.iter().any(|name| names.contains(name))
    }

    /// Does one of its names lead to the very file that `path` leads to?
    fn leads_to(&self, path: &Path) -> bool {
        let Some(there) = identity(path) else { return false };
        self.names.iter().any(|name| identity(name) == Some(there))
    }

    fn known(&self) -> Unlocked {
        Unlocked { number: self.number, options: self.options.clone(), uuid: self.uuid }
    }
}

/// Which file a name leads to. Never opens it: closing a descriptor would drop the process's locks.
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// All names by which `path` goes now, which need not exist: as it is given, made absolute; each link that its last part
/// leads through; and the file at the end.
fn names_of(path: &Path) -> Vec<PathBuf> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut names = vec![without_dots(&absolute)];
    let mut at = absolute;
    for _ in 0..SYMLINK_DEPTH {
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else { break };
        let Ok(parent) = parent.canonicalize() else { break };
        let here = parent.join(name);
        if !names.contains(&here) {
            names.push(here.clone());
        }
        match here.read_link() {
            Ok(target) => at = parent.join(target),
            Err(_) => break,
        }
    }
    names
}

/// `path` without `.` and `..`, as if it had no links.
fn without_dots(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            part => result.push(part),
        }
    }
    result
}

fn entries() -> Guard<'static, Entries> {
    ENTRIES.lock()
}

#[cfg(test)]
mod tests;
