//! WAL cells: what is read is what its writer wrote, and of two the one with the higher sequence number.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lumocrypt_fuzz::{Script, keys, suite};
use vault::format::cell::{self, Cell};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let choice = script.byte();
    let suite = suite(choice >> 4);
    let keys = keys(suite);
    let mut cells = [0, 1].map(|_| Cell {
        sequence: script.u64(),
        active: script.byte() & 1 != 0,
        current: [script.byte(); 16],
        previous: [script.byte(); 16],
        synced_slots: script.u64(),
    });
    if !cells[0].active {
        cells[0].current = [0; 16];
    }
    let mut stored = cells.map(|cell| cell.encode(&keys).to_vec());
    if choice & 1 != 0 {
        script.damage(&mut stored[0], 8192);
    }
    let read = [Cell::decode(&stored[0], &keys), Cell::decode(&stored[1], &keys)];
    for (cell, original) in read.iter().zip(&cells) {
        if let Some(cell) = cell
            && suite.is_keyed()
        {
            assert_eq!(cell.encode(&keys), original.encode(&keys), "nobody else can make a cell");
        }
    }
    if let Some(chosen) = cell::choose(read[0], read[1]) {
        let highest = read.iter().flatten().map(|cell| cell.sequence).max();
        assert_eq!(Some(chosen.sequence), highest);
    } else {
        assert!(read.iter().all(Option::is_none));
    }
});
