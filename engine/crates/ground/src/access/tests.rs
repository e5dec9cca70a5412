use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A folder of this test's own, which is gone in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lumocrypt-access-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// A file with these bits, and one that nobody else may use.
    fn pair(&self, bits: u32) -> (File, File) {
        let make = |name: &str, bits| {
            let file = File::create_new(self.0.join(name)).unwrap();
            file.set_permissions(PermissionsExt::from_mode(bits)).unwrap();
            file
        };
        (make("old", bits), make("new", 0o600))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The list of a file that lets one more user read, as the kernel stores it: version 2, then tag, bits and user of each
/// entry (linux/posix_acl_xattr.h).
fn list(mask: u16) -> Vec<u8> {
    let nobody = u32::MAX;
    let entries: [(u16, u16, u32); 5] =
        [(0x01, 6, nobody), (0x02, 4, 12345), (0x04, 0, nobody), (0x10, mask, nobody), (0x20, 0, nobody)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, bits, user) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(user.to_le_bytes());
    }
    bytes
}

fn bits(file: &File) -> u32 {
    file.metadata().unwrap().mode() & BITS
}

#[test]
fn a_new_file_lets_in_who_was_let_in() {
    for mode in [0o600, 0o640, 0o664, 0o400, 0o604] {
        let folder = Folder::new();
        let (_, new) = folder.pair(mode);
        hand_over(&of(&folder.0.join("old")).unwrap(), &new).unwrap();
        assert_eq!(bits(&new), mode);
    }
}

#[test]
fn access_lists_are_kept_and_inherited_ones_are_not() {
    let folder = Folder::new();
    let (old, new) = folder.pair(0o640);
    if set_access_list(&new, &list(4)).is_err() {
        return; // a file system without them
    }
    hand_over(&old, &new).unwrap();
    assert_eq!(access_list(&new).unwrap(), None);
    assert_eq!(bits(&new), 0o640);

    set_access_list(&old, &list(4)).unwrap();
    new.set_permissions(PermissionsExt::from_mode(0o600)).unwrap();
    hand_over(&old, &new).unwrap();
    assert_eq!(access_list(&new).unwrap().unwrap(), list(4));
}

#[test]
fn a_link_is_not_followed() {
    let folder = Folder::new();
    folder.pair(0o600);
    std::os::unix::fs::symlink(folder.0.join("old"), folder.0.join("link")).unwrap();
    assert!(of(&folder.0.join("link")).unwrap().metadata().unwrap().is_symlink());
}
