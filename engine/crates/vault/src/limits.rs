//! How expensive a passphrase may be to check: a floor for what is written, a budget for what is read.

use crypto::kdf::Argon2Cost;
use ground::error::{Fault, FaultClass, Result};

/// The least that is written: the OWASP Password Storage Cheat Sheet's minimum for Argon2id with two passes
/// (m = 19 MiB, t = 2, p = 1). The default is RFC 9106's second recommended option (section 4), well above.
pub const FLOOR: Argon2Cost = Argon2Cost { t: 2, m_kib: 19 * 1024, p: 1 };

/// The environment variable with limits for whoever gives none.
const VARIABLE: &str = "LUMO_KDF_LIMIT";
/// The passes that limits are for which name the memory alone: those of all profiles.
const USUAL_PASSES: u32 = 3;

/// The most that is derived to open a file. A header is attacker's input until a key has opened it, so what it asks
/// for is compared with a budget before anything is computed: each number has a cap, and the work of all slots that may
/// have to be tried has one together. Slots are tried one after the other, so the memory of one is that of all.
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
    /// 64 passes, 1 GiB, 64 lanes; 8 GiB times passes in all: two `sensitive` slots and ten `interactive` ones. That is
    /// some five seconds on two idle cores, and twice as long if the lanes are no use.
    fn default() -> Self {
        KdfLimits { t: 64, m_kib: 1 << 20, p: 64, work_kib: 8 << 20 }
    }
}

/// What limits do not cover.
struct Excess {
    /// What is asked for.
    asked: String,
    /// The limits that would cover it, as [`KdfLimits::parse`] reads them.
    allow: String,
}

impl KdfLimits {
    /// The limits of whoever names none: those of `LUMO_KDF_LIMIT`, else the built-in ones.
    pub fn standing() -> Result<KdfLimits> {
        let built_in = KdfLimits::default();
        let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else {
            return Ok(built_in);
        };
        let text = text.to_str().ok_or_else(|| invalid(format!("{VARIABLE} is not UTF-8")))?;
        built_in.parse(text).map_err(|fault| invalid(format!("{VARIABLE}: {}", fault.message)))
    }

    /// These limits with others in the places that `text`, like `t=64,m=4194304,p=64,work=12582912`, names.
    pub fn parse(self, text: &str) -> Result<KdfLimits> {
        let malformed = || {
            invalid(format!(
                "a limit of key derivation is written like t=64,m=4194304,p=64,work=12582912 (m and work in KiB), and \
                 not {text:?}"
            ))
        };
        let mut named = Vec::new();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or_else(malformed)?;
            named.push((name.trim(), value.trim().parse().map_err(|_| malformed())?));
        }
        self.with(&named).map_err(|_| malformed())
    }

    /// These limits with others in the places that are named. Unless `work` is among them it grows with what one slot at
    /// the others may take.
    ///
    /// Errors: `InvalidArgument` for an unknown name or a value that is out of range.
    pub fn with(mut self, named: &[(&str, u64)]) -> Result<KdfLimits> {
        let given =
            |wanted: &str| named.iter().rev().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        for (name, value) in named {
            let narrow = || {
                let value = u32::try_from(*value).ok().filter(|value| *value > 0);
                value.ok_or_else(|| invalid(format!("kdf_limit.{name} = {value:?} is not a number in range")))
            };
            match *name {
                "t" => self.t = narrow()?,
                "m" => self.m_kib = narrow()?,
                "p" => self.p = narrow()?,
                "work" => self.work_kib = *value,
                _ => return Err(invalid(format!("there is no limit {name:?}; there are t, m, p and work"))),
            }
        }
        if given("work").is_none() && given("m").is_some() {
            let t = if given("t").is_some() { self.t } else { USUAL_PASSES };
            self.work_kib = self.work_kib.max(u64::from(t) * u64::from(self.m_kib));
        }
        Ok(self)
    }

    /// What may be written: what these limits or the built-in ones let through. Limits that were lowered say what to
    /// beware of in a header, not what a new slot may cost.
    fn for_writing(&self) -> KdfLimits {
        let built_in = KdfLimits::default();
        KdfLimits {
            t: self.t.max(built_in.t),
            m_kib: self.m_kib.max(built_in.m_kib),
            p: self.p.max(built_in.p),
            work_kib: self.work_kib.max(built_in.work_kib),
        }
    }

    /// Refuses costs beyond the limits, singly or together, before anything is computed.
    ///
    /// Errors: `KdfLimit`; `UnsupportedFormat` for costs that Argon2id does not have.
    pub fn check<'a>(&self, costs: impl Iterator<Item = &'a Argon2Cost> + Clone) -> Result<()> {
        for cost in costs.clone() {
            // RFC 9106, section 3.1: at least one pass, one lane, and 8 KiB for each lane.
            if cost.t == 0 || cost.p == 0 || u64::from(cost.m_kib) < 8 * u64::from(cost.p) {
                return Err(Fault::new(
                    FaultClass::UnsupportedFormat,
                    format!(
                        "a keyslot asks for Argon2id with t = {}, m = {} KiB and p = {}, which does not exist; \
                         restore the header from a backup",
                        cost.t, cost.m_kib, cost.p
                    ),
                ));
            }
        }
        let Some(Excess { asked, allow }) = self.excess(costs) else { return Ok(()) };
        Err(Fault::new(
            FaultClass::KdfLimit,
            format!(
                "to try a passphrase, the header asks for Argon2id of {asked}; that is more than is spent on a header \
                 that no key has authenticated yet. If you trust this file, allow it with kdf_limit=\"{allow}\" \
                 (--kdf-limit {allow}, lumo_kdf_limit={allow} in a URI, {VARIABLE}={allow} in the environment)"
            ),
        ))
    }

    /// Refuses to make a passphrase slot of that cost which whoever opens the database would not accept, unless these
    /// limits were raised for it.
    ///
    /// Errors: `InvalidArgument`, which says with what limits the database would have to be opened.
    pub fn check_new<'a>(&self, costs: impl Iterator<Item = &'a Argon2Cost> + Clone) -> Result<()> {
        let Some(Excess { asked, allow }) = self.for_writing().excess(costs) else { return Ok(()) };
        Err(invalid(format!(
            "a database that asks for Argon2id of {asked} is refused by whoever opens it without raised limits; choose a \
             lower cost, or give kdf_limit=\"{allow}\" (--kdf-limit {allow}) here and wherever it is opened"
        )))
    }

    fn excess<'a>(&self, costs: impl Iterator<Item = &'a Argon2Cost>) -> Option<Excess> {
        let (mut most, mut work, mut slots) = (Argon2Cost { t: 0, m_kib: 0, p: 0 }, 0u64, 0);
        for cost in costs {
            slots += 1;
            most.t = most.t.max(cost.t);
            most.m_kib = most.m_kib.max(cost.m_kib);
            most.p = most.p.max(cost.p);
            work = work.saturating_add(u64::from(cost.t) * u64::from(cost.m_kib));
        }
        let mut allow = Vec::new();
        for (name, value, cap) in [
            ("t", most.t.into(), self.t.into()),
            ("m", most.m_kib.into(), self.m_kib.into()),
            ("p", most.p.into(), self.p.into()),
            ("work", work, self.work_kib),
        ] {
            if value > cap {
                allow.push(format!("{name}={value}"));
            }
        }
        let Argon2Cost { t, m_kib, p } = most;
        let plural = if slots == 1 { "" } else { "s" };
        (!allow.is_empty()).then(|| Excess {
            asked: format!(
                "up to t={t}, m={m_kib} KiB and p={p}, in all {work} KiB times passes in {slots} keyslot{plural}"
            ),
            allow: allow.join(","),
        })
    }
}

fn invalid(message: String) -> Fault {
    Fault::new(FaultClass::InvalidArgument, message)
}

/// Refuses to write a slot that is too cheap to attack.
pub fn check_floor(cost: &Argon2Cost) -> Result<()> {
    if cost.t < FLOOR.t || cost.m_kib < FLOOR.m_kib || cost.p < FLOOR.p {
        return Err(Fault::new(
            FaultClass::InvalidArgument,
            format!(
                "Argon2id with t = {}, m = {} KiB and p = {} is below the floor of t = {}, m = {} KiB and p = {}; \
                 use a profile or higher costs",
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
        assert_eq!(fault.class, FaultClass::KdfLimit);
        fault.message
    }

    /// What the message says to allow.
    fn allowed(message: &str) -> &str {
        message.split("kdf_limit=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap()
    }

    #[test]
    fn the_profiles_pass_and_so_do_two_dear_slots_and_ten_usual_ones() {
        for profile in [Argon2Cost::INTERACTIVE, Argon2Cost::MODERATE, Argon2Cost::SENSITIVE] {
            check_floor(&profile).unwrap();
            KdfLimits::default().check([profile].iter()).unwrap();
        }
        let mut slots = [Argon2Cost::INTERACTIVE; 12];
        slots[..2].fill(Argon2Cost::SENSITIVE);
        KdfLimits::default().check(slots.iter()).unwrap();
        KdfLimits::default().check([Argon2Cost::MODERATE; 10].iter()).unwrap();
    }

    #[test]
    fn what_a_header_may_ask_for_unasked_is_seconds_and_a_gibibyte_hazard_16() {
        let limits = KdfLimits::default();
        assert!(limits.m_kib <= Argon2Cost::SENSITIVE.m_kib);
        // A profile's time is in docs/guide/keys.md: 1.8 s for three passes over 1 GiB on two cores.
        assert!(limits.work_kib <= 8 << 20);
        // Passes over next to no memory cost rounds of threads, which work does not count.
        assert!(limits.t <= 64);
    }

    #[test]
    fn what_the_message_says_to_allow_is_enough_and_no_more_than_needed() {
        for slots in [
            vec![cost(65, 65536, 4)],
            vec![cost(u32::MAX, 65536, 4)],
            vec![cost(1, 4 << 20, 4)],
            vec![cost(64, 1 << 20, 4)],
            vec![cost(1, 65536, 65)],
            vec![Argon2Cost::SENSITIVE; 3],
            vec![cost(u32::MAX, u32::MAX, 1); 12],
        ] {
            let message = refusal(&slots);
            let text = allowed(&message);
            for spelling in ["--kdf-limit ", "lumo_kdf_limit=", "LUMO_KDF_LIMIT="] {
                assert!(message.contains(&format!("{spelling}{text}")), "{message}");
            }
            let limits = KdfLimits::default().parse(text).unwrap();
            limits.check(slots.iter()).unwrap();
            limits.check_new(slots.iter()).unwrap();
            let written = KdfLimits::default().check_new(slots.iter()).unwrap_err();
            assert_eq!((written.class, allowed(&written.message)), (FaultClass::InvalidArgument, text));
        }
        assert_eq!(allowed(&refusal(&[cost(1, 4 << 20, 4)])), "m=4194304");
        assert_eq!(allowed(&refusal(&[cost(64, 1 << 20, 4)])), "work=67108864");
    }

    #[test]
    fn limits_are_read_from_text() {
        let base = KdfLimits { t: 1, m_kib: 2, p: 3, work_kib: 4 };
        assert_eq!(base.parse("t=9").unwrap(), KdfLimits { t: 9, ..base });
        assert_eq!(base.parse(" p = 9 , work = 8").unwrap(), KdfLimits { p: 9, work_kib: 8, ..base });
        assert_eq!(base.parse("m=100").unwrap(), KdfLimits { m_kib: 100, work_kib: 300, ..base });
        assert_eq!(base.parse("m=100,t=7").unwrap(), KdfLimits { t: 7, m_kib: 100, work_kib: 700, ..base });
        assert_eq!(base.parse("m=100,work=1").unwrap(), KdfLimits { m_kib: 100, work_kib: 1, ..base });
        for text in
            ["", "t", "t=", "t=-1", "t=0", "t=4294967296", "x=1", "t=1;m=2", "work=18446744073709551616"]
        {
            let fault = base.parse(text).expect_err(text);
            assert_eq!(fault.class, FaultClass::InvalidArgument);
        }
    }

    #[test]
    fn lowered_limits_are_for_reading() {
        let low = KdfLimits { m_kib: 1024, t: 100, ..KdfLimits::default() };
        assert!(low.check([Argon2Cost::INTERACTIVE].iter()).is_err());
        low.check_new([Argon2Cost::INTERACTIVE, cost(100, 65536, 4)].iter()).unwrap();
        assert!(KdfLimits::default().check_new([cost(100, 65536, 4)].iter()).is_err());
    }

    #[test]
    fn costs_that_argon2_does_not_have_are_refused() {
        for nonsense in [cost(0, 65536, 4), cost(3, 65536, 0), cost(3, 31, 4), cost(0, 0, 0)] {
            let fault = KdfLimits::default().check([nonsense].iter()).unwrap_err();
            assert_eq!(fault.class, FaultClass::UnsupportedFormat);
            assert!(fault.message.contains("does not exist"));
        }
    }

    #[test]
    fn the_sum_does_not_overflow() {
        let limits = KdfLimits { t: u32::MAX, m_kib: u32::MAX, p: 64, work_kib: u64::MAX - 1 };
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
