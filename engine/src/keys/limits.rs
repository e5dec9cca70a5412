//! How expensive a passphrase may be to check: a floor for what is written, caps for what is read.

use crate::crypto::kdf::Argon2Cost;
use crate::error::{Fault, FaultClass, Result};

/// The least that is written: the OWASP Password Storage Cheat Sheet's minimum for Argon2id with two passes
/// (m = 19 MiB, t = 2, p = 1). The default is RFC 9106's second recommended option (section 4), well above.
pub const FLOOR: Argon2Cost = Argon2Cost { t: 2, m_kib: 19 * 1024, p: 1 };

/// The most that is read. A header is attacker's input until a key has opened it, and t = 2^32 − 1 would
/// take years; so each number has a cap, and so has the work of all slots together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfLimits {
    /// Passes.
    pub t: u32,
    /// Memory in KiB.
    pub m_kib: u32,
    /// Lanes.
    pub p: u32,
    /// Passes times memory in KiB, summed over all passphrase slots of the file.
    pub work_kib: u64,
}

impl Default for KdfLimits {
    /// 64 passes, 4 GiB, 64 lanes, 64 GiB in all: each profile fits, `sensitive` even in all twelve slots.
    fn default() -> Self {
        KdfLimits { t: 64, m_kib: 4 << 20, p: 64, work_kib: 64 << 20 }
    }
}

impl KdfLimits {
    /// What may be written: what these caps or the built-in ones let through. Caps that were lowered say what to beware of
    /// in a header, not what a new slot may cost.
    #[must_use]
    pub fn for_writing(&self) -> KdfLimits {
        let built_in = KdfLimits::default();
        KdfLimits {
            t: self.t.max(built_in.t),
            m_kib: self.m_kib.max(built_in.m_kib),
            p: self.p.max(built_in.p),
            work_kib: self.work_kib.max(built_in.work_kib),
        }
    }

    /// Refuses costs beyond the caps, singly or together, before anything is computed.
    pub fn check<'a>(&self, costs: impl Iterator<Item = &'a Argon2Cost>) -> Result<()> {
        let mut work = 0u128;
        for cost in costs {
            for (name, value, cap) in
                [("t", cost.t, self.t), ("m", cost.m_kib, self.m_kib), ("p", cost.p, self.p)]
            {
                if value > cap {
                    return Err(beyond(&format!("{name} = {value}"), &format!("{name} = {cap}")));
                }
            }
            // RFC 9106, section 3.1: at least one pass, one lane, and 8 KiB for each lane.
            if cost.t == 0 || cost.p == 0 || u64::from(cost.m_kib) < 8 * u64::from(cost.p) {
                return Err(Fault::new(
                    FaultClass::UnsupportedFormat,
                    format!(
                        "A keyslot asks for Argon2id with t = {}, m = {} KiB and p = {}, which does not exist; \
                         restore the header from a backup.",
                        cost.t, cost.m_kib, cost.p
                    ),
                ));
            }
            work += u128::from(cost.t) * u128::from(cost.m_kib);
        }
        if work > u128::from(self.work_kib) {
            return Err(beyond(
                &format!("t × m = {work} KiB over all slots"),
                &format!("work = {} KiB", self.work_kib),
            ));
        }
        Ok(())
    }
}

fn beyond(asked: &str, cap: &str) -> Fault {
    Fault::new(
        FaultClass::UnsupportedFormat,
        format!(
            "A keyslot asks for Argon2id with {asked}, beyond the cap of {cap}. If you trust this file, raise \
             the cap with kdf_limit."
        ),
    )
}

/// Refuses to write a slot that is too cheap to attack.
pub fn check_floor(cost: &Argon2Cost) -> Result<()> {
    if cost.t < FLOOR.t || cost.m_kib < FLOOR.m_kib || cost.p < FLOOR.p {
        return Err(Fault::new(
            FaultClass::InvalidArgument,
            format!(
                "Argon2id with t = {}, m = {} KiB and p = {} is below the floor of t = {}, m = {} KiB and p = {}; \
                 use a profile or higher costs.",
                cost.t, cost.m_kib, cost.p, FLOOR.t, FLOOR.m_kib, FLOOR.p
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(t: u32, m_kib: u32, p: u32) -> Argon2Cost {
        Argon2Cost { t, m_kib, p }
    }

    fn refusal(costs: &[Argon2Cost]) -> String {
        let fault = KdfLimits::default().check(costs.iter()).expect_err("must be refused");
        assert_eq!(fault.class, FaultClass::UnsupportedFormat);
        fault.message
    }

    #[test]
    fn the_profiles_pass_in_every_slot() {
        for profile in [Argon2Cost::INTERACTIVE, Argon2Cost::MODERATE, Argon2Cost::SENSITIVE] {
            check_floor(&profile).unwrap();
            KdfLimits::default().check([profile; 12].iter()).unwrap();
        }
    }

    #[test]
    fn each_cap_is_named() {
        assert!(refusal(&[cost(65, 65536, 4)]).contains("t = 64"));
        assert!(refusal(&[cost(u32::MAX, 65536, 4)]).contains("kdf_limit"));
        assert!(refusal(&[cost(1, (4 << 20) + 1, 4)]).contains("m = 4194304"));
        assert!(refusal(&[cost(1, 65536, 65)]).contains("p = 64"));
        assert!(refusal(&[cost(16, 2 << 20, 1); 3]).contains("work"));
        KdfLimits::default().check([cost(16, 2 << 20, 1); 2].iter()).unwrap();
    }

    #[test]
    fn lowered_caps_are_for_reading() {
        let low = KdfLimits { m_kib: 1024, t: 100, ..KdfLimits::default() };
        assert!(low.check([Argon2Cost::INTERACTIVE].iter()).is_err());
        low.for_writing().check([Argon2Cost::INTERACTIVE, cost(100, 65536, 4)].iter()).unwrap();
        assert!(KdfLimits::default().for_writing().check([cost(100, 65536, 4)].iter()).is_err());
    }

    #[test]
    fn costs_that_argon2_does_not_have_are_refused() {
        for nonsense in [cost(0, 65536, 4), cost(3, 65536, 0), cost(3, 31, 4), cost(0, 0, 0)] {
            assert!(refusal(&[nonsense]).contains("does not exist"));
        }
    }

    #[test]
    fn the_sum_does_not_overflow() {
        let limits = KdfLimits { t: u32::MAX, m_kib: u32::MAX, p: 64, work_kib: u64::MAX };
        assert!(limits.check([cost(u32::MAX, u32::MAX, 1); 12].iter()).is_err());
    }

    #[test]
    fn nothing_below_the_floor_is_written() {
        check_floor(&FLOOR).unwrap();
        for low in [cost(1, 65536, 4), cost(3, 19 * 1024 - 1, 4), cost(3, 65536, 0)] {
            assert_eq!(check_floor(&low).unwrap_err().class, FaultClass::InvalidArgument);
        }
    }
}
