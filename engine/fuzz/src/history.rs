//! The oracle: a file that was changed without the key may fail to read or show an older version of
//! itself, but never a byte that nobody wrote at that place.

/// For each logical offset, the values that were ever written there.
#[derive(Default)]
pub struct History {
    seen: Vec<[u64; 4]>,
}

impl History {
    /// `data` was written at `offset`.
    pub fn wrote(&mut self, data: &[u8], offset: u64) {
        let start = offset as usize;
        if self.seen.len() < start + data.len() {
            self.seen.resize(start + data.len(), [0; 4]);
        }
        for (seen, byte) in self.seen[start..].iter_mut().zip(data) {
            seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
    }

    /// `data` was read at `offset`. Zeros are always honest: gaps, holes and ends of logs read so.
    pub fn check(&self, data: &[u8], offset: u64) {
        for (at, byte) in (offset as usize..).zip(data) {
            let known = *byte == 0
                || self.seen.get(at).is_some_and(|seen| seen[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1);
            assert!(known, "byte {byte:#x} at {at} was never written there");
        }
    }
}
