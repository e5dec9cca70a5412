//! How a database is to be opened or made: the options of `docs/reference/c-abi.md`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::limits::{KdfLimits, check_floor};
use super::material::Key;
use crate::format::keyslot::check_label;
use crate::format::superblock::is_block_size;
use crypto::kdf::Argon2Cost;
use crypto::suite::SuiteId;
use ground::error::{Fault, FaultClass, Result};

/// How the main file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoMode {
    /// Through a memory map.
    Map,
    /// With positioned reads.
    Pread,
}

/// What a connection is opened with. `None` is "as the file says" or the default.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The key.
    pub key: Option<Arc<Key>>,
    /// The suite of a new database.
    pub suite: Option<SuiteId>,
    /// The cost of a new passphrase slot.
    pub kdf: Option<Argon2Cost>,
    /// The block size of a new database.
    pub block_size: Option<u32>,
    /// How the main file is read.
    pub io: Option<IoMode>,
    /// The label of a new keyslot.
    pub label: Option<String>,
    /// What existing keyslots may cost.
    pub limits: KdfLimits,
    /// Somebody named limits for this very open.
    pub limits_named: bool,
    /// How many threads work on a whole file.
    pub threads: Option<usize>,
    /// What a new database is to be called, whose key a key-management service has.
    pub kms: Option<ServiceKey>,
    /// The UUID of the database that is meant; another one is refused.
    pub uuid: Option<[u8; 16]>,
    /// No key is meant: neither that of an unlocked path nor the environment's counts.
    pub no_key: bool,
}

/// The keyslot of a new database whose raw key a key-management service wrapped, and what it wrapped it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKey {
    /// The database's UUID.
    pub uuid: [u8; 16],
    /// The name of its data key.
    pub key_id: [u8; 16],
    /// What the service needs to unwrap the raw key.
    pub provider: Vec<u8>,
}

impl OpenOptions {
    /// Reads the JSON form; the key is not part of it. Unknown members are refused, because a misspelt
    /// option that is ignored is worse than an error.
    pub fn from_json(json: &str) -> Result<OpenOptions> {
        let mut options = OpenOptions::default();
        let members = match serde_json::from_str(json) {
            Ok(Value::Object(members)) => members,
            Ok(Value::Null) => Map::new(),
            _ => return Err(invalid("the options are not a JSON object".to_owned())),
        };
        for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            match name.as_str() {
                "cipher" => options.suite = Some(suite(value)?),
                "kdf" => options.kdf = Some(cost(value)?),
                "block_size" => options.block_size = Some(block_size(value)?),
                "io" => options.io = Some(io_mode(value)?),
                "label" => options.label = Some(label(value)?),
                "kdf_limit" => options.name_limits(limits(value)?),
                "threads" => options.threads = Some(threads(value)?),
                "kms" => options.kms = Some(service_key(value)?),
                "uuid" => options.uuid = Some(uuid(value.as_str().unwrap_or_default())?),
                "no_key" => options.no_key = value.as_bool().unwrap_or(false),
                _ => return Err(unknown(name)),
            }
        }
        if !options.limits_named {
            options.limits = KdfLimits::standing()?;
        }
        // A slot that its own writer could not open again would lock everybody out.
        options.limits.check_new(options.kdf.iter())?;
        Ok(options)
    }

    /// Limits that somebody named for this very open.
    pub fn name_limits(&mut self, limits: KdfLimits) {
        (self.limits, self.limits_named) = (limits, true);
    }

    /// The limits that were named for this open, else those of `uri`, text as in a URI, else those of `known`, what the
    /// file was unlocked with, else those of the environment.
    pub fn settle_limits(&mut self, uri: Option<&str>, known: Option<&OpenOptions>) -> Result<()> {
        match (uri, known) {
            _ if self.limits_named => {}
            (Some(text), _) => self.name_limits(KdfLimits::standing()?.parse(text)?),
            (None, Some(known)) => (self.limits, self.limits_named) = (known.limits, known.limits_named),
            (None, None) => self.limits = KdfLimits::standing()?,
        }
        Ok(())
    }
}

pub(super) fn suite(value: &Value) -> Result<SuiteId> {
    let known = || SuiteId::ALL.map(SuiteId::name).join(", ");
    value
        .as_str()
        .and_then(SuiteId::from_name)
        .ok_or_else(|| invalid(format!("there is no cipher {value}; choose one of {}", known())))
}

pub(super) fn cost(value: &Value) -> Result<Argon2Cost> {
    let mut cost = Argon2Cost::INTERACTIVE;
    for (name, value) in object("kdf", value)? {
        match name.as_str() {
            "t" => cost.t = number("kdf", name, value)?,
            "m" => cost.m_kib = number("kdf", name, value)?,
            "p" => cost.p = number("kdf", name, value)?,
            _ => return Err(unknown(name)),
        }
    }
    check_floor(&cost)?;
    Ok(cost)
}

/// Limits as text or as an object of numbers; what is left out is as for whoever names none.
pub(super) fn limits(value: &Value) -> Result<KdfLimits> {
    let standing = KdfLimits::standing()?;
    if let Some(text) = value.as_str() {
        return standing.parse(text);
    }
    let mut named = Vec::new();
    for (name, value) in object("kdf_limit", value)?.iter().filter(|(_, value)| !value.is_null()) {
        named.push((name.as_str(), number("kdf_limit", name, value)?));
    }
    standing.with(&named)
}

fn block_size(value: &Value) -> Result<u32> {
    value.as_u64().and_then(|size| u32::try_from(size).ok()).filter(|size| is_block_size(*size)).ok_or_else(
        || {
            invalid(format!(
                "a block size of {value} is not possible; choose a power of two from 512 to 65536"
            ))
        },
    )
}

fn io_mode(value: &Value) -> Result<IoMode> {
    match value.as_str() {
        Some("map") => Ok(IoMode::Map),
        Some("pread") => Ok(IoMode::Pread),
        _ => Err(invalid(format!("there is no io mode {value}; choose \"map\" or \"pread\""))),
    }
}

/// A number of threads.
pub(super) fn threads(value: &Value) -> Result<usize> {
    value
        .as_u64()
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0)
        .ok_or_else(|| invalid(format!("a number of threads is a whole number from 1 on, and not {value}")))
}

fn service_key(value: &Value) -> Result<ServiceKey> {
    let members = object("kms", value)?;
    if let Some(name) = members.keys().find(|name| !["uuid", "key_id", "provider"].contains(&name.as_str())) {
        return Err(unknown(name));
    }
    let bytes = |name: &str| {
        let text = members.get(name).and_then(Value::as_str);
        text.and_then(decode_hex).ok_or_else(|| invalid(format!("kms.{name} is to be hexadecimal text")))
    };
    let id = |name: &str| {
        <[u8; 16]>::try_from(bytes(name)?).map_err(|_| invalid(format!("kms.{name} is to have 16 bytes")))
    };
    Ok(ServiceKey { uuid: id("uuid")?, key_id: id("key_id")?, provider: bytes("provider")? })
}

/// A UUID of 32 hexadecimal digits, with or without dashes.
pub fn uuid(text: &str) -> Result<[u8; 16]> {
    let digits = text.replace('-', "");
    decode_hex(&digits).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        invalid(format!("{text:?} is not a UUID: give its 32 hexadecimal digits, with or without dashes"))
    })
}

pub(super) fn label(value: &Value) -> Result<String> {
    let label = value.as_str().ok_or_else(|| invalid("a keyslot label is a string".to_owned()))?;
    check_label(label)?;
    Ok(label.to_owned())
}

pub(super) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect())
}

fn object<'a>(option: &str, value: &'a Value) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| invalid(format!("the option {option} is an object of numbers")))
}

fn number<T: TryFrom<u64>>(option: &str, name: &str, value: &Value) -> Result<T> {
    value
        .as_u64()
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| invalid(format!("{option}.{name} = {value} is not a number in range")))
}

pub(super) fn unknown(name: &str) -> Fault {
    invalid(format!("there is no option {name:?}"))
}

pub(super) fn invalid(message: String) -> Fault {
    Fault::new(FaultClass::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_can_be_said() {
        let options = OpenOptions::from_json(
            r#"{"cipher": "aegis-256", "kdf": {"t": 4, "m": 65536, "p": 2}, "block_size": 8192, "io": "pread",
                "label": "me", "kdf_limit": {"t": 5, "m": 100000, "p": 6, "work": 7000000}, "threads": 3}"#,
        )
        .unwrap();
        assert_eq!(options.suite, Some(SuiteId::Aegis256));
        assert_eq!(options.kdf, Some(Argon2Cost { t: 4, m_kib: 65536, p: 2 }));
        assert_eq!(options.block_size, Some(8192));
        assert_eq!(options.io, Some(IoMode::Pread));
        assert_eq!(options.label.as_deref(), Some("me"));
        assert_eq!(options.limits, KdfLimits { t: 5, m_kib: 100_000, p: 6, work_kib: 7_000_000 });
        assert_eq!(options.threads, Some(3));
        assert!(options.key.is_none());
    }

    #[test]
    fn nothing_needs_to_be_said() {
        for json in ["{}", "null", r#"{"cipher": null, "kdf": null, "io": null, "kdf_limit": null}"#] {
            let options = OpenOptions::from_json(json).unwrap();
            assert!(options.suite.is_none() && options.kdf.is_none() && options.io.is_none());
            assert_eq!(options.limits, KdfLimits::default());
            assert!(!options.limits_named);
        }
    }

    #[test]
    fn limits_may_be_text() {
        let options = OpenOptions::from_json(r#"{"kdf_limit": "t=5,m=100000,p=6,work=7000000"}"#).unwrap();
        assert_eq!(options.limits, KdfLimits { t: 5, m_kib: 100_000, p: 6, work_kib: 7_000_000 });
        assert!(OpenOptions::from_json(r#"{"kdf_limit": "lots"}"#).is_err());
    }

    #[test]
    fn what_was_named_for_this_open_counts_before_all_else() {
        let limits = |t| KdfLimits { t, ..KdfLimits::default() };
        let mut known = OpenOptions::default();
        known.name_limits(limits(2));
        let settled = |named: Option<u32>, uri: Option<&str>, known: Option<&OpenOptions>| {
            let mut options = OpenOptions::default();
            if let Some(t) = named {
                options.name_limits(limits(t));
            }
            options.settle_limits(uri, known).map(|()| options.limits.t)
        };
        assert_eq!(settled(Some(1), Some("t=3"), Some(&known)).unwrap(), 1);
        assert_eq!(settled(None, Some("t=3"), Some(&known)).unwrap(), 3);
        assert_eq!(settled(None, None, Some(&known)).unwrap(), 2);
        assert_eq!(settled(None, None, None).unwrap(), KdfLimits::default().t);
        assert!(settled(None, Some("t"), None).is_err());
    }

    #[test]
    fn a_uuid_may_have_dashes() {
        for text in ["00112233-4455-6677-8899-aabbccddeeff", "00112233445566778899AABBCCDDEEFF"] {
            let options =
                OpenOptions::from_json(&format!(r#"{{"uuid": "{text}", "no_key": true}}"#)).unwrap();
            assert_eq!(options.uuid.unwrap()[..3], [0, 0x11, 0x22]);
            assert!(options.no_key);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for json in [
            "",
            "[]",
            "{",
            "7",
            r#"{"key": "x"}"#,
            r#"{"ciphre": "aegis-256"}"#,
            r#"{"unknown": null, "other": 1}"#,
            r#"{"cipher": "rot13"}"#,
            r#"{"cipher": 1}"#,
            r#"{"kdf": "interactive"}"#,
            r#"{"kdf": {"t": 1}}"#,
            r#"{"kdf": {"t": 3, "m": 1024}}"#,
            r#"{"kdf": {"t": 65}}"#,
            r#"{"kdf": {"q": 3}}"#,
            r#"{"kdf": {"t": -3}}"#,
            r#"{"kdf": {"t": 4294967296}}"#,
            r#"{"kdf_limit": {"t": 2.5}}"#,
            r#"{"kdf_limit": {"x": 2}}"#,
            r#"{"block_size": 1000}"#,
            r#"{"block_size": 131072}"#,
            r#"{"block_size": "4096"}"#,
            r#"{"io": "mmap"}"#,
            r#"{"threads": 0}"#,
            r#"{"threads": "2"}"#,
            r#"{"kms": "00"}"#,
            r#"{"kms": {"uuid": "00", "key_id": "00", "provider": "00"}}"#,
            r#"{"kms": {"uuid": "00112233445566778899aabbccddeeff", "key_id": "00112233445566778899aabbccddeeff"}}"#,
            r#"{"kms": {"colour": 1}}"#,
            r#"{"label": 7}"#,
            r#"{"label": "a\nb"}"#,
            r#"{"uuid": 7}"#,
            r#"{"uuid": "0011"}"#,
            r#"{"uuid": "00112233-4455-6677-8899-aabbccddeefg"}"#,
        ] {
            let fault = OpenOptions::from_json(json).expect_err(json);
            assert_eq!(fault.class, FaultClass::InvalidArgument, "{json}");
        }
    }

    #[test]
    fn a_cost_above_the_default_cap_needs_a_raised_cap() {
        assert!(OpenOptions::from_json(r#"{"kdf": {"t": 100}}"#).is_err());
        assert!(OpenOptions::from_json(r#"{"kdf": {"t": 100}, "kdf_limit": {"t": 100}}"#).is_ok());
        assert!(OpenOptions::from_json(r#"{"kdf": {"t": 3}, "kdf_limit": {"m": 1024}}"#).is_ok());
    }
}
