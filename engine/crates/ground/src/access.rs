//! Who may read and write a file, and how a new file beside it lets in nobody else.
//!
//! Everything goes by descriptor: whoever may write to the folder can put another file under a name at any time.

use std::ffi::{CStr, CString, c_int};
use std::fs::{File, OpenOptions};
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// The extended attribute that holds the POSIX access control list (acl(5)).
const ACL: &CStr = c"system.posix_acl_access";
/// Permission bits, without those that say how a program is started.
const BITS: u32 = 0o777;
/// The bits of the owner.
const OWNER: u32 = 0o700;

/// The file at `path` itself, and no link, for [`hand_over`]. It cannot be read, so that closing it drops no lock that the
/// process has on the file.
pub fn of(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)
}

/// Is `file` this process's user's, or its who owns `like`, and has it one name only? What is written to another user's
/// file that user may read, whatever its permissions.
pub fn is_own(file: &File, like: &File) -> Result<bool> {
    let (found, like) = (file.metadata()?, like.metadata()?);
    // SAFETY: asks a question that has always an answer.
    let user = unsafe { libc::geteuid() };
    Ok((found.uid() == user || found.uid() == like.uid()) && found.nlink() == 1)
}

/// Gives `new`, which this process has made for its own user only, to the owner and the group of `old`, with as much as
/// they may do there. What cannot be given to them is given to nobody.
///
/// Errors: those of the file system. Fewer may use `new` then than might.
pub fn hand_over(old: &File, new: &File) -> Result<()> {
    let like = old.metadata()?;
    let list = access_list(old);
    remove_access_list(new)?;
    let bits = like.mode() & BITS;
    // Its owner may be one who may not write.
    new.set_permissions(PermissionsExt::from_mode(bits & 0o600))?;
    let whole = fchown(new, Some(like.uid()), Some(like.gid())).is_ok();
    let group = whole || fchown(new, None, Some(like.gid())).is_ok();
    let bits = match list {
        Ok(None) if group => bits,
        // Who was in the group is one of the others now, and who is in the new one was.
        Ok(None) => {
            let both = (bits >> 3) & bits & 0o7;
            bits & OWNER | both << 3 | both
        }
        Ok(Some(list)) if whole && set_access_list(new, &list).is_ok() => return Ok(()),
        // The group's bits are the most that anybody named in the list may do, and not the group's.
        _ => bits & OWNER,
    };
    new.set_permissions(PermissionsExt::from_mode(bits))
}

/// The access control list of a file, as it is stored. `None`: it has only permission bits.
fn access_list(file: &File) -> Result<Option<Vec<u8>>> {
    // A descriptor of `of` stands for a file, but takes no fgetxattr.
    let name = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let mut list = vec![0; 65536];
    // SAFETY: two strings, and as much room as is said.
    let len = unsafe { libc::getxattr(name.as_ptr(), ACL.as_ptr(), list.as_mut_ptr().cast(), list.len()) };
    if len < 0 {
        return match Error::last_os_error() {
            error if is_absent(&error) => Ok(None),
            error => Err(error),
        };
    }
    list.truncate(len as usize);
    Ok(Some(list))
}

/// A folder may have a list for the files that are made in it, which lets others in as soon as the group has a bit.
fn remove_access_list(file: &File) -> Result<()> {
    // SAFETY: an open file and a string.
    check(unsafe { libc::fremovexattr(raw(file), ACL.as_ptr()) }).or_else(|error| match error {
        error if is_absent(&error) => Ok(()),
        error => Err(error),
    })
}

fn set_access_list(file: &File, list: &[u8]) -> Result<()> {
    // SAFETY: an open file, a string, and as many bytes as is said.
    check(unsafe { libc::fsetxattr(raw(file), ACL.as_ptr(), list.as_ptr().cast(), list.len(), 0) })
}

fn raw(file: &File) -> RawFd {
    file.as_raw_fd()
}

fn check(answer: c_int) -> Result<()> {
    if answer == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// There is no such attribute, or the file system has none at all.
fn is_absent(error: &Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP | libc::ENOSYS))
}

#[cfg(test)]
mod tests;
