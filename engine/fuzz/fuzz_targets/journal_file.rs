//! Rollback journals: extents that anybody may have changed, and writes against a plain file as the model.
#![no_main]

use ground::error::FileKind;
use libfuzzer_sys::fuzz_target;
use lumocrypt_fuzz::{Disk, History, Script, fix_preamble, keys, suite};
use sqlite::files::journal::JournalFile;
use sqlite::format::journal_header::{EXTENT_HEAD_LEN, ExtentHead, JOURNAL_PREAMBLE_LEN, JournalPreamble};
use std::sync::Arc;
use vault::file_keys::FileKeys;

struct Bench {
    keys: Arc<FileKeys>,
    disk: Disk,
    file: JournalFile,
    accept_damage: bool,
    history: History,
    model: Option<Vec<u8>>,
}

impl Bench {
    fn open(&mut self) {
        // As a close does.
        let flushed = self.file.flush(&mut self.disk);
        assert!(self.model.is_none() || flushed.is_ok());
        self.file = JournalFile::new(self.keys.clone(), self.accept_damage).expect("an available suite");
    }

    fn write(&mut self, data: &[u8], at: u64) {
        // Zeros of this length at the beginning finish a journal: another operation, which the model lacks.
        if at == 0 && data.len() == 28 && data.iter().all(|byte| *byte == 0) {
            self.model = None;
        }
        self.history.wrote(data, at);
        let written = self.file.write(&mut self.disk, data, at);
        if let Some(model) = &mut self.model {
            written.expect("an undamaged journal can be written");
            let end = at as usize + data.len();
            if model.len() < end {
                model.resize(end, 0);
            }
            model[at as usize..end].copy_from_slice(data);
        }
    }

    fn read(&mut self, len: usize, at: u64, forged: bool) {
        let mut data = vec![0xaa; len];
        let result = self.file.read(&mut self.disk, &mut data, at);
        if let Some(model) = &self.model {
            result.as_ref().expect("an undamaged journal can be read");
            let start = model.len().min(at as usize);
            let end = model.len().min(at as usize + len);
            assert_eq!(data[..end - start], model[start..end]);
            assert!(data[end - start..].iter().all(|byte| *byte == 0));
        }
        if result.is_ok() && !forged {
            self.history.check(&data, at);
        }
    }

    fn step(&mut self, script: &mut Script<'_>, forged: bool) {
        let (kind, fill) = (script.byte(), script.byte());
        let at = script.below(20_000) as u64;
        let len = script.below(4000);
        match kind % 10 {
            0..3 => {
                let end = self.file.size(&mut self.disk).unwrap_or(0).min(40_000);
                self.write(&vec![fill; len], end);
            }
            3 => self.write(&vec![fill; len], at),
            4 => {
                let record = script.bytes(64).to_vec();
                self.write(&record, at);
            }
            5 => self.read(len, at, forged),
            6 => {
                let cut = self.file.truncate(&mut self.disk, at);
                if let Some(model) = &mut self.model {
                    cut.expect("an undamaged journal can be cut");
                    model.truncate(at as usize);
                }
            }
            7 if fill & 1 == 0 => {
                let announced = self.file.main_file_follows(&mut self.disk);
                assert!(self.model.is_none() || announced.is_ok(), "an undamaged journal can be flushed");
            }
            7 => drop(self.file.sync(&mut self.disk, 2)),
            8 if fill & 1 == 0 => {
                let closed = self.file.close(&mut self.disk);
                assert!(self.model.is_none() || closed.is_ok(), "an undamaged journal can be flushed");
                self.file.forget().expect("an available suite");
            }
            8 => self.open(),
            _ => {
                let _ = self.file.original_pages(&mut self.disk);
                let _ = self.file.extents(&mut self.disk);
                let _ = (self.file.is_hot(), self.file.take_loss());
            }
        }
    }
}

/// Extents as whoever has the key, or a database without one, could make them.
fn forge(script: &mut Script<'_>, keys: &FileKeys) -> Vec<u8> {
    let id = [0x44; 16];
    let sealer = keys.sealer(FileKind::MainJournal).expect("an available suite");
    let preamble = JournalPreamble { uuid: keys.uuid, key_id: keys.key_id, journal_id: id };
    let mut out = preamble.encode().to_vec();
    for index in 0..u64::from(script.byte() % 6) {
        let mut payload = script.u64().to_le_bytes().to_vec();
        payload.extend(script.u64().to_le_bytes());
        let len = script.below(600);
        payload.resize(16 + len, index as u8 + 1);
        out.extend(ExtentHead { len: payload.len() as u32, journal_id: id }.encode());
        let start = out.len();
        out.resize(start + payload.len() + sealer.overhead(), 0);
        sealer.seal(index, &id, &payload, &mut out[start..]).expect("randomness");
    }
    out
}

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let choice = script.byte();
    let suite = suite(choice >> 4);
    let keys = keys(suite);
    let accept_damage = choice & 4 != 0;
    let file = JournalFile::new(keys.clone(), accept_damage).expect("an available suite");
    let mut bench = Bench {
        keys: keys.clone(),
        disk: Disk::default(),
        file,
        accept_damage,
        history: History::default(),
        model: Some(Vec::new()),
    };
    let mut forged = !suite.is_keyed();
    if choice & 3 == 3 {
        forged = true;
        *bench.disk.bytes() = forge(&mut script, &keys);
        bench.model = None;
    } else {
        for _ in 0..script.byte() % 10 {
            bench.step(&mut script, false);
        }
        bench.open();
    }
    if choice & 3 != 0 {
        let mut content = std::mem::take(bench.disk.bytes());
        if script.damage(&mut content, 200_000) {
            bench.model = None;
        }
        if choice & 8 != 0 {
            fix_preamble(&mut content, 0);
            // A head in front of what is there: lengths that lie.
            if let Some(head) = content.get_mut(JOURNAL_PREAMBLE_LEN..JOURNAL_PREAMBLE_LEN + EXTENT_HEAD_LEN)
            {
                head[4..6].copy_from_slice(&script.u16().to_le_bytes());
            }
            bench.model = None;
        }
        *bench.disk.bytes() = content;
        if bench.model.is_none() {
            bench.file = JournalFile::new(keys, accept_damage).expect("an available suite");
        }
    }
    for _ in 0..16 {
        if script.is_done() {
            break;
        }
        bench.step(&mut script, forged);
    }
});
