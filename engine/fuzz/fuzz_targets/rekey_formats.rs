//! What a change of the data key leaves: links between two keys, and the header of the blocks that are being written.
#![no_main]

use crypto::secret::Secret;
use crypto::suite::SuiteId;
use libfuzzer_sys::fuzz_target;
use lumocrypt_fuzz::{Script, UUID, fix_preamble};
use sqlite::format::redo_header::{LogPreamble, REDO_HEADER_LEN, RedoHeader};
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

    kept_blocks(&mut script, choice, bytes, [&older, &newer]);
});

/// The header of the blocks that a change from the `older` key to the `newer` is writing, or what lies in its place.
fn kept_blocks(script: &mut Script<'_>, choice: u8, link: Vec<u8>, [older, newer]: [&FileKeys; 2]) {
    let written = RedoHeader { uuid: UUID, key_id: newer.key_id, first: script.u64(), count: script.u64() };
    let mut head = match choice >> 4 & 3 {
        0 if choice & 2 == 0 => link,
        0 => script.bytes(256).to_vec(),
        _ => written.encode(newer).to_vec(),
    };
    script.damage(&mut head, 1024);
    if choice & 8 != 0
        && let Some(version) = head.get_mut(16..20)
    {
        // Version 1 has no MAC, and says no more than where to look.
        version.copy_from_slice(&1u32.to_le_bytes());
    }
    if choice & 4 != 0 {
        fix_preamble(&mut head, 0);
    }
    head.resize(head.len().max(REDO_HEADER_LEN), 0);
    let Some(bytes) = head.first_chunk::<REDO_HEADER_LEN>() else { return };
    if let LogPreamble::Valid(header) = RedoHeader::parse(bytes) {
        let is_version_1 = bytes[16..20] == 1u32.to_le_bytes();
        if RedoHeader::is_authentic(bytes, newer) && !is_version_1 {
            assert_eq!(header, written, "an altered header was believed");
        }
        assert_eq!(RedoHeader::is_authentic(bytes, older), is_version_1, "another key's header was believed");
    }
}
