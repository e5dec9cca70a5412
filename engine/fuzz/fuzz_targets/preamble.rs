//! Log preambles, WAL headers and extent heads: what is valid is exactly what its writer would write.
#![no_main]

use crypto::suite::SuiteId;
use ground::error::FileKind;
use libfuzzer_sys::fuzz_target;
use lumocrypt_fuzz::{KEY_ID, Script, UUID, fix_preamble, keys, suite};
use sqlite::format::journal_header::{ExtentHead, JournalPreamble};
use sqlite::format::wal_header::{LogPreamble, WalHeader, WalPreamble};

fn authentic(suite: SuiteId, script: &mut Script<'_>) -> WalHeader {
    let key_id = if suite.is_keyed() { KEY_ID } else { [0; 16] };
    let mut sqlite = [0x66; 32];
    let head = script.bytes(12);
    sqlite[..head.len()].copy_from_slice(head);
    WalHeader {
        preamble: WalPreamble { sequence: script.u64(), uuid: UUID, key_id, generation: [0x44; 16] },
        sqlite,
        main_slots: script.u64(),
        previous: [0x55; 16],
    }
}

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let choice = script.byte();
    let suite = suite(choice >> 4);
    let keys = keys(suite);
    let sealer = keys.sealer(FileKind::Wal).expect("an available suite");
    let mut original = None;
    let mut bytes = match choice & 3 {
        0 => script.bytes(512).to_vec(),
        1 => JournalPreamble { uuid: UUID, key_id: keys.key_id, journal_id: [0x44; 16] }.encode().to_vec(),
        _ => {
            let header = authentic(suite, &mut script);
            let bytes = header.encode(&sealer).expect("randomness");
            original = Some(header);
            bytes
        }
    };
    script.damage(&mut bytes, 1024);
    if choice & 4 != 0 {
        fix_preamble(&mut bytes, 0);
    }

    if let LogPreamble::Valid(preamble) = JournalPreamble::parse(&bytes) {
        assert_eq!(preamble.encode(), bytes[..128]);
    }
    if let LogPreamble::Valid(preamble) = WalHeader::parse_preamble(&bytes)
        && let Ok(header) = WalHeader::open(preamble, &bytes, &sealer)
    {
        header.page_size();
        if suite.is_keyed() {
            assert_eq!(Some(header), original, "nobody else can seal a header");
        }
    }
    if let Some(head) = ExtentHead::parse(&bytes) {
        assert_eq!(head.encode(), bytes[..24]);
    }
});
