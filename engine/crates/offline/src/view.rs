//! A database in any format, read as SQLite sees it.

use std::path::Path;
use std::sync::Arc;

use super::Unlocked;
use super::convert::unauthentic;
use super::verify::sqlite_size;
use super::workers::Input;
use crypto::{LengthPreserving, LengthPreservingCipher};
use gosqlite::header::{judge, sample_len};
use gosqlite::{main_blocks, page_size};
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::memory;
use sqlite::facts;
use storage::{Storage, is_zero};
use vault::format::superblock;
use vault::registry::OpenOptions;

/// What is named where no block size fits.
const USUAL_BLOCK_SIZE: u32 = 4096;

/// A cipher of the gosqlite format (docs/reference/gosqlite.md), with its key.
#[derive(Clone)]
pub struct Gosqlite {
    /// Which.
    pub cipher: LengthPreserving,
    /// With its key.
    pub keyed: Arc<dyn LengthPreservingCipher>,
    /// Bytes in a block; `None`: what the file or the source has.
    pub page_size: Option<u32>,
}

/// How a database is stored.
pub enum Format {
    /// As SQLite writes it.
    Plain,
    /// docs/reference/format.md.
    Native(OpenOptions),
    /// docs/reference/gosqlite.md.
    Gosqlite(Gosqlite),
}

/// What turns a file's bytes into the database's.
#[derive(Clone)]
enum Form {
    Plain,
    Native(Arc<Unlocked>),
    Gosqlite(Arc<dyn LengthPreservingCipher>),
}

/// A database file that is read in clear.
pub struct View {
    file: Box<dyn Input>,
    form: Form,
    /// Bytes that are sealed together.
    block_size: u32,
    /// Bytes of the database.
    size: u64,
    /// Bytes in one of SQLite's pages.
    page_size: u32,
    slot: Vec<u8>,
    block: Vec<u8>,
}

impl View {
    /// Unlocks `file`, which was found at `path`.
    ///
    /// Errors: those of unlocking a native file, and of judging the first block of one in the gosqlite format;
    /// `Tampered` if that was cut inside a block; and if what comes out is no database,
    /// `InvalidArgument` if that was in clear.
    pub fn open(mut file: Box<dyn Input>, format: &Format, path: impl AsRef<Path>) -> Result<View> {
        let physical = file.size()?;
        let (form, block_size, size) = match format {
            Format::Plain => (Form::Plain, 1, physical),
            Format::Native(options) => {
                let unlocked = Unlocked::open(file.as_mut(), options, path)?;
                let (block_size, size) = (unlocked.geometry.block_size, unlocked.size);
                (Form::Native(Arc::new(unlocked)), block_size, size)
            }
            Format::Gosqlite(gosqlite) => {
                let block_size = gosqlite_block_size(file.as_mut(), gosqlite)?;
                if !physical.is_multiple_of(u64::from(block_size)) {
                    let message =
                        format!("the file is no whole number of blocks of {block_size} bytes: it was cut");
                    return Err(Fault::new(FaultClass::Tampered, message).in_file(FileKind::MainDb));
                }
                (Form::Gosqlite(gosqlite.keyed.clone()), block_size, physical)
            }
        };
        let (slot, block) = (Vec::new(), Vec::new());
        let mut view = View { file, form, block_size, size, page_size: 0, slot, block };
        let mut head = [0; facts::HEADER_LEN];
        view.read(&mut head, 0)?;
        view.page_size = page_size(&head).ok_or_else(|| view.no_database(&head))? as u32;
        // Behind the last page a block that is larger than a page has what no write has covered.
        if matches!(view.form, Form::Gosqlite(_))
            && let Some(exact) = sqlite_size(&head)
            && exact.next_multiple_of(u64::from(block_size)) == size
        {
            view.size = exact;
        }
        Ok(view)
    }

    /// Bytes in one of SQLite's pages.
    pub fn page_size(&self) -> u32 {
        self.page_size
    }

    /// Bytes that are encrypted together.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// What begins with `head` is none: whoever named a file in clear named the wrong one, and what was sealed is damage.
    fn no_database(&self, head: &[u8]) -> Fault {
        match self.form {
            Form::Plain if head.starts_with(&superblock::MAGIC) => {
                Fault::new(FaultClass::InvalidArgument, "the database is encrypted, and not in clear")
            }
            Form::Plain => Fault::new(FaultClass::InvalidArgument, "the file is not a SQLite database"),
            _ => Fault::new(
                FaultClass::Tampered,
                "what the file holds does not begin like a SQLite database; `lumocrypt salvage` looks for what is left",
            )
            .in_file(FileKind::MainDb)
            .at_number(0),
        }
    }

    /// Fills `out`, which is as long as the block, with a block's content.
    fn open_block(&mut self, index: u64, out: &mut [u8]) -> Result<()> {
        match &self.form {
            Form::Plain => {
                self.file.read(out, index)?;
            }
            Form::Gosqlite(cipher) => {
                self.file.read(out, index * u64::from(self.block_size))?;
                // Zeros were never written: SQLite skips pages that it does not need.
                if !is_zero(out) {
                    cipher.decrypt(FileKind::MainDb as u8, index, out);
                }
            }
            Form::Native(file) => {
                memory::resize(&mut self.slot, out.len() + file.geometry.overhead as usize)?;
                self.file.read(&mut self.slot, file.geometry.slot_offset(index))?;
                if !file.open_slot(index, &self.slot, out) {
                    return Err(unauthentic(index));
                }
            }
        }
        Ok(())
    }
}

impl Input for View {
    fn another(&mut self) -> Option<Box<dyn Input>> {
        Some(Box::new(View {
            file: self.file.another()?,
            form: self.form.clone(),
            block_size: self.block_size,
            size: self.size,
            page_size: self.page_size,
            slot: Vec::new(),
            block: Vec::new(),
        }))
    }
}

impl Storage for View {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        if matches!(self.form, Form::Plain) {
            return self.file.read(buf, offset);
        }
        let there = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let block_size = u64::from(self.block_size);
        let mut done = 0;
        while done < there {
            let at = offset + done as u64;
            let (index, within) = (at / block_size, (at % block_size) as usize);
            let len = match &self.form {
                // Blocks of this format are whole, the last one, too.
                Form::Gosqlite(_) => block_size as usize,
                _ => (self.size - index * block_size).min(block_size) as usize,
            };
            let out = &mut buf[done..there];
            if within == 0 && out.len() >= len {
                self.open_block(index, &mut out[..len])?;
                done += len;
                continue;
            }
            let mut block = std::mem::take(&mut self.block);
            memory::resize(&mut block, len)?;
            self.open_block(index, &mut block)?;
            let part = out.len().min(len - within);
            out[..part].copy_from_slice(&block[within..within + part]);
            self.block = block;
            done += part;
        }
        buf[there..].fill(0);
        Ok(there == buf.len())
    }

    fn write(&mut self, _data: &[u8], _offset: u64) -> Result<()> {
        Err(read_only())
    }

    fn truncate(&mut self, _size: u64) -> Result<()> {
        Err(read_only())
    }

    fn sync(&mut self, _flags: i32) -> Result<()> {
        Err(read_only())
    }

    fn size(&mut self) -> Result<u64> {
        Ok(self.size)
    }
}

fn read_only() -> Fault {
    Fault::new(FaultClass::Internal, "a database that is being read was to be written")
}

/// The block size of a file in the gosqlite format, which says nothing about itself: the one that is asked for, or the
/// one under which its first block is the beginning of a database.
fn gosqlite_block_size(file: &mut dyn Input, gosqlite: &Gosqlite) -> Result<u32> {
    let mut head = memory::zeroed((sample_len(gosqlite.cipher) as u64).min(file.size()?) as usize)?;
    file.read(&mut head, 0)?;
    let judged = |size: u32| judge(&gosqlite.keyed, gosqlite.cipher, &head, size as usize).map(|_| size);
    if let Some(asked) = gosqlite.page_size {
        return judged(asked);
    }
    main_blocks::sizes()
        .find_map(|size| judged(size as u32).ok())
        .map_or_else(|| judged(USUAL_BLOCK_SIZE), Ok)
}
