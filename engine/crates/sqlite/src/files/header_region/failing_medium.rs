use super::*;
use ground::error::{Fault, FaultClass};

const LEN: usize = 512;

/// A medium on which what is being written is torn until it is synced, and that loses what a failed sync covered.
struct Torn {
    cache: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(usize, usize)>,
    /// Syncs that succeed before one fails.
    good: usize,
    failed: bool,
    /// Copies of which a power cut has to leave one.
    whole: Vec<Vec<u8>>,
}

impl Torn {
    fn check(&self) {
        let left = [0, COPY_B_OFFSET as usize].map(|at| {
            let torn = self.pending.iter().any(|(from, _)| *from == at);
            (!torn).then(|| self.durable[at..at + LEN].to_vec())
        });
        assert!(left.iter().flatten().any(|copy| self.whole.contains(copy)), "a power cut leaves no copy");
    }
}

impl Storage for Torn {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        buf.copy_from_slice(&self.cache[offset as usize..offset as usize + buf.len()]);
        Ok(true)
    }
    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        let at = offset as usize;
        self.cache[at..at + data.len()].copy_from_slice(data);
        self.pending.push((at, at + data.len()));
        self.check();
        Ok(())
    }
    fn truncate(&mut self, _: u64) -> Result<()> {
        unreachable!("a header is of one size")
    }
    fn sync(&mut self, _: i32) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        if self.good == 0 && !self.failed {
            self.failed = true;
            return Err(Fault::new(FaultClass::Io, "the medium failed"));
        }
        self.good = self.good.saturating_sub(1);
        for (from, to) in pending {
            self.durable[from..to].copy_from_slice(&self.cache[from..to]);
        }
        self.check();
        Ok(())
    }
    fn size(&mut self) -> Result<u64> {
        Ok(self.cache.len() as u64)
    }
}

#[test]
fn a_power_cut_in_a_change_leaves_a_copy_whichever_sync_of_the_change_before_failed() {
    let versions: Vec<Vec<u8>> = (1..=3).map(|n| vec![n; LEN]).collect();
    for good in 0..3 {
        let mut bytes = vec![0; HEADER_LEN as usize];
        for at in [0, COPY_B_OFFSET as usize] {
            bytes[at..at + LEN].copy_from_slice(&versions[0]);
        }
        let mut medium = Torn {
            cache: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
            good,
            failed: false,
            whole: versions[..2].to_vec(),
        };
        assert!(replace_copies(&mut medium, &versions[0], &versions[1]).is_err());
        // What can be read of copy A counts, durable or not, and the next change stands on it.
        let current = medium.cache[..LEN].to_vec();
        let ahead = current == versions[1] && medium.durable[..LEN] != current[..];
        // A copy that nobody ever acknowledged may be lost with what came before it.
        medium.whole = vec![current.clone(), versions[2].clone()];
        medium.whole.extend(ahead.then(|| versions[0].clone()));
        replace_copies(&mut medium, &current, &versions[2]).unwrap();
        for at in [0, COPY_B_OFFSET as usize] {
            assert_eq!(medium.durable[at..at + LEN], versions[2]);
        }
    }
}
