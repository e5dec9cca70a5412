//! What a recovery that ends at a damaged frame says of what lies behind it.

use super::*;
use crate::files::wal::chain;

/// SQLite's checksum over the log so far.
type Sum = (u32, u32);
/// How the checksums of a generation that [`Bench::begin`] began with this salt begin.
const START: Sum = (0x0505_0505, 0x0505_0505);

impl Bench {
    /// A frame whose checksum goes on from `sum`; what the next goes on from. `commit`: it ends a transaction.
    fn going_on(&mut self, wal: &mut WalFile, index: u64, commit: bool, sum: Sum) -> Sum {
        let (frame, sum) = chain::frame(7, u32::from(commit), SALTS, &[index as u8; PAGE], sum);
        self.write(wal, &frame, 32 + index * FRAME);
        sum
    }

    /// A frame as SQLite writes it where headers in front of it have to be written again: without salts and checksum.
    fn unsummed(&mut self, wal: &mut WalFile, index: u64, commit: bool) {
        let mut frame = [7u32.to_be_bytes(), u32::from(commit).to_be_bytes()].concat();
        frame.extend_from_slice(&[0; 16]);
        frame.extend_from_slice(&[index as u8; PAGE]);
        self.write(wal, &frame, 32 + index * FRAME);
    }

    /// Flips a bit in a frame on the disk.
    fn damage(&mut self, index: u64) {
        let slot = FRAME as usize + 40;
        self.storage.bytes[WAL_FRAMES_OFFSET as usize + index as usize * slot + 100] ^= 1;
    }

    /// Frames of the same generation: `true` for those that end a transaction.
    fn log(&mut self, commits: &[bool]) -> WalFile {
        let mut wal = self.open();
        self.begin(&mut wal, 5);
        let mut sum = START;
        for (index, commit) in commits.iter().enumerate() {
            sum = self.going_on(&mut wal, index as u64, *commit, sum);
        }
        wal.sync(&mut self.storage, 2).unwrap();
        wal
    }
}

/// Those of [`Bench::begin`].
const SALTS: [u8; 8] = [0, 0, 0, 5, 5, 5, 5, 5];

/// What a recovery says that it loses.
fn loss_in_recovery(bench: &mut Bench) -> Option<String> {
    let mut wal = bench.open();
    bench.read(&mut wal, 0, SQLITE_HEADER).unwrap();
    let frames = (wal.size(&mut bench.storage, &mut bench.main).unwrap() - 32) / FRAME;
    for index in 0..frames {
        if bench.whole(&mut wal, index).unwrap() == vec![0; FRAME as usize] {
            break;
        }
    }
    let loss = wal.take_loss();
    assert!(wal.take_loss().is_none());
    loss
}

#[test]
fn a_recovery_that_loses_commits_says_so_hazard_4() {
    let mut bench = Bench::new();
    bench.log(&[true; 3]);
    let log = bench.storage.bytes.clone();
    assert!(loss_in_recovery(&mut bench).is_none());
    for frame in 0..3 {
        bench.storage.bytes.clone_from(&log);
        bench.damage(frame);
        let loss = loss_in_recovery(&mut bench);
        // Behind the last there is nothing.
        assert_eq!(loss.is_some(), frame < 2, "{loss:?}");
    }
    // Cut off, which is what a crash leaves.
    bench.storage.bytes.truncate(WAL_FRAMES_OFFSET as usize + FRAME as usize + 40 + 100);
    assert!(loss_in_recovery(&mut bench).is_none());
}

#[test]
fn a_commit_behind_several_damaged_frames_is_a_loss_hazard_4() {
    let mut bench = Bench::new();
    bench.log(&[true, false, true, false, false, true]);
    bench.damage(1);
    bench.damage(3);
    assert!(loss_in_recovery(&mut bench).unwrap().contains("frame 2 behind it"));
    bench.damage(2);
    assert!(loss_in_recovery(&mut bench).unwrap().contains("frame 5 behind it"));
}

#[test]
fn a_torn_append_without_a_commit_behind_it_loses_nothing_hazard_4() {
    let mut bench = Bench::new();
    bench.log(&[false; 3]);
    bench.damage(0);
    assert!(loss_in_recovery(&mut bench).is_none());
}

/// A transaction that wrote pages again that it had spilled is killed while it writes the headers behind them again.
#[test]
fn a_commit_that_was_not_finished_is_no_loss_hazard_4() {
    for torn in 1..6 {
        let mut bench = Bench::new();
        let mut wal = bench.log(&[true, false, false, false]);
        bench.unsummed(&mut wal, 4, false);
        bench.unsummed(&mut wal, 5, true);
        bench.damage(torn);
        assert_eq!(loss_in_recovery(&mut bench), None, "{torn}");
    }
}

/// What a transaction left that was given up at its commit lies behind a shorter one that was torn.
#[test]
fn what_lies_behind_a_transaction_that_came_after_it_is_no_loss_hazard_4() {
    let mut bench = Bench::new();
    let mut wal = bench.log(&[true, false, false, false, true]);
    wal.transaction_boundary(&mut bench.storage);
    let mut sum = START;
    for (index, commit) in [(0, true), (1, false), (2, false)] {
        if index > 0 {
            let (frame, next) = chain::frame(8, u32::from(commit), SALTS, &[9; PAGE], sum);
            bench.write(&mut wal, &frame, 32 + index * FRAME);
            sum = next;
        } else {
            sum = chain::frame(7, 1, SALTS, &[0; PAGE], sum).1;
        }
    }
    wal.sync(&mut bench.storage, 2).unwrap();
    bench.damage(1);
    assert_eq!(loss_in_recovery(&mut bench), None);
}

#[test]
fn frames_of_an_earlier_generation_are_no_loss_hazard_4() {
    let mut bench = Bench::new();
    bench.log(&[true; 3]);
    let mut wal = bench.open();
    bench.begin(&mut wal, 6);
    bench.frame(&mut wal, 0, 8);
    assert!(loss_in_recovery(&mut bench).is_none());
}

#[test]
fn a_log_that_is_discarded_on_demand_is_a_loss_hazard_4() {
    let mut bench = Bench::new();
    bench.log(&[true; 3]);
    bench.main.cell.current = [9; 16];
    let mut wal = WalFile::new(bench.keys.clone(), true).unwrap();
    bench.read(&mut wal, 0, SQLITE_HEADER).unwrap();
    assert!(wal.take_loss().unwrap().contains("discarded on demand"));
}
