//! Fuzz input as a sequence of numbers and bytes; behind its end everything is zero.

/// A place in the input.
pub struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    /// The beginning of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Script { rest: input }
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Up to `len` bytes: fewer at the end.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Everything that is left.
    pub fn all(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        let mut number = [0; N];
        let taken = self.bytes(N);
        number[..taken.len()].copy_from_slice(taken);
        number
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.number::<1>()[0]
    }

    /// Two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.number())
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.number())
    }

    /// A number below `bound`, of two bytes; 0 if `bound` is.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.u16()) % bound.max(1)
    }

    /// A place in a file of `len` bytes: by two bytes and a scale, so that every place can be reached and small
    /// numbers mean places near the beginning.
    pub fn place(&mut self, len: usize) -> usize {
        let scale = 1 + len / 65536;
        (usize::from(self.u16()) * scale) % len.max(1)
    }

    /// Changes `file`: overwrites, flips, zeroes, moves, cuts or extends parts of it, up to seven times.
    /// Whether anything was tried.
    pub fn damage(&mut self, file: &mut Vec<u8>, longest: usize) -> bool {
        let times = self.byte() & 7;
        for _ in 0..times {
            let kind = self.byte();
            let at = self.place(file.len());
            let len = usize::from(self.byte());
            let end = (at + len).min(file.len());
            match kind % 7 {
                0 => {
                    let patch = self.bytes(end - at);
                    file[at..at + patch.len()].copy_from_slice(patch);
                }
                1 => file[at..end].iter_mut().for_each(|byte| *byte ^= 1 << (len & 7)),
                2 => {
                    let end = (at + (len << 6)).min(file.len());
                    file[at..end].fill(0);
                }
                3 => {
                    let from = self.place(file.len());
                    let len = (len << 5).min(file.len() - at.max(from));
                    file.copy_within(from..from + len, at);
                }
                4 => file.truncate(at),
                5 => {
                    let patch = self.bytes(len).to_vec();
                    file.extend(patch);
                }
                _ => {
                    // Grows by whole pages of the file's own content: replayed parts.
                    let end = (at + (len << 5)).min(file.len());
                    file.extend_from_within(at..end);
                }
            }
            file.truncate(longest);
        }
        times > 0
    }
}
