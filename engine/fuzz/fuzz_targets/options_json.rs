//! Options: any text is options within their limits or a refusal.
#![no_main]

use ground::error::FaultClass;
use libfuzzer_sys::fuzz_target;
use vault::format::superblock::is_block_size;
use vault::limits::check_floor;
use vault::options::OpenOptions;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match OpenOptions::from_json(text) {
        Ok(options) => {
            assert!(options.key.is_none());
            assert!(options.block_size.is_none_or(is_block_size));
            assert!(options.label.is_none_or(|label| label.len() <= 64 && !label.contains('\0')));
            if let Some(cost) = options.kdf {
                check_floor(&cost).expect("held to the floor");
                options.limits.check_new([cost].iter()).expect("whoever makes it knows how to open it");
            }
        }
        Err(fault) => assert_eq!(fault.class, FaultClass::InvalidArgument),
    }
});
