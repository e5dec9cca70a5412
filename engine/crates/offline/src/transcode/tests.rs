use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::progress::finish;
use crate::view::Gosqlite;
use crate::workers::Input;
use crypto::{LengthPreserving, instantiate_length_preserving};
use sqlite::facts::MAGIC;
use storage::MemoryFile;
use vault::material::Key;
use vault::registry::OpenOptions;

/// A file in memory that every thread reads a copy of.
struct Disk(MemoryFile);

impl Storage for Disk {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.0.read(buf, offset)
    }
    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.0.write(data, offset)
    }
    fn truncate(&mut self, size: u64) -> Result<()> {
        self.0.truncate(size)
    }
    fn sync(&mut self, flags: i32) -> Result<()> {
        self.0.sync(flags)
    }
    fn size(&mut self) -> Result<u64> {
        self.0.size()
    }
}

impl Input for Disk {
    fn another(&mut self) -> Option<Box<dyn Input>> {
        Some(disk(self.0.bytes.clone()))
    }
}

fn disk(bytes: Vec<u8>) -> Box<dyn Input> {
    Box::new(Disk(MemoryFile { bytes, ..MemoryFile::default() }))
}

/// A name in the folder for temporary files, which is gone in the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Temporary {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("lumocrypt-transcode-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, b"").unwrap();
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn new_file(name: &str) -> Result<DiskFile> {
    DiskFile::of_new(std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap())
}

/// What begins like a database; its third page was never written.
fn database(page_size: u32, pages: usize) -> Vec<u8> {
    let page = page_size as usize;
    let mut bytes: Vec<u8> = (0..page * pages).map(|at| (at / 7) as u8 ^ (at % 251) as u8).collect();
    bytes[..16].copy_from_slice(MAGIC);
    let coded = if page_size == 65536 { 1 } else { page_size as u16 };
    bytes[16..18].copy_from_slice(&coded.to_be_bytes());
    bytes[2 * page..3 * page].fill(0);
    bytes
}

fn gosqlite(cipher: LengthPreserving, seed: u8, page_size: Option<u32>) -> Format {
    let key: Vec<u8> = (0..cipher.key_len()).map(|at| at as u8 ^ seed).collect();
    let keyed = Arc::from(instantiate_length_preserving(cipher, &key).unwrap());
    Format::Gosqlite(Gosqlite { cipher, keyed, page_size })
}

fn native() -> Format {
    let key = Some(Arc::new(Key::raw(&[7; 32]).unwrap()));
    Format::Native(OpenOptions { key, ..OpenOptions::default() })
}

fn converted(bytes: &[u8], old: &Format, new: &Format) -> Result<Vec<u8>> {
    let target = Temporary::new();
    let name = target.0.to_str().unwrap();
    let mut view = View::open(disk(bytes.to_vec()), old, "old")?;
    let mut file = new_file(name)?;
    finish(transcode(&mut view, &mut file, new, Some(2), &Meter::default()))?;
    let written = std::fs::read(&target.0).unwrap();
    let mut again = View::open(disk(written.clone()), new, "new")?;
    finish(compare(&mut view, &mut again, &Meter::default()))?;
    Ok(written)
}

#[test]
fn every_direction_keeps_every_byte() {
    for (page_size, pages) in [(512, 600), (4096, 70), (65536, 5)] {
        let plain = database(page_size, pages);
        let formats = || {
            [
                Format::Plain,
                native(),
                gosqlite(LengthPreserving::Adiantum, 0, None),
                gosqlite(LengthPreserving::Aes256Xts, 0, Some(page_size)),
                gosqlite(LengthPreserving::Adiantum, 1, None),
            ]
        };
        for old in formats() {
            let stored = converted(&plain, &Format::Plain, &old).unwrap();
            for new in formats() {
                let moved = converted(&stored, &old, &new).unwrap();
                assert_eq!(converted(&moved, &new, &Format::Plain).unwrap(), plain);
                match &new {
                    Format::Plain => assert_eq!(moved, plain),
                    Format::Gosqlite(_) => assert!(moved.len() == plain.len() && moved[..16] != plain[..16]),
                    Format::Native(_) => assert!(moved.len() > plain.len()),
                }
            }
        }
    }
}

#[test]
fn a_block_that_was_never_written_reads_as_zeros() {
    let format = gosqlite(LengthPreserving::Adiantum, 0, None);
    let mut stored = converted(&database(512, 8), &Format::Plain, &format).unwrap();
    stored[512 * 5..512 * 6].fill(0);
    let plain = converted(&stored, &format, &Format::Plain).unwrap();
    assert_eq!(plain[512 * 5..512 * 6], [0; 512]);
}

#[test]
fn reads_need_not_be_blocks() {
    let plain = database(512, 9);
    for format in [native(), gosqlite(LengthPreserving::Aes256Xts, 0, None)] {
        let stored = converted(&plain, &Format::Plain, &format).unwrap();
        let mut view = View::open(disk(stored), &format, "x").unwrap();
        for (offset, len) in [(0, 1), (511, 2), (100, 3000), (512, 512), (4000, 600), (4608, 10), (9000, 5)] {
            let mut buf = vec![9; len];
            let whole = view.read(&mut buf, offset as u64).unwrap();
            let end = plain.len().min(offset + len).max(offset.min(plain.len()));
            let there = &plain[offset.min(plain.len())..end];
            assert_eq!((whole, &buf[..there.len()]), (there.len() == len, there));
            assert!(buf[there.len()..].iter().all(|byte| *byte == 0));
        }
    }
}

#[test]
fn page_sizes_and_keys_are_told_apart() {
    let class = |bytes: &[u8], format: &Format| {
        View::open(disk(bytes.to_vec()), format, "x").err().map(|fault| (fault.class, fault.message))
    };
    for cipher in LengthPreserving::ALL {
        let stored = converted(&database(8192, 9), &Format::Plain, &gosqlite(cipher, 0, None)).unwrap();
        assert_eq!(class(&stored, &gosqlite(cipher, 0, Some(8192))), None);
        let (found, message) = class(&stored, &gosqlite(cipher, 0, Some(4096))).unwrap();
        assert_eq!(found, FaultClass::UnsupportedFormat);
        assert!(message.contains("page_size is 8192 in the file, and 4096 was given"), "{message}");
        assert_eq!(class(&stored, &gosqlite(cipher, 1, None)).unwrap().0, FaultClass::WrongKey);
        assert_eq!(class(&stored[..9000], &gosqlite(cipher, 0, None)).unwrap().0, FaultClass::Tampered);
        let plain = database(512, 9);
        assert_eq!(class(&plain, &gosqlite(cipher, 0, None)).unwrap().0, FaultClass::NotEncrypted);
        let sealed = converted(&plain, &Format::Plain, &native()).unwrap();
        assert_eq!(class(&sealed, &gosqlite(cipher, 0, None)).unwrap().0, FaultClass::UnsupportedFormat);
        assert_eq!(class(&sealed, &Format::Plain).unwrap().0, FaultClass::InvalidArgument);
        let fault = converted(&plain, &Format::Plain, &gosqlite(cipher, 0, Some(1024))).unwrap_err();
        assert_eq!(fault.class, FaultClass::InvalidArgument);
    }
}

#[test]
fn a_difference_is_found_wherever_it_is() {
    let plain = database(4096, 100);
    let format = gosqlite(LengthPreserving::Aes256Xts, 0, None);
    let stored = converted(&plain, &Format::Plain, &format).unwrap();
    for at in [100, 4096 * 50 + 9, plain.len() - 1] {
        let mut damaged = stored.clone();
        damaged[at] ^= 1;
        let mut old = View::open(disk(plain.clone()), &Format::Plain, "old").unwrap();
        let mut new = View::open(disk(damaged), &format, "new").unwrap();
        let fault = finish(compare(&mut old, &mut new, &Meter::default())).unwrap_err();
        assert_eq!(fault.class, FaultClass::Io);
    }
    let mut old = View::open(disk(plain.clone()), &Format::Plain, "old").unwrap();
    let mut new = View::open(disk(stored[..4096 * 99].to_vec()), &format, "new").unwrap();
    assert!(finish(compare(&mut old, &mut new, &Meter::default())).is_err());
}
