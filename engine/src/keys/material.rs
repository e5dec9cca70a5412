//! What a person or program has in hand: a passphrase or a raw key.

use std::fmt;

use crate::crypto::kdf::equal;
use crate::crypto::secret::{Secret, SecretBytes};
use crate::error::{Fault, FaultClass, Result};

/// Key material. Shared as `Arc<Key>`; never printed.
pub enum Key {
    /// UTF-8, at least one byte, no NUL. Used byte for byte: no Unicode normalization.
    Passphrase(SecretBytes),
    /// 256 bits that are a key as they are.
    Raw(Secret<32>),
}

impl Key {
    /// A passphrase, taken literally: `x'…'` has no meaning here.
    pub fn passphrase(utf8: &[u8]) -> Result<Key> {
        if utf8.is_empty() {
            return Err(invalid("The key is empty; give a passphrase or a raw key."));
        }
        if utf8.contains(&0) {
            return Err(invalid("The passphrase contains a NUL character; give one without."));
        }
        if std::str::from_utf8(utf8).is_err() {
            return Err(invalid(
                "The passphrase is not valid UTF-8; give binary keys as raw keys of 32 bytes.",
            ));
        }
        Ok(Key::Passphrase(SecretBytes::new(utf8)))
    }

    /// A raw key of exactly 32 bytes.
    pub fn raw(bytes: &[u8]) -> Result<Key> {
        Secret::from_slice(bytes)
            .map(Key::Raw)
            .ok_or_else(|| invalid(format!("A raw key has 32 bytes, this one has {}.", bytes.len())))
    }

    /// The text form of a key: `x'` and 64 hex digits and `'` is a raw key, anything else a passphrase. What
    /// begins like a raw key but is none is refused, because the typing error would otherwise silently become
    /// a passphrase.
    pub fn parse(text: &[u8]) -> Result<Key> {
        let Some(rest) = text.strip_prefix(b"x'").or_else(|| text.strip_prefix(b"X'")) else {
            return Key::passphrase(text);
        };
        let mut key = Secret::zeroed();
        rest.strip_suffix(b"'")
            .and_then(|digits| decode_hex(digits, key.expose_mut()))
            .ok_or_else(|| invalid("A raw key is written x'…' with exactly 64 hexadecimal digits; give that, or a passphrase that does not begin with x'."))?;
        Ok(Key::Raw(key))
    }

    /// Whether the two are the same key.
    pub fn is_same_as(&self, other: &Key) -> bool {
        match (self, other) {
            (Key::Passphrase(one), Key::Passphrase(other)) => equal(one.expose(), other.expose()),
            (Key::Raw(one), Key::Raw(other)) => equal(one.expose(), other.expose()),
            _ => false,
        }
    }

    /// A raw key from the system's random number generator.
    pub fn random() -> Result<Key> {
        Ok(Key::Raw(Secret::random()?))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Key::Passphrase(_) => "Key::Passphrase(..)",
            Key::Raw(_) => "Key::Raw(..)",
        })
    }
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(FaultClass::InvalidArgument, message)
}

/// Fills `out` from exactly twice as many hex digits.
fn decode_hex(digits: &[u8], out: &mut [u8]) -> Option<()> {
    if digits.len() != out.len() * 2 {
        return None;
    }
    for (pair, byte) in digits.chunks_exact(2).zip(out) {
        *byte = (hex_digit(pair[0])? << 4) | hex_digit(pair[1])?;
    }
    Some(())
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(result: Result<Key>) -> String {
        let fault = result.expect_err("must be refused");
        assert_eq!(fault.class, FaultClass::InvalidArgument);
        fault.message
    }

    #[test]
    fn hazard_17_passphrases_are_nonempty_utf8_without_nul() {
        assert!(refusal(Key::passphrase(b"")).contains("empty"));
        assert!(refusal(Key::passphrase(b"a\0b")).contains("NUL"));
        assert!(refusal(Key::passphrase(b"\xff\xfe")).contains("UTF-8"));
        assert!(refusal(Key::parse(b"")).contains("empty"));
        for text in ["correct horse", " ", "x", "X", "x\"00\"", "пароль", "'x'"] {
            match Key::parse(text.as_bytes()).unwrap() {
                Key::Passphrase(bytes) => assert_eq!(bytes.expose(), text.as_bytes()),
                Key::Raw(_) => panic!("{text} is a passphrase"),
            }
        }
    }

    #[test]
    fn raw_keys_are_x_quote_64_hex_digits_quote() {
        let digits: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
        for text in [format!("x'{digits}'"), format!("X'{}'", digits.to_uppercase())] {
            match Key::parse(text.as_bytes()).unwrap() {
                Key::Raw(key) => assert_eq!(key.expose()[..4], [0, 1, 2, 3]),
                Key::Passphrase(_) => panic!("{text} is a raw key"),
            }
        }
        let bad = [
            "x'".to_owned(),
            "x''".to_owned(),
            format!("x'{digits}"),
            format!("x'{digits}' "),
            format!("x'{digits}''"),
            format!("x'{}'", &digits[1..]),
            format!("x'{digits}00'"),
            format!("x'g{}'", &digits[1..]),
            format!("X'+{}'", &digits[1..]),
            "x'correct horse'".to_owned(),
        ];
        for text in bad {
            let message = refusal(Key::parse(text.as_bytes()));
            assert!(message.contains("64 hexadecimal"));
            assert!(!message.contains(&digits[2..8]));
        }
    }

    #[test]
    fn raw_keys_have_32_bytes() {
        for length in [0, 16, 31, 33, 64] {
            assert!(refusal(Key::raw(&vec![1; length])).contains("32 bytes"));
        }
        assert!(Key::raw(&[1; 32]).is_ok());
        assert!(matches!(Key::random().unwrap(), Key::Raw(_)));
    }

    #[test]
    fn keys_never_print() {
        let shown = format!("{:?} {:?}", Key::parse(b"hunter2").unwrap(), Key::raw(&[0x41; 32]).unwrap());
        assert_eq!(shown, "Key::Passphrase(..) Key::Raw(..)");
    }

    #[test]
    fn only_the_same_key_is_the_same() {
        let keys = || [b"x".as_slice(), b"xx", b"y"].map(|text| Key::passphrase(text).unwrap());
        let raw = || [1, 2].map(|byte| Key::raw(&[byte; 32]).unwrap());
        let all = || keys().into_iter().chain(raw()).chain(Key::passphrase(&[1; 32]));
        for (i, one) in all().enumerate() {
            for (j, other) in all().enumerate() {
                assert_eq!(one.is_same_as(&other), i == j);
            }
        }
    }

    proptest! {
        #[test]
        fn parse_never_panics(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Key::parse(&text);
            let mut prefixed = b"x'".to_vec();
            prefixed.extend_from_slice(&text);
            prop_assert!(!matches!(Key::parse(&prefixed), Ok(Key::Passphrase(_))));
        }
    }
}
