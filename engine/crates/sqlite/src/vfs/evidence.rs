//! Copies of logs that a recovery is about to lose.
//!
//! SQLite takes an unreadable frame for the end of the log, because that is what a power cut leaves, and then
//! writes over what lies behind it. Where that holds commits it is kept first: nobody can tell a power cut from
//! damage afterwards otherwise, and damage may be undone by somebody who has the log.

use ground::paths;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::library::abi::SQLITE_WARNING;
use crate::library::api::Api;
use ground::access;

/// What the copy's name ends in, behind the log's.
const SUFFIX: &str = ".lumo-damaged";

/// If there is a `loss`, copies the log at `path`, unless an earlier copy is there, and says in SQLite's error log
/// what became of it.
///
/// The copy is for people. Recovery does not depend on it: it goes on if there is no room for one, or no right to
/// make it.
pub fn keep(api: &Api, path: &Path, loss: Option<String>) {
    let Some(loss) = loss else { return };
    let name = paths::ours_beside(path, SUFFIX);
    let shown = paths::shown(&name);
    let outcome = match copy(path, &name) {
        Ok(()) => format!("a copy was kept as {shown}"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            format!("no copy was made, because {shown} is there already")
        }
        Err(error) => format!("no copy could be kept as {shown}: {error}"),
    };
    api.write_log(SQLITE_WARNING, &format!("{}: {loss}; {outcome}", paths::shown(path)));
}

/// A second descriptor is no danger here: SQLite takes no locks on logs.
///
/// Others may be able to write to the folder: nothing goes through a link, and the copy lets in nobody whom the log did not.
fn copy(log: &Path, target: &Path) -> io::Result<()> {
    let folder = Folder::of(log)?;
    let mut source = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(folder.path(log))?;
    if !source.metadata()?.is_file() {
        return Err(io::Error::other("the log is no regular file any more"));
    }
    let place = folder.path(target);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&place)?;
    let copied = io::copy(&mut source, &mut file)
        // As SQLite does with its own files: root leaves them to the owner of the database.
        .and_then(|_| access::hand_over(&source, &file))
        .and_then(|()| file.sync_all());
    if let Err(error) = copied {
        // A part of it would pass for all.
        if is_still(&place, &file) {
            let _ = fs::remove_file(&place);
        }
        return Err(error);
    }
    // The name must last as long as the log's end; a file system that cannot sync folders orders them itself.
    let _ = File::open(folder.path(Path::new("."))).and_then(|folder| folder.sync_all());
    Ok(())
}

/// The folder of a file, whatever is put under its name meanwhile.
struct Folder {
    path: PathBuf,
    /// Keeps it open.
    _file: File,
}

impl Folder {
    fn of(file: &Path) -> io::Result<Folder> {
        let path = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(path)?;
        let held = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        // Where there is no /proc there is only the name.
        let path = if held.join(".").exists() { held } else { path.to_owned() };
        Ok(Folder { path, _file: file })
    }

    /// The way to the file of that name in the folder.
    fn path(&self, file: &Path) -> PathBuf {
        self.path.join(file.file_name().unwrap_or(file.as_os_str()))
    }
}

/// Is `file` what is at `path`?
fn is_still(path: &Path, file: &File) -> bool {
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(there), Ok(ours)) => (there.dev(), there.ino()) == (ours.dev(), ours.ino()),
        _ => false,
    }
}
