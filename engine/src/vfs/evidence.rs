//! Copies of logs that a recovery is about to lose.
//!
//! SQLite takes an unreadable frame for the end of the log, because that is what a power cut leaves, and then
//! writes over what lies behind it. Where that holds commits it is kept first: nobody can tell a power cut from
//! damage afterwards otherwise, and damage may be undone by somebody who has the log.

use crate::paths;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use super::abi::SQLITE_WARNING;
use super::api::Api;

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
fn copy(log: &Path, target: &Path) -> io::Result<()> {
    let mut source = File::open(log)?;
    let original = source.metadata()?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    let copied = io::copy(&mut source, &mut file)
        .and_then(|_| file.set_permissions(original.permissions()))
        .and_then(|()| file.sync_all());
    if let Err(error) = copied {
        // A part of it would pass for all.
        let _ = fs::remove_file(target);
        return Err(error);
    }
    // As SQLite does with its own files: root leaves them to the owner of the database. Others may not.
    let _ = fchown(&file, Some(original.uid()), Some(original.gid()));
    if let Some(folder) = target.parent() {
        // The name must last as long as the log's end; a file system that cannot sync folders orders them itself.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}
