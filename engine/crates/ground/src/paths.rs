//! Names of files: bytes, as the operating system and SQLite take them, and text only where a person reads them.

use std::ffi::{CStr, OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

/// A name as SQLite and callers in C pass it.
pub fn from_c(name: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(name.to_bytes()))
}

/// A name out of a file.
pub fn from_bytes(name: Vec<u8>) -> PathBuf {
    OsString::from_vec(name).into()
}

/// The bytes of a name.
pub fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// The file beside `path` whose name ends in `suffix`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The longest name that file systems take, in bytes (limits.h, NAME_MAX).
const NAME_MAX: usize = 255;

/// The file of ours beside `path` that ends in `suffix`, which SQLite's own limit on names leaves no room for. Where the
/// name would be too long its end gives way to a digest of it (`docs/reference/format.md`, section 3).
pub fn ours_beside(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().map_or(&[][..], OsStr::as_bytes);
    if name.len() + suffix.len() <= NAME_MAX {
        return beside(path, suffix);
    }
    let sum = digest::digest(&digest::SHA256, name);
    let mut sum: String = sum.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    sum.insert(0, '~');
    let mut kept = NAME_MAX.saturating_sub(sum.len() + suffix.len());
    // Not in the middle of a character.
    while kept > 0 && name[kept] & 0xc0 == 0x80 {
        kept -= 1;
    }
    let short = [&name[..kept], sum.as_bytes(), suffix.as_bytes()].concat();
    path.with_file_name(OsString::from_vec(short))
}

/// A name for messages: always UTF-8 and on one line. A byte that is no part of a character is `\xff`, and so is what a
/// terminal would act on.
pub fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in bytes(path).utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                let mut utf8 = [0; 4];
                character.encode_utf8(&mut utf8).bytes().for_each(|byte| escape(&mut text, byte));
            } else {
                text.push(character);
            }
        }
        chunk.invalid().iter().for_each(|byte| escape(&mut text, *byte));
    }
    text
}

/// A name for JSON: itself where it is UTF-8, and otherwise as it is [`shown`].
pub fn text(path: &Path) -> String {
    path.to_str().map_or_else(|| shown(path), str::to_owned)
}

/// The bytes of a name that is not UTF-8, as hex digits.
pub fn hex(path: &Path) -> Option<String> {
    match path.to_str() {
        Some(_) => None,
        None => Some(bytes(path).iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

fn escape(text: &mut String, byte: u8) {
    // Writing into a String does not fail.
    let _ = write!(text, "\\x{byte:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_as_text_on_one_line() {
        for (name, text) in [
            (&b"/tmp/caf\xc3\xa9.db"[..], "/tmp/caf\u{e9}.db"),
            (b"/tmp/caf\xe9.db", "/tmp/caf\\xe9.db"),
            (b"\xff\xfe", "\\xff\\xfe"),
            (b"a\nb\x1b[31m", "a\\x0ab\\x1b[31m"),
            (b"\xc2\x9b1m", "\\xc2\\x9b1m"),
            (b"", ""),
        ] {
            assert_eq!(shown(Path::new(OsStr::from_bytes(name))), text);
        }
    }

    #[test]
    fn a_name_that_would_be_too_long_is_shortened() {
        let path = |len: usize, fill: &str| PathBuf::from(format!("/tmp/{}", fill.repeat(len / fill.len())));
        let longest = ours_beside(&path(242, "n"), ".lumo-damaged");
        assert_eq!(longest, beside(&path(242, "n"), ".lumo-damaged"));
        for fill in ["n", "\u{e9}", "\u{1f600}"] {
            let name = ours_beside(&path(248, fill), ".lumo-damaged");
            let text = name.file_name().unwrap().to_str().expect("cut between characters");
            assert!(text.len() > 250 && text.len() <= 255 && text.ends_with(".lumo-damaged"));
            assert_eq!(name.parent(), Some(Path::new("/tmp")));
        }
        assert_ne!(
            ours_beside(&path(248, "n"), ".lumo-damaged"),
            ours_beside(&path(249, "n"), ".lumo-damaged")
        );
    }

    #[test]
    fn a_name_beside_another_keeps_its_bytes() {
        let name = beside(Path::new(OsStr::from_bytes(b"caf\xe9.db")), "-wal");
        assert_eq!(bytes(&name), b"caf\xe9.db-wal");
    }
}
