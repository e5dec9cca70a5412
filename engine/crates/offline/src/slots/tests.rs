use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::progress::{Meter, finish};
use ground::error::FileKind;
use sqlite::format::geometry::Geometry;
use storage::{MemoryFile, Storage};
use vault::create::{self, CreateOptions};
use vault::file_keys::NO_CONTEXT;
use vault::material::Key;
use vault::options::OpenOptions;

const BLOCKS: u64 = 1200;
const BLOCK: usize = 4096;

/// A file that any number of threads can read. The first reads of it show block 7 half written.
#[derive(Clone)]
struct Disk {
    file: Arc<MemoryFile>,
    torn: Arc<AtomicU32>,
}

impl Storage for Disk {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        let whole = MemoryFile::clone(&self.file).read(buf, offset)?;
        let at = Geometry::new(BLOCK as u32, 40).slot_offset(7) + 99;
        if (offset..offset + buf.len() as u64).contains(&at)
            && self.torn.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        {
            buf[(at - offset) as usize] ^= 1;
        }
        Ok(whole)
    }
    fn write(&mut self, _: &[u8], _: u64) -> Result<()> {
        unreachable!("nothing is written")
    }
    fn truncate(&mut self, _: u64) -> Result<()> {
        unreachable!("nothing is written")
    }
    fn sync(&mut self, _: i32) -> Result<()> {
        unreachable!("nothing is written")
    }
    fn size(&mut self) -> Result<u64> {
        Ok(self.file.bytes.len() as u64)
    }
}

impl Input for Disk {
    fn another(&mut self) -> Option<Box<dyn Input>> {
        Some(Box::new(self.clone()))
    }
}

/// A database, unlocked, with a last block of 100 bytes.
fn database() -> (Unlocked, MemoryFile) {
    let key = Arc::new(Key::raw(&[7; 32]).unwrap());
    let (region, keys, _) = create::database(Some(&key), &CreateOptions::default()).unwrap();
    let sealer = keys.sealer(FileKind::MainDb).unwrap();
    let geometry = Geometry::new(BLOCK as u32, sealer.overhead());
    let mut file = MemoryFile::default();
    file.write(&region, 0).unwrap();
    for index in 0..BLOCKS {
        let plain = vec![index as u8; if index + 1 == BLOCKS { 100 } else { BLOCK }];
        let mut sealed = vec![0; plain.len() + sealer.overhead()];
        sealer.seal(index, &NO_CONTEXT, &plain, &mut sealed).unwrap();
        file.write(&sealed, geometry.slot_offset(index)).unwrap();
    }
    let options = OpenOptions { key: Some(key), ..OpenOptions::default() };
    (Unlocked::open(&mut file, &options, "x.db").unwrap(), file)
}

fn verify(
    unlocked: &Unlocked,
    file: &MemoryFile,
    holes_from: Option<u64>,
    torn: u32,
    threads: usize,
) -> Vec<Found> {
    let mut disk = Disk { file: Arc::new(file.clone()), torn: Arc::new(AtomicU32::new(torn)) };
    let mut found = Vec::new();
    let meter = Meter::default();
    let slots = Slots::new(unlocked, holes_from).unwrap();
    let progress = Progress::new(unlocked.size, &meter);
    finish(slots.verify(&mut disk, Some(threads), progress, &mut |wrong| found.push(wrong))).unwrap();
    assert_eq!(meter.read(), (unlocked.size, unlocked.size));
    found
}

#[test]
fn damage_in_any_number_of_places_is_found_in_order_by_any_number_of_threads() {
    let (unlocked, whole) = database();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(12));
    let places = proptest::collection::btree_map(0..BLOCKS, any::<bool>(), 0..60);
    runner
        .run(&(places, 1usize..6), |(places, threads)| {
            let mut file = whole.clone();
            for (index, erased) in &places {
                let at = unlocked.geometry.slot_offset(*index) as usize;
                match erased {
                    true => file.bytes[at..].iter_mut().take(4136).for_each(|byte| *byte = 0),
                    false => file.bytes[at + 50] ^= 4,
                }
            }
            let reason = |erased: &bool| if *erased { "erased" } else { "does not authenticate" };
            let expected: Vec<Found> =
                places.iter().map(|(index, erased)| (*index, reason(erased))).collect();
            prop_assert_eq!(verify(&unlocked, &file, None, 0, threads), expected);
            // What may be a hole is none of the damage.
            let others: Vec<Found> = places
                .iter()
                .filter(|(index, erased)| !(**erased && **index >= 600))
                .map(|(index, erased)| (*index, reason(erased)))
                .collect();
            prop_assert_eq!(verify(&unlocked, &file, Some(600), 0, threads), others);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_block_that_is_being_written_is_looked_at_again() {
    let (unlocked, whole) = database();
    for threads in [1, 3] {
        assert_eq!(verify(&unlocked, &whole, None, TRIES, threads), []);
        assert_eq!(verify(&unlocked, &whole, None, TRIES + 1, threads), [(7, "does not authenticate")]);
    }
}

#[test]
fn a_writer_may_make_the_file_shorter_meanwhile() {
    let (unlocked, mut file) = database();
    file.bytes.truncate(unlocked.geometry.slot_offset(1000) as usize);
    assert_eq!(verify(&unlocked, &file, None, 0, 3), []);
}
