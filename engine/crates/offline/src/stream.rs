//! Encrypting a database that comes piece by piece, and that is in no file.

use super::convert::{Converted, Made};
use super::pieces::{Piece, Pieces};
use ground::error::{Fault, FaultClass, Result};
use ground::memory;
use sqlite::facts;
use storage::disk::DiskFile;
use vault::registry::OpenOptions;

/// A database that is being written from its beginning to its end.
pub struct Stream {
    target: DiskFile,
    made: Made,
    pieces: Pieces,
    /// The piece that is being filled, and how far it is.
    piece: Option<Piece>,
    filled: usize,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

impl Stream {
    /// Begins the empty `target` for a database of `size` bytes in clear; `head` is the first 100 of them, which
    /// [`Stream::push`] takes again.
    ///
    /// Errors: `InvalidArgument` if that is no plaintext database.
    pub fn begin(mut target: DiskFile, head: &[u8], size: u64, options: &OpenOptions) -> Result<Stream> {
        let mut beginning = [0; facts::HEADER_LEN];
        let len = head.len().min(beginning.len());
        beginning[..len].copy_from_slice(&head[..len]);
        let made = Made::begin(&beginning, size, options, &mut target)?;
        let mut pieces = Pieces::new(made.geometry, size);
        let blocks = pieces.most_blocks();
        let plain = memory::zeroed(blocks * made.geometry.block_size as usize)?;
        let sealed = memory::zeroed(blocks * made.geometry.slot_len())?;
        let piece = pieces.next();
        Ok(Stream { target, made, pieces, piece, filled: 0, plain, sealed })
    }

    /// Takes what follows in the database.
    pub fn push(&mut self, mut content: &[u8]) -> Result<()> {
        while !content.is_empty() {
            let Some(piece) = self.piece else {
                return Err(wrong_length("longer"));
            };
            let len = content.len().min(piece.plain_len - self.filled);
            self.plain[self.filled..self.filled + len].copy_from_slice(&content[..len]);
            (self.filled, content) = (self.filled + len, &content[len..]);
            if self.filled == piece.plain_len {
                let sealed = &mut self.sealed[..piece.sealed_len];
                self.made.seal(&piece, &self.plain[..piece.plain_len], sealed)?;
                self.target.write_at(sealed, piece.offset)?;
                (self.piece, self.filled) = (self.pieces.next(), 0);
            }
        }
        Ok(())
    }

    /// Completes and syncs the database.
    pub fn finish(mut self) -> Result<Converted> {
        if self.piece.is_some() {
            return Err(wrong_length("shorter"));
        }
        self.made.finish(&mut self.target)
    }
}

fn wrong_length(how: &str) -> Fault {
    Fault::new(FaultClass::InvalidArgument, format!("the database is {how} than was said"))
}
