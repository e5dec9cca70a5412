//! Key texts: any bytes are a key or a refusal, and neither shows what it was made of.
#![no_main]

use ground::error::FaultClass;
use libfuzzer_sys::fuzz_target;
use vault::material::Key;

fuzz_target!(|input: &[u8]| {
    let looks_raw = input.starts_with(b"x'") || input.starts_with(b"X'");
    match Key::parse(input) {
        Ok(key @ Key::Raw(_)) => {
            assert!(looks_raw && input.len() == 67 && input[2..66].iter().all(u8::is_ascii_hexdigit));
            assert_eq!(format!("{key:?}"), "Key::Raw(..)");
        }
        Ok(key @ Key::Passphrase(_)) => {
            assert!(!looks_raw && !input.is_empty() && !input.contains(&0));
            assert!(std::str::from_utf8(input).is_ok());
            assert_eq!(format!("{key:?}"), "Key::Passphrase(..)");
        }
        Err(fault) => assert_eq!(fault.class, FaultClass::InvalidArgument),
    }
    assert_eq!(Key::raw(input).is_ok(), input.len() == 32);
    let passphrase = Key::passphrase(input);
    assert_eq!(
        passphrase.is_ok(),
        !input.is_empty() && !input.contains(&0) && std::str::from_utf8(input).is_ok()
    );
    if let Ok(Key::Passphrase(kept)) = passphrase {
        assert_eq!(kept.expose(), input);
    }
});
