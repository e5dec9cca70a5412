//! What a person or program has in hand: a passphrase or a raw key.

use std::borrow::Cow;
use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crypto::kdf::equal;
use crypto::secret::{Secret, SecretBytes};
use ground::error::{Fault, FaultClass, Result};

/// Key material. Shared as `Arc<Key>`; never printed.
pub enum Key {
    /// UTF-8, at least one byte, no NUL, as it was given. See [`Key::written`] and [`Key::forms`].
    Passphrase(SecretBytes),
    /// 256 bits that are a key as they are.
    Raw(Secret<32>),
}

impl Key {
    /// A passphrase, taken literally: `x'…'` has no meaning here.
    pub fn passphrase(utf8: &[u8]) -> Result<Key> {
        if utf8.is_empty() {
            return Err(invalid("the key is empty; give a passphrase or a raw key"));
        }
        if utf8.contains(&0) {
            return Err(invalid("the passphrase contains a NUL character; give one without"));
        }
        if std::str::from_utf8(utf8).is_err() {
            return Err(invalid(
                "the passphrase is not valid UTF-8; give binary keys as raw keys of 32 bytes",
            ));
        }
        Ok(Key::Passphrase(SecretBytes::new(utf8)))
    }

    /// A raw key of exactly 32 bytes.
    pub fn raw(bytes: &[u8]) -> Result<Key> {
        Secret::from_slice(bytes)
            .map(Key::Raw)
            .ok_or_else(|| invalid(format!("a raw key has 32 bytes, this one has {}", bytes.len())))
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
            .ok_or_else(|| invalid("a raw key is written x'…' with exactly 64 hexadecimal digits; give that, or a passphrase that does not begin with x'"))?;
        Ok(Key::Raw(key))
    }

    /// The key in the text of an environment variable, as [`Key::parse`]. What editors and shells put around it does not
    /// belong to it: a byte order mark, and one end of a line.
    pub fn from_variable(text: &[u8]) -> Result<Key> {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        Key::parse(text.strip_suffix(b"\r").unwrap_or(text))
    }

    /// The form in which a keyslot takes the key: of a passphrase Unicode's NFC. The same word typed on another system may
    /// be other bytes.
    pub fn written(&self) -> Cow<'_, Key> {
        match self.not_ascii() {
            Some(text) => Cow::Owned(normal(text.nfc(), text.len())),
            None => Cow::Borrowed(self),
        }
    }

    /// The forms that a keyslot may have taken the key in, without repetition: NFC, then NFD and the text as it was
    /// given, in which earlier versions wrote it.
    pub fn forms(&self) -> Vec<Cow<'_, Key>> {
        let mut forms = vec![self.written()];
        if let Some(text) = self.not_ascii() {
            for form in [Cow::Owned(normal(text.nfd(), text.len())), Cow::Borrowed(self)] {
                if !forms.iter().any(|known| known.has_same_bytes(&form)) {
                    forms.push(form);
                }
            }
        }
        forms
    }

    /// The text of a passphrase that has more than one form, perhaps.
    fn not_ascii(&self) -> Option<&str> {
        match self {
            Key::Passphrase(text) => std::str::from_utf8(text.expose()).ok().filter(|text| !text.is_ascii()),
            Key::Raw(_) => None,
        }
    }

    /// Whether the two are the same key: passphrases in any form.
    pub fn is_same_as(&self, other: &Key) -> bool {
        self.written().has_same_bytes(&other.written())
    }

    fn has_same_bytes(&self, other: &Key) -> bool {
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

/// For [`Cow`].
impl Clone for Key {
    fn clone(&self) -> Key {
        match self {
            Key::Passphrase(text) => Key::Passphrase(SecretBytes::new(text.expose())),
            Key::Raw(raw) => Key::Raw(raw.duplicate()),
        }
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

/// A form of a passphrase of `len` bytes.
fn normal(characters: impl Iterator<Item = char>, len: usize) -> Key {
    // No form is more than three times as long, so nothing is moved and left behind (UAX #15, section 1.3).
    let mut text = Zeroizing::new(String::with_capacity(len * 3));
    text.extend(characters);
    Key::Passphrase(SecretBytes::new(text.as_bytes()))
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
    fn passphrases_are_nonempty_utf8_without_nul_hazard_17() {
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

    fn bytes(keys: Vec<Cow<'_, Key>>) -> Vec<Vec<u8>> {
        let expose = |key: &Key| match key {
            Key::Passphrase(text) => text.expose().to_vec(),
            Key::Raw(raw) => raw.expose().to_vec(),
        };
        keys.iter().map(|key| expose(key)).collect()
    }

    #[test]
    fn a_passphrase_is_written_in_nfc_and_tried_in_every_form_once() {
        let key = |text: &str| Key::passphrase(text.as_bytes()).unwrap();
        let (nfc, nfd) = ("Z\u{fc}rich caf\u{e9}", "Zu\u{308}rich cafe\u{301}");
        let mixed = "Z\u{fc}rich cafe\u{301}";
        assert_eq!(bytes(key(nfc).forms()), [nfc, nfd].map(|text| text.as_bytes().to_vec()));
        assert_eq!(bytes(key(nfd).forms()), [nfc, nfd].map(|text| text.as_bytes().to_vec()));
        assert_eq!(bytes(key(mixed).forms()), [nfc, nfd, mixed].map(|text| text.as_bytes().to_vec()));
        assert_eq!(
            bytes(key("\u{212b}").forms()),
            ["\u{c5}", "A\u{30a}", "\u{212b}"].map(|text| text.as_bytes().to_vec())
        );
        for plain in ["correct horse", "\u{43f}\u{430}\u{440}\u{43e}\u{43b}\u{44c}", "\u{1f600}"] {
            assert_eq!(bytes(key(plain).forms()), [plain.as_bytes().to_vec()]);
        }
        assert_eq!(Key::raw(&[0xe9; 32]).unwrap().forms().len(), 1);
        assert!(key(nfd).is_same_as(&key(nfc)) && key(mixed).is_same_as(&key(nfd)));
        assert!(!key("caf\u{e9}").is_same_as(&key("cafe")));
    }

    #[test]
    fn an_environment_variable_may_have_a_mark_and_the_end_of_a_line() {
        let same = |text: &[u8]| {
            Key::from_variable(text).unwrap().is_same_as(&Key::passphrase(b"hunter two").unwrap())
        };
        for text in [
            &b"hunter two"[..],
            b"hunter two\n",
            b"hunter two\r\n",
            b"hunter two\r",
            b"\xef\xbb\xbfhunter two\r\n",
        ] {
            assert!(same(text));
        }
        assert!(!same(b"hunter two\n\n") && !same(b"hunter two ") && !same(b"\nhunter two"));
    }

    proptest! {
        #[test]
        fn no_form_needs_more_room_than_is_set_aside(text in "\\PC{1,20}") {
            let key = Key::passphrase(text.as_bytes()).unwrap();
            for form in bytes(key.forms()) {
                prop_assert!(form.len() <= text.len() * 3);
            }
        }

        #[test]
        fn parse_never_panics(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Key::parse(&text);
            let mut prefixed = b"x'".to_vec();
            prefixed.extend_from_slice(&text);
            prop_assert!(!matches!(Key::parse(&prefixed), Ok(Key::Passphrase(_))));
        }
    }
}
