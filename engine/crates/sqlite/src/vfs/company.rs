//! The company that a file is in: the files of its connection, and the statement that opens it.
//!
//! A VFS is told a name and no reason. Which database a `VACUUM INTO` copies, and whether an `ATTACH` was given a key, is
//! in no argument of its calls; it is in the text of the statement that is running.
//!
//! SQLite names the connection (`SQLITE_FCNTL_PDB`) while it holds a mutex that every opening with a shared cache has to
//! pass. `sqlite3_file_control`, the documented way from a connection to the file of a database, takes the mutexes of
//! connection and cache, and another thread may hold the cache's while it waits for that one. So the way taken here is by
//! the name, which needs none: `sqlite3_db_filename` returns the very string that SQLite passed to `xOpen`. Only a main
//! database without a name, in memory or temporary, has to be asked for; its cache is nobody else's, unless that is
//! shared, too.

use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;

use super::host::is_our_vfs;
use super::mains;
use super::open_file::OpenFile;
use crate::library::abi::*;
use crate::library::api::Api;

/// The name of the database `schema` of a connection, SQLite's own string; `None` while SQLite opens it, and if there is no
/// such database.
///
/// # Safety
/// A live connection, whose mutex the caller holds, as it does in a call that SQLite makes.
unsafe fn name_of<'a>(api: &Api, connection: *mut sqlite3, schema: &CStr) -> Option<&'a CStr> {
    // SAFETY: as the caller promises. SQLite returns null or a string that lives as long as the file is open.
    unsafe {
        let name = (api.db_filename)(connection, schema.as_ptr());
        (!name.is_null()).then(|| CStr::from_ptr(name))
    }
}

/// The file of ours that the database `schema` of a connection is in, perhaps below other VFSs; null if there is none.
///
/// # Safety
/// As for [`name_of`].
pub unsafe fn file_of(api: &Api, connection: *mut sqlite3, schema: &CStr) -> *mut OpenFile {
    // SAFETY: as the caller promises.
    match unsafe { name_of(api, connection, schema) } {
        Some(name) if !name.is_empty() => mains::named(connection, name),
        _ => null_mut(),
    }
}

/// A connection's main database.
pub enum Main {
    /// SQLite is opening it.
    Opening,
    /// It is a file of ours.
    Ours(*mut OpenFile),
    /// It has no file of ours, but its connection's temporary files do go through a VFS of ours.
    Nameless,
    /// It is none of ours: SQLite puts the temporary files of a whole connection through its main database's VFS.
    Foreign,
}

/// The main database of `connection`.
///
/// # Safety
/// As for [`name_of`].
pub unsafe fn main_of(api: &Api, connection: *mut sqlite3) -> Main {
    // SAFETY: as the caller promises.
    let Some(name) = (unsafe { name_of(api, connection, c"main") }) else { return Main::Opening };
    if !name.is_empty() {
        let file = mains::named(connection, name);
        return if file.is_null() { Main::Foreign } else { Main::Ours(file) };
    }
    let mut vfs: *mut sqlite3_vfs = null_mut();
    let place: *mut c_void = (&raw mut vfs).cast();
    // SAFETY: as the caller promises; SQLite answers this one itself.
    unsafe {
        match (api.file_control)(connection, c"main".as_ptr(), SQLITE_FCNTL_VFS_POINTER, place) {
            SQLITE_OK if !vfs.is_null() && !is_our_vfs(vfs) => Main::Foreign,
            _ => Main::Nameless,
        }
    }
}

/// The statement in which a connection opens a file beside its main database.
#[derive(Debug, PartialEq, Eq)]
pub enum Statement {
    /// `ATTACH`, and whether with a `KEY`.
    Attach {
        /// It has one.
        keyed: bool,
    },
    /// `VACUUM … INTO`, and the database that is copied.
    Vacuum(CString),
    /// `VACUUM … INTO` of a database that cannot be told.
    VacuumOfUnknown,
    /// Something else, or its text is not kept.
    Unknown,
}

/// What `connection` is doing.
///
/// # Safety
/// As for [`name_of`].
pub unsafe fn statement(api: &Api, connection: *mut sqlite3) -> Statement {
    let mut texts = Vec::new();
    // SAFETY: as the caller promises; SQLite's strings live as long as their statements.
    unsafe {
        let mut statement = (api.next_stmt)(connection, std::ptr::null_mut());
        while !statement.is_null() {
            if (api.stmt_busy)(statement) != 0 {
                let text = (api.sql)(statement);
                texts.push(if text.is_null() {
                    Vec::new()
                } else {
                    CStr::from_ptr(text).to_bytes().to_vec()
                });
            }
            statement = (api.next_stmt)(connection, statement);
        }
    }
    // The newest comes first. A VACUUM attaches its target by a statement of its own, and nothing but that and it runs.
    let attach = texts.iter().map(|text| tokens(text)).find(|tokens| is_word(tokens.first(), "ATTACH"));
    let Some((alias, keyed)) = attach.map(|tokens| alias_and_key(&tokens)) else { return Statement::Unknown };
    if !alias.is_some_and(|alias| alias.to_ascii_lowercase().starts_with(b"vacuum_")) {
        return Statement::Attach { keyed };
    }
    let vacuum = texts.iter().map(|text| tokens(text)).find(|tokens| is_word(tokens.first(), "VACUUM"));
    match vacuum.map(|tokens| vacuumed(&tokens)) {
        Some(Some(schema)) => Statement::Vacuum(schema),
        // Somebody's own name for an attached database, unless a statement without a text runs.
        None if !texts.iter().any(Vec::is_empty) => Statement::Attach { keyed },
        Some(None) | None => Statement::VacuumOfUnknown,
    }
}

/// The database that a VACUUM statement names; main if it names none.
fn vacuumed(tokens: &[Token]) -> Option<CString> {
    match tokens.get(1)? {
        Token::Word(word) if word.eq_ignore_ascii_case(b"INTO") && !is_word(tokens.get(2), "INTO") => {
            Some(c"main".to_owned())
        }
        Token::Word(name) | Token::Quoted(name) => CString::new(name.as_slice()).ok(),
        Token::Sign(_) => None,
    }
}

/// The name that an ATTACH gives, where it is a plain one, and whether it has a KEY.
fn alias_and_key(tokens: &[Token]) -> (Option<Vec<u8>>, bool) {
    let mut depth = 0;
    let mut last_as = None;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth -= 1,
            token if depth == 0 && is_word(Some(token), "AS") => last_as = last_as.or(Some(at)),
            _ => {}
        }
    }
    let Some(at) = last_as else { return (None, false) };
    let alias = match tokens.get(at + 1) {
        Some(Token::Word(name) | Token::Quoted(name)) => Some(name.clone()),
        _ => None,
    };
    (alias, tokens.iter().skip(at + 2).any(|token| is_word(Some(token), "KEY")))
}

/// As much of a part of SQL as is told apart here. In bytes, since a name need not be text.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A keyword, or a name without quotes.
    Word(Vec<u8>),
    /// A string, or a name with quotes.
    Quoted(Vec<u8>),
    /// Anything else.
    Sign(u8),
}

fn is_word(token: Option<&Token>, word: &str) -> bool {
    matches!(token, Some(Token::Word(found)) if found.eq_ignore_ascii_case(word.as_bytes()))
}

/// What SQLite takes for a blank where a token could begin (tokenize.c, CC_BOM); within a name it belongs to that.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Can a name without quotes hold this byte (tokenize.c, IdChar)? All beyond ASCII can be in it.
fn is_in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// The parts of an SQL statement as SQLite's tokenizer finds them, without comments, and without the empty statements that
/// may stand in front of it.
fn tokens(sql: &[u8]) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some((&first, behind)) = rest.split_first() {
        rest = match first {
            _ if rest.starts_with(BYTE_ORDER_MARK) => &rest[BYTE_ORDER_MARK.len()..],
            _ if rest.starts_with(b"--") => after(rest, b"\n"),
            _ if rest.starts_with(b"/*") => after(&rest[2..], b"*/"),
            b'\'' | b'"' | b'`' | b'[' => {
                let (text, behind) = quoted(behind, if first == b'[' { b']' } else { first });
                found.push(Token::Quoted(text));
                behind
            }
            _ if is_in_word(first) => {
                let end = rest.iter().position(|byte| !is_in_word(*byte)).unwrap_or(rest.len());
                found.push(Token::Word(rest[..end].to_vec()));
                &rest[end..]
            }
            _ => {
                let is_empty_statement = first == b';' && found.is_empty();
                if !is_empty_statement && !first.is_ascii_whitespace() {
                    found.push(Token::Sign(first));
                }
                behind
            }
        };
    }
    found
}

/// What is behind the first `mark`; nothing if there is none.
fn after<'a>(text: &'a [u8], mark: &[u8]) -> &'a [u8] {
    let at = text.windows(mark.len()).position(|part| part == mark);
    at.map_or(&[], |at| &text[at + mark.len()..])
}

/// The text up to the `end` quote, which stands for itself where it is doubled, and what is behind it.
fn quoted(rest: &[u8], end: u8) -> (Vec<u8>, &[u8]) {
    let mut text = Vec::new();
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        at += 1;
        if byte == end {
            if end == b']' || rest.get(at) != Some(&end) {
                return (text, &rest[at..]);
            }
            at += 1;
        }
        text.push(byte);
    }
    (text, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(sql: &str) -> Option<String> {
        vacuumed(&tokens(sql.as_bytes())).map(|name| name.into_string().unwrap())
    }

    #[test]
    fn the_database_that_is_copied_is_read_from_the_statement() {
        for (sql, schema) in [
            ("VACUUM INTO 'a.db'", "main"),
            ("vacuum x into 'a.db'", "x"),
            ("-- a copy\n/* of */ VACUUM \"my \"\"x\"\"\" INTO ?1", "my \"x\""),
            ("VACUUM [a b] INTO 'main'", "a b"),
            ("VACUUM`x`INTO'a'", "x"),
            ("vacuum 'x' into f()", "x"),
            (" ;;\u{feff}\x0c; VACUUM x INTO 'a'", "x"),
            ("VACUUM \u{feff}x \u{feff}INTO 'a'", "x"),
            ("VACUUM cafe\u{301} INTO 'a'", "cafe\u{301}"),
            ("VACUUM x\u{1f600}\u{a0}y INTO 'a'", "x\u{1f600}\u{a0}y"),
            ("VACUUM/* * / **/x--\u{2028}\nINTO 'a'", "x"),
        ] {
            assert_eq!(copied(sql).as_deref(), Some(schema), "{sql}");
        }
        assert_eq!(copied("VACUUM"), None);
    }

    #[test]
    fn a_key_of_an_attach_is_found() {
        for (sql, alias, keyed) in [
            ("ATTACH 'a.db' AS x", Some("x"), false),
            ("ATTACH DATABASE 'KEY' AS \"x\" KEY 'secret'", Some("x"), true),
            ("attach ? as ? key ?", None, true),
            ("ATTACH 'a' AS key", Some("key"), false),
            ("ATTACH 'a' AS key KEY x'00'", Some("key"), true),
            ("ATTACH cast('a' AS text) AS y /* KEY 'x' */", Some("y"), false),
            ("ATTACH 'a'", None, false),
        ] {
            let (found, has) = alias_and_key(&tokens(sql.as_bytes()));
            assert_eq!((found.as_deref(), has), (alias.map(str::as_bytes), keyed), "{sql}");
        }
    }
}
