//! Cells: what is read is what its writer wrote, of two copies the one with the higher sequence number, and never one kind
//! for another.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use lumocrypt_fuzz::{Script, keys, suite};
use vault::file_keys::FileKeys;
use vault::format::cell::{CELL_LEN, COPY_B_BEHIND, Cell, PAIR_LEN, Sequenced, choose};
use vault::format::cells::{Cells, length_copies, new_cells, wal_cell, wal_copies};
use vault::format::length::{Length, counts_slots};

const SECOND: usize = COPY_B_BEHIND as usize;

/// Both copies of a cell as a file has them, one of them damaged at most.
fn stored(copies: [[u8; CELL_LEN]; 2], damaged: bool, script: &mut Script<'_>) -> [u8; PAIR_LEN] {
    let mut first = copies[0].to_vec();
    if damaged {
        script.damage(&mut first, SECOND);
    }
    let mut pair = [0; PAIR_LEN];
    pair[..first.len()].copy_from_slice(&first);
    pair[SECOND..].copy_from_slice(&copies[1]);
    pair
}

/// What was `read`, where `written` was, is that, and the newest of it counts.
fn check<C: Sequenced + Copy + PartialEq + Debug>(read: [Option<C>; 2], written: [C; 2], keyed: bool) {
    if keyed {
        for (read, written) in read.iter().zip(written) {
            assert!(read.is_none_or(|read| read == written), "nobody else can make a cell: {read:?}");
        }
    }
    assert_eq!(read[1], Some(written[1]), "an undamaged copy is read");
    let highest = read.iter().flatten().map(Sequenced::sequence).max();
    assert_eq!(choose(read[0], read[1]).map(|cell| cell.sequence()), highest);
}

fn wal_cells(script: &mut Script<'_>, damaged: bool, keys: &FileKeys) {
    let written = [0, 1].map(|_| {
        let active = script.byte() & 1 != 0;
        let current = [script.byte(); 16];
        Cell {
            sequence: script.u64(),
            active,
            current: if active { current } else { [0; 16] },
            previous: [script.byte(); 16],
            synced_slots: script.u64(),
        }
    });
    let pair = stored(written.map(|cell| cell.encode(keys)), damaged, script);
    let read = wal_copies(&pair, keys);
    check(read, written, keys.suite.is_keyed());
    assert_eq!(length_copies(&pair, keys)[1], None, "a WAL cell is no length cell");
    assert_eq!(wal_cell(read, true), choose(read[0], read[1]));
    assert_eq!(wal_cell(read, false).is_some(), read.iter().all(Option::is_some));
}

fn length_cells(script: &mut Script<'_>, damaged: bool, keys: &FileKeys) {
    let written = [0, 1].map(|_| Length {
        sequence: script.u64(),
        slots: script.u64(),
        generation: [script.byte(); 16],
        frames: script.u64(),
    });
    let pair = stored(written.map(|length| length.encode(keys)), damaged, script);
    check(length_copies(&pair, keys), written, keys.suite.is_keyed());
    assert_eq!(wal_copies(&pair, keys)[1], None, "a length cell is no WAL cell");
    for length in written {
        let (own, other) = (length.generation, [!length.generation[0]; 16]);
        assert_eq!((length.frames_of(&own), length.frames_of(&other)), (length.frames, 0));
        assert_eq!(length.slots_under(&own, u64::MAX), length.slots);
        assert!(length.slots_under(&other, 7) >= length.slots.max(7));
    }
}

/// All cells of a header region, with damage behind the superblock copies.
fn regions(script: &mut Script<'_>, keeps_length: bool, keys: &FileKeys) {
    let slots = script.u64();
    let mut region = vec![0; 1 << 16];
    for (offset, bytes) in new_cells(keys, slots) {
        region[offset as usize..offset as usize + CELL_LEN].copy_from_slice(&bytes);
    }
    assert_eq!(counts_slots(&region), slots > 0);
    let mut cells = region.split_off(1 << 15);
    let damaged = script.damage(&mut cells, 1 << 15);
    region.extend(cells);
    let cells = Cells::of(&region, keys, keeps_length);
    let sound = cells.states().iter().flat_map(|(_, copies)| copies).all(|state| *state == "ok");
    assert!(damaged || sound, "undamaged cells are sound");
    counts_slots(&region);
    if keys.suite.is_keyed() && keeps_length {
        assert!(cells.length().is_none_or(|length| length.slots == slots && length.frames == 0));
    }
    if keys.suite.is_keyed() {
        assert!(cells.wal_cell().is_none_or(|cell| cell == Cell::default()));
    }
}

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let choice = script.byte();
    let keys = keys(suite(choice >> 4));
    let set = |bit: u8| choice & bit != 0;
    match choice & 6 {
        0 | 2 => wal_cells(&mut script, set(1), &keys),
        4 => length_cells(&mut script, set(1), &keys),
        _ => regions(&mut script, set(1), &keys),
    }
});
