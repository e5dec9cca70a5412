//! What the process holds for others to fetch: keys by number, options and commands by single-use handle.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::commands::Command;
use super::material::Key;
pub use super::options::{IoMode, OpenOptions};
use crypto::nonce;
use ground::error::Result;
use ground::locks::{Guard, Lasting, Rank};

/// How many handles of a sort may wait to be taken. A handle whose open never came is pushed out in the end.
pub const HANDLE_CAPACITY: usize = 1024;
/// Symlinks followed from the last part of a path; Linux allows as many (`MAXSYMLINKS`).
const SYMLINK_DEPTH: usize = 40;

static REGISTRY: Lasting<Registry> = Lasting::new(Rank::Registry, Registry::new());

struct Registry {
    keys: BTreeMap<u64, Arc<Key>>,
    last_key: u64,
    opens: Handles<OpenOptions>,
    commands: Handles<Command>,
}

/// What single-use handles stand for, the oldest first.
struct Handles<T>(VecDeque<(String, T)>);

impl<T> Handles<T> {
    const fn new() -> Handles<T> {
        Handles(VecDeque::new())
    }

    fn hold(&mut self, handle: String, what: T) {
        if self.0.len() >= HANDLE_CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back((handle, what));
    }

    fn take(&mut self, handle: &str) -> Option<T> {
        let place = self.0.iter().position(|(known, _)| known == handle)?;
        self.0.remove(place).map(|(_, what)| what)
    }
}

impl Registry {
    const fn new() -> Registry {
        Registry { keys: BTreeMap::new(), last_key: 0, opens: Handles::new(), commands: Handles::new() }
    }
}

/// Keeps a key and gives it its number, which is never zero and never used again.
pub fn store_key(key: Arc<Key>) -> u64 {
    let mut registry = registry();
    registry.last_key += 1;
    let number = registry.last_key;
    registry.keys.insert(number, key);
    number
}

/// The key with this number.
pub fn get_key(number: u64) -> Option<Arc<Key>> {
    registry().keys.get(&number).cloned()
}

/// Gives up a key; it is wiped once its last holder is gone.
pub fn drop_key(number: u64) -> bool {
    registry().keys.remove(&number).is_some()
}

/// A handle, 32 hex digits, that one open can exchange for `options`.
pub fn issue_handle(options: OpenOptions) -> Result<String> {
    let handle = new_handle()?;
    registry().opens.hold(handle.clone(), options);
    Ok(handle)
}

/// A handle, 32 hex digits, by which one connection can be told to carry out `command`.
pub fn issue_command(command: Command) -> Result<String> {
    let handle = new_handle()?;
    registry().commands.hold(handle.clone(), command);
    Ok(handle)
}

fn new_handle() -> Result<String> {
    let mut id = [0; 16];
    nonce::random(&mut id)?;
    Ok(format!("{:032x}", u128::from_be_bytes(id)))
}

/// Exchanges a handle; the second time there is nothing to be had.
pub fn take_handle(handle: &str) -> Option<OpenOptions> {
    registry().opens.take(handle)
}

/// Exchanges a handle of [`issue_command`]; the second time there is nothing to be had.
pub fn take_command(handle: &str) -> Option<Command> {
    registry().commands.take(handle)
}

/// The one name of a file, which need not exist yet: absolute and without symlinks. Never opens the file,
/// because closing a descriptor would drop the process's locks on it.
pub fn canonical(path: impl AsRef<Path>) -> PathBuf {
    let mut path = path.as_ref().to_owned();
    for _ in 0..SYMLINK_DEPTH {
        if let Ok(resolved) = path.canonicalize() {
            return resolved;
        }
        // Absent, or a link to what is absent: the name that creating it would make.
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { break };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let Ok(parent) = parent.canonicalize() else { break };
        let resolved = parent.join(name);
        match resolved.read_link() {
            Ok(target) => path = parent.join(target),
            Err(_) => return resolved,
        }
    }
    std::path::absolute(&path).unwrap_or(path)
}

fn registry() -> Guard<'static, Registry> {
    REGISTRY.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(label: &str) -> OpenOptions {
        OpenOptions { label: Some(label.to_owned()), ..OpenOptions::default() }
    }

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("lumocrypt-registry-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        dir.canonicalize().unwrap()
    }

    #[test]
    fn keys_have_numbers_of_their_own() {
        let key = Arc::new(Key::random().unwrap());
        let (one, two) = (store_key(Arc::clone(&key)), store_key(key));
        assert!(one != 0 && two != 0 && one != two);
        let held = get_key(one).unwrap();
        assert!(drop_key(one));
        assert!(!drop_key(one));
        assert!(get_key(one).is_none() && get_key(two).is_some());
        assert!(matches!(&*held, Key::Raw(_)));
        assert!(get_key(0).is_none());
    }

    #[test]
    fn a_handle_is_good_once() {
        let handle = issue_handle(labelled("handle")).unwrap();
        assert_eq!(handle.len(), 32);
        assert!(handle.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(handle, issue_handle(OpenOptions::default()).unwrap());
        assert_eq!(take_handle(&handle).unwrap().label.as_deref(), Some("handle"));
        assert!(take_handle(&handle).is_none());
        assert!(take_handle("").is_none());
    }

    #[test]
    fn handles_that_nobody_takes_do_not_pile_up() {
        let mut handles = Handles::new();
        for number in 0..=HANDLE_CAPACITY {
            handles.hold(number.to_string(), number);
        }
        assert!(handles.take("0").is_none());
        assert_eq!(handles.take("1"), Some(1));
        assert_eq!(handles.0.len(), HANDLE_CAPACITY - 1);
    }

    #[test]
    fn links_to_files_that_do_not_exist_yet_are_followed() {
        let dir = scratch("dangling");
        std::os::unix::fs::symlink("target.db", dir.join("link.db")).unwrap();
        let target = dir.join("target.db");
        assert_eq!(canonical(dir.join("link.db")), target);
        std::os::unix::fs::symlink("loop.db", dir.join("loop.db")).unwrap();
        assert!(canonical(dir.join("loop.db")).is_absolute());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn relative_paths_and_absent_directories_have_absolute_names() {
        assert!(canonical("no-such-file.db").is_absolute());
        assert!(canonical("no-such-directory/no-such-file.db").is_absolute());
    }
}
