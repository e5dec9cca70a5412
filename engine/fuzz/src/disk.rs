//! A disk in memory that can show itself as a map.

use ground::error::Result;
use offline::workers::Input;
use storage::{MemoryFile, Storage};

/// The most that a file may grow to: beyond it writes would only cost time.
pub const LONGEST: usize = 1 << 20;

/// A file in memory, mapped or not.
#[derive(Clone, Default)]
pub struct Disk {
    file: MemoryFile,
    /// Whether reads may go through `visit_map`.
    pub mapped: bool,
}

impl Disk {
    /// A disk with this content.
    pub fn new(bytes: Vec<u8>, mapped: bool) -> Self {
        Disk { file: MemoryFile { bytes, ..MemoryFile::default() }, mapped }
    }

    /// The content.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.file.bytes
    }
}

impl Input for Disk {}

impl Storage for Disk {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.file.read(buf, offset)
    }

    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        assert!(offset as usize + data.len() <= 4 * LONGEST, "a write of {} at {offset}", data.len());
        self.file.write(data, offset)
    }

    fn truncate(&mut self, size: u64) -> Result<()> {
        assert!(size as usize <= 4 * LONGEST, "cut to {size}");
        self.file.truncate(size)
    }

    fn sync(&mut self, flags: i32) -> Result<()> {
        self.file.sync(flags)
    }

    fn size(&mut self) -> Result<u64> {
        self.file.size()
    }

    fn visit_map(&mut self, offset: u64, len: usize, visit: &mut dyn FnMut(&[u8])) -> bool {
        let start = offset as usize;
        match start.checked_add(len).and_then(|end| self.file.bytes.get(start..end)) {
            Some(bytes) if self.mapped => {
                visit(bytes);
                true
            }
            _ => false,
        }
    }
}
