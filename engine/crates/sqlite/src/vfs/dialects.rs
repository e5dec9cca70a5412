//! Statements of other encryption products, which stock SQLite takes for nothing and answers nothing to.
//!
//! A statement about security that has no effect is an error: whoever runs `PRAGMA rekey` believes afterwards that the
//! key was changed, and in SQLCipher `PRAGMA cipher_integrity_check` with no rows says that nothing is damaged.

use ground::error::{Fault, FaultClass};

/// Pragmas of SQLCipher, SQLite3 Multiple Ciphers, the SQLite Encryption Extension, SQLiteCrypt, and what is built on
/// them, and what takes their place here.
const PRAGMAS: [(&str, &str); 32] = [
    ("key", KEY),
    ("hexkey", KEY),
    ("textkey", KEY),
    ("password", KEY),
    ("hexpassword", KEY),
    ("rekey", REKEY),
    ("hexrekey", REKEY),
    ("textrekey", REKEY),
    ("cipher", "use PRAGMA lumo_cipher"),
    (
        "cipher_integrity_check",
        "use `lumocrypt verify`, or PRAGMA integrity_check, which reads every page that is in use",
    ),
    ("cipher_migrate", "use lumocrypt.import_sqlcipher"),
    ("cipher_version", STATUS),
    ("cipher_status", STATUS),
    ("cipher_provider", STATUS),
    ("cipher_settings", STATUS),
    ("kdf_iter", KDF),
    ("fast_kdf_iter", KDF),
    ("kdf_algorithm", KDF),
    ("hmac_algorithm", NOTHING),
    ("hmac_check", NOTHING),
    ("hmac_use", NOTHING),
    ("hmac_pgno", NOTHING),
    ("hmac_salt_mask", NOTHING),
    ("plaintext_header_size", NOTHING),
    ("legacy", NOTHING),
    ("legacy_page_size", NOTHING),
    ("mc_legacy_wal", NOTHING),
    ("memory_security", NOTHING),
    ("lic", NOTHING),
    ("cerod", NOTHING),
    ("activate_extensions", NOTHING),
    ("encryption", STATUS),
];
/// What further names begin with.
const PREFIXES: [&str; 3] = ["cipher_", "sqlcipher_", "sqlite3mc_"];

const KEY: &str = "use PRAGMA lumo_key = '…', or lumocrypt.connect(key=…)";
const REKEY: &str = "use PRAGMA lumo_rekey = '…' or `lumocrypt rekey`; for another key to the same data key, PRAGMA lumo_change_key";
const STATUS: &str = "use PRAGMA lumo_status";
const KDF: &str = "the costs are an argument of lumocrypt.connect (kdf=…) and of `lumocrypt key change`";
const NOTHING: &str = "there is nothing like it here";

/// Our own pragmas, for whoever misspells one.
const OWN: &str = "lumo_key, lumo_change_key, lumo_rekey, lumo_cipher and lumo_status";

/// Why the pragma `name`, in lower case, must not pass for one that did something. `None`: it is none of ours or theirs.
pub fn refusal(name: &str) -> Option<Fault> {
    let message = if name.starts_with("lumo_") {
        format!("there is no PRAGMA {name}; lumocrypt's are {OWN}")
    } else {
        let known = PRAGMAS.iter().find(|(theirs, _)| *theirs == name).map(|(_, instead)| *instead);
        let instead =
            known.or_else(|| PREFIXES.iter().any(|prefix| name.starts_with(prefix)).then_some(NOTHING))?;
        format!("PRAGMA {name} is another product's and does nothing in lumocrypt: {instead}")
    };
    Some(Fault::new(FaultClass::InvalidArgument, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_refused_and_sqlites_own_are_not() {
        for name in ["key", "rekey", "cipher_page_size", "legacy_page_size", "lumo_", "lumo_kee", "kdf_iter"]
        {
            assert!(refusal(name).is_some(), "{name}");
        }
        for name in [
            "foreign_keys",
            "foreign_key_list",
            "page_size",
            "legacy_file_format",
            "legacy_alter_table",
            "integrity_check",
            "keys",
        ] {
            assert!(refusal(name).is_none(), "{name}");
        }
    }
}
