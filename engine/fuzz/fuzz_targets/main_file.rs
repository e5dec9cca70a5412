//! The main file: slots that anybody may have changed, and writes against a plain file as the model.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use crypto::suite::SuiteId;
use libfuzzer_sys::fuzz_target;
use lumocrypt_fuzz::disk::LONGEST;
use lumocrypt_fuzz::{Disk, History, Script, finish, suite};
use offline::progress::Meter;
use offline::verify::{self, Files};
use sqlite::files::main_db::{CurrentLog, MainFile};
use storage::Storage;
use vault::create::{self, CreateOptions};
use vault::file_keys::FileKeys;
use vault::format::cell::Cell;
use vault::material::Key;
use vault::options::OpenOptions;

fn key() -> Key {
    Key::raw(&[0x77; 32]).expect("32 bytes")
}

struct Bench {
    keys: Arc<FileKeys>,
    block_size: u32,
    disk: Disk,
    file: MainFile,
    history: History,
    /// What a plain file would hold, while nothing but the engine touched the disk.
    model: Option<Vec<u8>>,
    /// Pages smaller than the block were written after somebody else changed the file.
    pieces: bool,
}

impl Bench {
    fn new(suite: SuiteId, block_size: u32, mapped: bool) -> Self {
        let options = CreateOptions { suite, block_size, ..CreateOptions::default() };
        let key = suite.is_keyed().then(key);
        let (region, keys, _) = create::database(key.as_ref(), &options).expect("randomness");
        let keys = Arc::new(keys);
        let file = MainFile::new(keys.clone(), block_size).expect("an available suite");
        Bench {
            keys,
            block_size,
            disk: Disk::new(region, mapped),
            file,
            history: History::default(),
            model: Some(Vec::new()),
            pieces: false,
        }
    }

    fn write(&mut self, data: &[u8], at: u64) {
        self.history.wrote(data, at);
        let written = self.file.write(&mut self.disk, data, at);
        if let Some(model) = &mut self.model {
            written.expect("an undamaged file can be written");
            let end = at as usize + data.len();
            if model.len() < end {
                model.resize(end, 0);
            }
            model[at as usize..end].copy_from_slice(data);
        }
    }

    fn truncate(&mut self, size: u64) {
        let cut = self.file.truncate(&mut self.disk, size);
        if let Some(model) = &mut self.model {
            cut.expect("an undamaged file can be cut");
            let block = u64::from(self.block_size);
            match size as usize > model.len() {
                true => model.resize(size as usize, 0),
                // A cut inside a block keeps the block.
                false => model.truncate((size.div_ceil(block) * block) as usize),
            }
        }
    }

    fn read(&mut self, len: usize, at: u64, forged: bool) {
        if self.pieces && len > 512 {
            // As SQLite reads such pages. A piece that could not be restored is an error to them only.
            for part in 0..len / 512 {
                self.read(512, at + part as u64 * 512, forged);
            }
            return;
        }
        let mut data = vec![0xaa; len];
        let result = self.file.read(&mut self.disk, &mut data, at);
        if let Some(model) = &self.model {
            let complete = *result.as_ref().expect("an undamaged file can be read");
            let start = model.len().min(at as usize);
            let end = model.len().min(at as usize + len);
            assert_eq!(data[..end - start], model[start..end]);
            assert!(data[end - start..].iter().all(|byte| *byte == 0));
            assert_eq!(complete, end - start == len);
        }
        if result.is_ok() && !forged {
            self.history.check(&data, at);
        }
    }

    /// As a transaction ends: no block waits any more.
    fn flush(&mut self) {
        let flushed = self.file.flush(&mut self.disk);
        assert!(self.model.is_none() || flushed.is_ok(), "an undamaged file can be written");
    }

    fn open(&mut self) {
        self.flush();
        self.file = MainFile::new(self.keys.clone(), self.block_size).expect("an available suite");
    }

    /// What the log has the main file note down, and what a checkpoint does.
    fn change_cells(&mut self, fill: u8, frames: u64) {
        let before = self.file.read_length(&mut self.disk);
        let changed = match fill % 4 {
            0 => {
                let change = |cell: &mut Cell| {
                    (cell.active, cell.current, cell.previous) = (fill & 4 == 0, [fill; 16], [1; 16]);
                };
                self.file.write_cell(&mut self.disk, change, Some(2))
            }
            1 => self.file.record_copied(&mut self.disk, frames),
            2 => {
                self.flush();
                self.file.record_unsynced(&mut self.disk)
            }
            _ => self.file.renew_cells(&mut self.disk, 2),
        };
        assert!(self.model.is_none() || changed.is_ok(), "undamaged cells can be written");
        let _ = self.file.read_cell(&mut self.disk);
        if let (Ok(before), Ok(after)) = (before, self.file.read_length(&mut self.disk)) {
            assert!(after.sequence >= before.sequence, "a cell counts up");
        }
    }

    /// The beginning of a database of pages of 512 bytes, and a trunk page of its free list: what a rollback goes by.
    fn write_free_list(&mut self, script: &mut Script<'_>) {
        let (pages, trunk) = (1 + u32::from(script.byte() % 80), 1 + u32::from(script.byte() % 80));
        let mut header = [0; 512];
        header[..18].copy_from_slice(b"SQLite format 3\0\x02\0");
        for (at, number) in [(28, pages), (32, trunk), (36, u32::from(script.byte()))] {
            header[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        self.write(&header, 0);
        let mut page = [0; 512];
        let leaves = script.byte() % 16;
        page[3] = script.byte();
        page[7] = leaves;
        for leaf in page[8..].chunks_exact_mut(4).take(usize::from(leaves)) {
            leaf[3] = script.byte();
        }
        self.write(&page, u64::from(trunk - 1) * 512);
    }

    /// So many slots must be there: where nothing is damaged, they are.
    fn check_length(&mut self) {
        let checked = self.file.check_length(&mut self.disk);
        let Ok(length) = self.file.read_length(&mut self.disk) else { return };
        if self.model.is_some() {
            checked.expect("nothing was cut off");
            let there = self.file.slots(&mut self.disk).expect("memory does not fail");
            assert!(length.slots <= there, "{} slots are counted, of {there}", length.slots);
        }
    }

    fn step(&mut self, script: &mut Script<'_>, forged: bool) {
        let (kind, fill) = (script.byte(), script.byte());
        let aligned = kind & 0x80 == 0 || self.model.is_none();
        let scale = if aligned { 512 } else { 1 };
        let at = script.below(if aligned { 80 } else { 40_000 }) * scale;
        let len = script.below(if aligned { 24 } else { 5000 }) * scale;
        match kind % 12 {
            0 if fill == 0xff => self.write_free_list(script),
            0..4 => {
                let block = self.block_size as usize;
                self.pieces |= self.model.is_none() && !(at | len).is_multiple_of(block);
                self.write(&vec![fill; len.max(scale)], at as u64);
            }
            4 | 5 => self.read(len, at as u64, forged),
            6 => self.truncate(at as u64),
            7 => self.open(),
            8 => {
                self.flush();
                self.file.lock_taken(&mut self.disk, fill & 1 == 0);
                self.file.set_combine(fill & 2 == 0);
                if fill & 4 == 0 {
                    let tidied = self.file.rolled_back(&mut self.disk);
                    assert!(self.model.is_none() || tidied.is_ok(), "an undamaged file can be tidied");
                }
            }
            9 => {
                // An honest log counts none that are not there durably.
                let durable = match &self.model {
                    Some(_) => {
                        self.file.read_length(&mut self.disk).expect("undamaged cells can be read").slots
                    }
                    None => u64::MAX,
                };
                let main_slots = durable.min(at as u64 / 512);
                let log = CurrentLog { generation: [fill >> 6; 16], main_slots };
                let _ = self.file.set_log(&mut self.disk, (fill & 1 == 0).then_some(log));
            }
            10 => {
                let synced = self.file.sync(&mut self.disk, 2);
                assert!(self.model.is_none() || synced.is_ok(), "an undamaged file can be synced");
            }
            _ => self.change_cells(fill, at as u64),
        }
        if let Some(model) = &self.model {
            let size = self.file.size(&mut self.disk).expect("memory does not fail");
            assert_eq!(size, model.len() as u64);
        }
        self.check_length();
        assert!(self.disk.bytes().len() <= LONGEST);
    }

    fn verify(&mut self) {
        let options = OpenOptions {
            key: self.keys.suite.is_keyed().then(|| Arc::new(key())),
            ..OpenOptions::default()
        };
        self.flush();
        let files = Files { main: &mut self.disk, wal: None, journal: None, exists: &|_| false };
        let _ = finish(verify::verify(files, &options, Path::new("fuzz"), &Meter::default()));
    }
}

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let choice = script.byte();
    let suite = suite(choice >> 4);
    let mut bench = Bench::new(suite, 512 << (choice & 3), choice & 4 != 0);
    let honest = script.byte() % 12;
    for _ in 0..honest {
        bench.step(&mut script, false);
    }
    bench.flush();
    let mut content = std::mem::take(bench.disk.bytes());
    // Without a key anybody can make what the checksum suite believes.
    let forged = !suite.is_keyed();
    let damaged = match choice & 8 {
        0 => false,
        _ => {
            let at = content.len().min(65_536);
            let mut slots = content.split_off(at);
            let tried = script.damage(&mut slots, 200_000);
            content.extend(slots);
            tried
        }
    };
    *bench.disk.bytes() = content;
    if damaged {
        bench.model = None;
        bench.file.lock_taken(&mut bench.disk, true);
    }
    for _ in 0..24 {
        if script.is_done() {
            break;
        }
        bench.step(&mut script, forged);
    }
    if choice & 0x80 != 0 {
        bench.verify();
    }
    assert!(bench.disk.size().is_ok());
});
