//! What a change of the data key leaves: links between two keys, and the header of the blocks that are being written.
#![no_main]

use crypto::secret::Secret;
use crypto::suite::SuiteId;
use libfuzzer_sys::fuzz_target;
use lumocrypt_fuzz::{Script, UUID, fix_preamble};
use sqlite::format::redo_header::{LogPreamble, RedoHeader};
use vault::file_keys::FileKeys;
use vault::format::link::{LINK_LEN, Link};

fn keys(byte: u8) -> FileKeys {
    let data_key = Secret::from_slice(&[byte; 32]);
    FileKeys::new(UUID, [byte; 16], SuiteId::DEFAULT, data_key).expect("a keyed suite")
}

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let choice = script.byte();
    let (older, newer) = (keys(1), keys(2));
    let original = Link::new(&older, &newer).expect("randomness");
    let mut bytes = original.encode().to_vec();
    if choice & 1 != 0 {
        script.damage(&mut bytes, LINK_LEN);
    }
    if let Some(bytes) = bytes.first_chunk()
        && let Ok(link) = Link::decode(bytes)
    {
        assert_eq!(link.encode(), *bytes, "a link is written as it was read");
        let found = link.older(&newer).expect("a suite of this version");
        // Its suite is the superblock's MAC to vouch for.
        let unaltered = |range: std::ops::Range<usize>| bytes[range.clone()] == original.encode()[range];
        assert!(found.is_none() || unaltered(0..16) && unaltered(24..96), "an altered link was believed");
        let _ = link.newer(&older, &newer.key_id);
    }

    let mut head = if choice & 2 == 0 { bytes } else { script.bytes(256).to_vec() };
    script.damage(&mut head, 1024);
    if choice & 4 != 0 {
        fix_preamble(&mut head, 0);
    }
    if let LogPreamble::Valid(header) = RedoHeader::parse(&head) {
        let _ = header.first.checked_add(header.count);
    }
});
