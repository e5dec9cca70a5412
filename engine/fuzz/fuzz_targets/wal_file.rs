//! Write-ahead logs: frames and headers that anybody may have changed, read and written like SQLite does.
#![no_main]

use std::sync::Arc;

use ground::error::{FaultClass, FileKind, Result};
use libfuzzer_sys::fuzz_target;
use lumocrypt_fuzz::{Disk, History, Script, fix_preamble, keys, suite};
use offline::logs::verify_wal;
use sqlite::files::main_db::CurrentLog;
use sqlite::files::wal::{FRAME_HEADER, MainLink, SQLITE_HEADER, WalFile};
use sqlite::format::wal_header::{WAL_HEADER_B_OFFSET, WalHeader, WalPreamble};
use vault::file_keys::FileKeys;
use vault::format::cell::Cell;
use vault::format::length::Length;

const PAGE: usize = 512;
const FRAME: usize = FRAME_HEADER + PAGE;

/// The main file's part, without a main file.
struct Main {
    cell: Cell,
    length: Length,
}

impl MainLink for Main {
    fn cell(&mut self) -> Result<Cell> {
        Ok(self.cell)
    }
    fn set_cell(
        &mut self,
        active: bool,
        current: [u8; 16],
        previous: [u8; 16],
        _: Option<i32>,
    ) -> Result<()> {
        self.cell = Cell { sequence: self.cell.sequence + 1, active, current, previous, ..self.cell };
        Ok(())
    }
    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
    fn slots(&mut self) -> Result<u64> {
        Ok(42)
    }
    fn set_log(&mut self, _: Option<CurrentLog>) -> Result<()> {
        Ok(())
    }
    fn copied_frames(&mut self, generation: &[u8; 16]) -> Result<u64> {
        Ok(self.length.frames_of(generation))
    }
}

struct Bench {
    keys: Arc<FileKeys>,
    main: Main,
    disk: Disk,
    file: WalFile,
    discard: bool,
    history: History,
    honest: bool,
    /// The salts of the log whose frames a checkpoint has copied, while no later header was written.
    copied_under: Option<[u8; 8]>,
}

impl Bench {
    fn write(&mut self, data: &[u8], at: u64) {
        self.history.wrote(data, at);
        let written = self.file.write(&mut self.disk, &mut self.main, data, at);
        // A page that is rewritten must be there; everything else an undamaged log accepts.
        if let Err(fault) = written {
            assert!(!self.honest || fault.class == FaultClass::Tampered, "{fault}");
        }
    }

    fn begin(&mut self, salt: u8) {
        let mut header = [salt; SQLITE_HEADER];
        header[8..12].copy_from_slice(&(PAGE as u32).to_be_bytes());
        self.copied_under = None;
        self.write(&header, 0);
    }

    fn step(&mut self, script: &mut Script<'_>, forged: bool) {
        // No frame is all zeros: those stand for what is not there.
        let (kind, fill) = (script.byte(), script.byte().max(1));
        let index = usize::from(script.byte() % 24);
        let at = (SQLITE_HEADER + index * FRAME) as u64;
        match kind % 16 {
            0..4 => {
                // The two writes of one frame.
                self.write(&[fill; FRAME_HEADER], at);
                self.write(&[fill; PAGE], at + FRAME_HEADER as u64);
            }
            4 => self.write(&[fill; FRAME_HEADER], at),
            5 => self.write(&[fill; PAGE], at + FRAME_HEADER as u64),
            6 => {
                let (shift, len) = (script.below(FRAME), script.below(2 * FRAME));
                self.write(&vec![fill; len], at + shift as u64);
            }
            7 => self.begin(fill),
            8 | 9 => {
                let (shift, len) = match fill & 3 {
                    0 => (0, FRAME),
                    1 => (FRAME_HEADER, PAGE),
                    _ => (script.below(FRAME), script.below(3 * FRAME)),
                };
                let _ = self.read(len, at + shift as u64, forged);
            }
            10 => drop(self.read(SQLITE_HEADER, 0, forged)),
            11 => {
                let size = if fill & 1 == 0 { 0 } else { at + u64::from(fill) };
                let _ = self.file.truncate(&mut self.disk, &mut self.main, size);
            }
            12 => drop(self.file.sync(&mut self.disk, 2)),
            13 if fill & 1 == 0 => self.checkpoint(index, forged),
            13 => self.file.transaction_boundary(&mut self.disk),
            14 => self.file.forget_log(),
            _ => self.open(),
        }
        let _ = self.file.size(&mut self.disk, &mut self.main);
        self.file.salts();
        let _ = self.file.take_loss();
    }

    /// Copies the pages of the first `frames` frames, and notes down that they must stay.
    fn checkpoint(&mut self, frames: usize, forged: bool) {
        self.file.set_checkpoint(true);
        let pages = (0..frames).map(|frame| (SQLITE_HEADER + frame * FRAME + FRAME_HEADER) as u64);
        let read = pages.take_while(|at| self.read(PAGE, *at, forged)).count() as u64;
        self.file.set_checkpoint(false);
        // As a main file does, whose cell counts frames of the generation that is named only.
        if read > 0 && self.main.cell.active && self.file.frames_read() >= read {
            let (generation, length) = (self.main.cell.current, self.main.length);
            let frames = read.max(length.frames_of(&generation));
            self.main.length = Length { sequence: length.sequence + 1, generation, frames, ..length };
            self.copied_under = self.file.salts();
        }
        let _ = self.file.check_frames(read);
    }

    /// A frame that a checkpoint has begun to copy is there, or its absence is an error.
    fn check_copied(&self, index: usize, frame: &[u8]) {
        let copied = self.main.length.frames_of(&self.main.cell.current);
        let counts =
            self.main.cell.active && self.copied_under.is_some() && self.copied_under == self.file.salts();
        assert!(
            !counts || index as u64 >= copied || frame[0] != 0,
            "frame {index} of {copied} is gone, unnoticed"
        );
    }

    /// Whether all of it was there.
    fn read(&mut self, len: usize, at: u64, forged: bool) -> bool {
        let mut data = vec![0xaa; len];
        let result = self.file.read(&mut self.disk, &mut self.main, &mut data, at);
        if result.is_ok() && !forged {
            self.history.check(&data, at);
            let place = (at as usize).wrapping_sub(SQLITE_HEADER);
            if len == FRAME && place.is_multiple_of(FRAME) {
                self.check_copied(place / FRAME, &data);
            }
        }
        result.unwrap_or(false)
    }

    fn open(&mut self) {
        self.file = WalFile::new(self.keys.clone(), self.discard).expect("an available suite");
    }
}

/// A header as whoever has the key, or a database without one, could make it.
fn forge_header(script: &mut Script<'_>, bench: &mut Bench) {
    let mut sqlite = [7; SQLITE_HEADER];
    let page_size = script.bytes(4);
    sqlite[8..8 + page_size.len()].copy_from_slice(page_size);
    let generation = if script.byte() & 1 == 0 { bench.main.cell.current } else { [0x44; 16] };
    let header = WalHeader {
        preamble: WalPreamble {
            sequence: script.u64(),
            uuid: bench.keys.uuid,
            key_id: bench.keys.key_id,
            generation,
        },
        sqlite,
        main_slots: script.u64(),
        previous: if script.byte() & 1 == 0 { bench.main.cell.previous } else { bench.main.cell.current },
    };
    let sealer = bench.keys.sealer(FileKind::Wal).expect("an available suite");
    let bytes = header.encode(&sealer).expect("randomness");
    let at = if script.byte() & 1 == 0 { 0 } else { WAL_HEADER_B_OFFSET as usize };
    let content = bench.disk.bytes();
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(&bytes);
}

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let choice = script.byte();
    let suite = suite(choice >> 4);
    let keys = keys(suite);
    let discard = choice & 4 != 0;
    let file = WalFile::new(keys.clone(), discard).expect("an available suite");
    let cell = Cell { sequence: 1, active: false, current: [0; 16], previous: [0; 16], synced_slots: 0 };
    let mut bench = Bench {
        keys,
        main: Main { cell, length: Length::default() },
        disk: Disk::default(),
        file,
        discard,
        history: History::default(),
        honest: true,
        copied_under: None,
    };
    let mut forged = !suite.is_keyed();
    bench.begin(script.byte());
    for _ in 0..script.byte() % 16 {
        bench.step(&mut script, false);
    }
    if choice & 3 != 0 {
        bench.honest = false;
        if choice & 3 == 3 {
            forged = true;
            forge_header(&mut script, &mut bench);
        }
        let mut content = std::mem::take(bench.disk.bytes());
        script.damage(&mut content, 200_000);
        if choice & 8 != 0 {
            fix_preamble(&mut content, 0);
            fix_preamble(&mut content, WAL_HEADER_B_OFFSET as usize);
        }
        *bench.disk.bytes() = content;
        let _ = verify_wal(
            Some(&mut bench.disk),
            &bench.keys.clone(),
            Some(bench.main.cell),
            Some(bench.main.length),
        );
        bench.open();
    }
    for _ in 0..16 {
        if script.is_done() {
            break;
        }
        bench.step(&mut script, forged);
    }
});
