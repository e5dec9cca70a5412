//! Names of files: bytes, as the operating system and SQLite take them, and text only where a person reads them.

use std::ffi::{CStr, OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

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
    fn a_name_beside_another_keeps_its_bytes() {
        let name = beside(Path::new(OsStr::from_bytes(b"caf\xe9.db")), "-wal");
        assert_eq!(bytes(&name), b"caf\xe9.db-wal");
    }
}
