use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::*;
use ground::error::FaultClass;
use sqlite::format::geometry::Geometry;
use storage::MemoryFile;

/// A file that `more` other threads can read.
struct Disk {
    more: usize,
    file: MemoryFile,
}

impl Storage for Disk {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.file.read(buf, offset)
    }
    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.file.write(data, offset)
    }
    fn truncate(&mut self, size: u64) -> Result<()> {
        self.file.truncate(size)
    }
    fn sync(&mut self, flags: i32) -> Result<()> {
        self.file.sync(flags)
    }
    fn size(&mut self) -> Result<u64> {
        self.file.size()
    }
}

impl Input for Disk {
    fn another(&mut self) -> Option<Box<dyn Input>> {
        self.more = self.more.checked_sub(1)?;
        Some(Box::new(disk(0)))
    }
}

fn disk(more: usize) -> Disk {
    Disk { more, file: MemoryFile::default() }
}

/// A thousand pieces of 30 blocks.
fn pieces() -> Pieces {
    Pieces::new(Geometry::new(4096, 40), 30_000 * 4096)
}

fn threads_used(disk: &mut Disk, asked: Option<usize>, pieces: Pieces) -> usize {
    let seen = Mutex::new(HashSet::new());
    let mut workers = Workers::new(pieces, disk, asked, 1).unwrap();
    let work = |_: &Piece, _: &mut Desk<'_>| {
        thread::sleep(Duration::from_millis(1));
        seen.lock().unwrap().insert(thread::current().id());
        Ok(())
    };
    workers.round(&work).unwrap();
    assert!(seen.lock().unwrap().contains(&thread::current().id()), "the caller works, too");
    seen.lock().unwrap().len()
}

#[test]
fn as_many_threads_as_are_asked_for_where_there_is_work_and_a_file_for_each() {
    assert_eq!(threads_used(&mut disk(99), Some(1), pieces()), 1);
    assert_eq!(threads_used(&mut disk(99), Some(4), pieces()), 4);
    assert_eq!(threads_used(&mut disk(99), Some(1000), pieces()), MOST_THREADS);
    assert_eq!(threads_used(&mut disk(2), Some(8), pieces()), 3);
    assert_eq!(threads_used(&mut disk(0), None, pieces()), 1);
    assert_eq!(threads_used(&mut disk(99), Some(8), Pieces::new(Geometry::new(4096, 40), 9 * 30 * 4096)), 2);
}

#[test]
fn every_piece_is_worked_on_once_and_rounds_end() {
    let mut disk = disk(9);
    let mut workers = Workers::new(pieces(), &mut disk, Some(4), 30).unwrap();
    let seen = Mutex::new(Vec::new());
    let work = |piece: &Piece, desk: &mut Desk<'_>| {
        assert!(desk.plain.len() >= piece.plain_len && desk.sealed.len() >= piece.sealed_len);
        thread::sleep(Duration::from_millis(1));
        seen.lock().unwrap().push(piece.first);
        Ok(())
    };
    let (mut done, mut rounds) = (0, 0);
    let begin = Instant::now();
    while let Some(bytes) = workers.round(&work).unwrap() {
        (done, rounds) = (done + bytes, rounds + 1);
    }
    assert_eq!(done, 30_000 * 4096);
    assert!(rounds >= 2, "250 pieces for each take several rounds");
    assert!(rounds <= begin.elapsed().as_millis() / ROUND.as_millis() + 1);
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (0..1000).map(|number| number * 30).collect::<Vec<_>>());
}

#[test]
fn the_first_fault_in_order_counts_and_everything_in_front_of_it_was_worked_on() {
    for _ in 0..20 {
        let mut disk = disk(9);
        let mut workers = Workers::new(pieces(), &mut disk, Some(4), 1).unwrap();
        let seen = Mutex::new(HashSet::new());
        let work = |piece: &Piece, _: &mut Desk<'_>| {
            seen.lock().unwrap().insert(piece.first);
            match piece.first / 30 {
                // The later ones fail sooner.
                40 => thread::sleep(Duration::from_millis(5)),
                41 => thread::sleep(Duration::from_millis(1)),
                42.. => {}
                _ => return Ok(()),
            }
            Err(Fault::new(FaultClass::Io, "no").at_number(piece.first))
        };
        assert_eq!(workers.round(&work).unwrap_err().number, Some(40 * 30));
        let seen = seen.into_inner().unwrap();
        assert!((0..=40).all(|number| seen.contains(&(number * 30))));
        assert!(seen.len() < 60, "nobody goes on for long");
    }
}

#[test]
fn a_thread_that_panics_does_not_go_unnoticed() {
    let mut disk = disk(9);
    let mut workers = Workers::new(pieces(), &mut disk, Some(4), 1).unwrap();
    let caller = thread::current().id();
    let work = |_: &Piece, _: &mut Desk<'_>| {
        assert!(thread::current().id() == caller, "a bug");
        thread::sleep(Duration::from_millis(1));
        Ok(())
    };
    assert!(catch_unwind(AssertUnwindSafe(|| workers.round(&work))).is_err());
}

#[test]
fn nothing_to_do_is_no_round() {
    let (mut disk, empty) = (disk(9), Pieces::new(Geometry::new(4096, 40), 0));
    let mut workers = Workers::new(empty, &mut disk, None, 1).unwrap();
    assert_eq!(workers.round(&|_, _| panic!("no work")).unwrap(), None);
}
