//! Commands: any text is one, or a refusal.
#![no_main]

use std::sync::Arc;

use ground::error::FaultClass;
use libfuzzer_sys::fuzz_target;
use vault::commands::Command;
use vault::material::Key;

fuzz_target!(|input: &[u8]| {
    let Some((count, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    // Raw ones: of a passphrase a slot would be derived.
    let keys = (0..count % 4).map(|byte| Arc::new(Key::raw(&[byte; 32]).expect("32 bytes"))).collect();
    if let Err(fault) = Command::from_json(text, keys) {
        assert_eq!(fault.class, FaultClass::InvalidArgument);
    }
});
