//! What a connection can be told to do with its own main file, beyond SQL: the commands of `docs/reference/c-abi.md`.
//!
//! A command holds keys, so it is kept here and named by a single-use handle ([`super::registry::issue_command`]), which
//! is all that a pragma's text shows.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::limits::KdfLimits;
use super::material::Key;
use super::options::{cost, decode_hex, invalid, label, limits, suite, threads, unknown};
use super::rekey::{Plan, RekeyCommand};
use crate::draft::Draft;
use crate::format::superblock::KEYSLOT_COUNT;
use crypto::kdf::Argon2Cost;
use ground::error::Result;

/// Something to be done to a main file under SQLite's write lock.
#[derive(Debug)]
pub enum Command {
    /// One more key opens the database.
    AddSlot(NewSlot),
    /// A keyslot goes.
    RemoveSlot(Which),
    /// The keyslot that `key` opens is replaced.
    ChangeSlot {
        /// What opens it now.
        key: Arc<Key>,
        /// What takes its place.
        new: NewSlot,
    },
    /// A keyslot gets another label.
    LabelSlot(Which, String),
    /// A part of a change of the data key.
    Rekey(RekeyCommand),
}

/// A keyslot to be, with the key that will open it.
#[derive(Debug)]
pub struct NewSlot {
    /// The key.
    pub key: Arc<Key>,
    /// The slot.
    pub draft: Draft,
    /// Its label; `None`: that of the slot whose place it takes.
    pub label: Option<String>,
}

/// Which keyslot is meant.
#[derive(Debug)]
pub enum Which {
    /// The one at this place.
    At(u32),
    /// The one that this key opens.
    OpenedBy(Arc<Key>),
}

impl Command {
    /// Reads the JSON form, in which the keys, in order, are not contained. Derives what a new key wraps with, which may
    /// take seconds.
    pub fn from_json(json: &str, keys: Vec<Arc<Key>>) -> Result<Command> {
        let Ok(Value::Object(members)) = serde_json::from_str(json) else {
            return Err(invalid("the command is not a JSON object".to_owned()));
        };
        let mut given = Given { members, keys: keys.into_iter() };
        let name = given.take("command");
        let command = match name.as_ref().and_then(Value::as_str) {
            Some("add_slot") => Command::AddSlot(given.new_slot()?),
            Some("remove_slot") => Command::RemoveSlot(given.which()?),
            Some("change_slot") => Command::ChangeSlot { key: given.key()?, new: given.new_slot()? },
            Some("label_slot") => {
                let text = label(&given.take("label").unwrap_or_default())?;
                Command::LabelSlot(given.which()?, text)
            }
            Some("rekey_begin") => Command::Rekey(RekeyCommand::Begin(given.plan()?)),
            Some("rekey_step") => {
                let bytes = given.bytes()?;
                let threads = given.take("threads").as_ref().map(threads).transpose()?;
                Command::Rekey(RekeyCommand::Step { bytes, threads })
            }
            Some("rekey_finish") => Command::Rekey(RekeyCommand::Finish),
            _ => return Err(invalid("there is no such command".to_owned())),
        };
        given.nothing_is_left()?;
        Ok(command)
    }
}

impl NewSlot {
    /// A slot for `key`, at the cost `kdf` if that is a passphrase.
    pub fn new(key: Arc<Key>, kdf: Argon2Cost, label: Option<String>) -> Result<NewSlot> {
        let draft = Draft::new(&key, kdf, label.as_deref().unwrap_or_default())?;
        Ok(NewSlot { key, draft, label })
    }
}

/// What came with a command and was not used yet.
struct Given {
    members: Map<String, Value>,
    keys: std::vec::IntoIter<Arc<Key>>,
}

impl Given {
    /// A member that is there and not null.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    fn key(&mut self) -> Result<Arc<Key>> {
        self.keys.next().ok_or_else(|| invalid("a key that the command needs is missing".to_owned()))
    }

    fn which(&mut self) -> Result<Which> {
        let Some(slot) = self.take("slot") else { return Ok(Which::OpenedBy(self.key()?)) };
        slot.as_u64()
            .and_then(|index| u32::try_from(index).ok())
            .filter(|index| (*index as usize) < KEYSLOT_COUNT)
            .map(Which::At)
            .ok_or_else(|| {
                invalid(format!("a keyslot is a number from 0 to {}, and not {slot}", KEYSLOT_COUNT - 1))
            })
    }

    fn new_slot(&mut self) -> Result<NewSlot> {
        let key = self.key()?;
        let text = self.take("label").as_ref().map(label).transpose()?;
        let (kdf, provider) = (self.take("kdf"), self.hex("provider")?);
        if let Some(bytes) = provider {
            let draft = Draft::for_service(&key, &bytes, text.as_deref().unwrap_or_default())?;
            return Ok(NewSlot { key, draft, label: text });
        }
        let kdf = kdf.as_ref().map_or(Ok(Argon2Cost::INTERACTIVE), cost)?;
        let caps = self.take("kdf_limit").as_ref().map_or_else(KdfLimits::standing, limits)?;
        // A slot that its own writer could not open again would lock everybody out.
        caps.check_new([kdf].iter())?;
        NewSlot::new(key, kdf, text)
    }

    /// The first key opens the database; the second, if there is a new one, takes its place; the others open other slots.
    fn plan(&mut self) -> Result<Plan> {
        let key = self.key()?;
        let new_key = match self.take("new_key").and_then(|given| given.as_bool()) {
            Some(true) => Some(self.key()?),
            _ => None,
        };
        let cost = self.take("kdf").as_ref().map(cost).transpose()?;
        let limits = self.take("kdf_limit").as_ref().map_or_else(KdfLimits::standing, limits)?;
        limits.check_new(cost.iter())?;
        Ok(Plan {
            key,
            new_key,
            cost,
            suite: self.take("cipher").as_ref().map(suite).transpose()?,
            drop_others: self.take("drop_other_slots").and_then(|given| given.as_bool()).unwrap_or(false),
            others: std::mem::take(&mut self.keys).collect(),
            limits,
            key_id: self
                .hex("key_id")?
                .map(|id| id.as_slice().try_into())
                .transpose()
                .map_err(|_| invalid("a key id is 16 bytes long".to_owned()))?,
            provider: self.hex("provider")?,
        })
    }

    fn hex(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let bytes = value.as_str().and_then(decode_hex);
        bytes.map(Some).ok_or_else(|| invalid(format!("{name} is hexadecimal text")))
    }

    fn bytes(&mut self) -> Result<u64> {
        self.take("bytes")
            .and_then(|bytes| bytes.as_u64())
            .ok_or_else(|| invalid("a step needs a number of bytes".to_owned()))
    }

    /// Unknown members are refused: a misspelt one that is ignored is worse than an error.
    fn nothing_is_left(mut self) -> Result<()> {
        if let Some((name, _)) = self.members.iter().find(|(_, value)| !value.is_null()) {
            return Err(unknown(name));
        }
        match self.keys.next() {
            Some(_) => Err(invalid("more keys were given than the command takes".to_owned())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ground::error::FaultClass;

    fn raw(byte: u8) -> Arc<Key> {
        Arc::new(Key::raw(&[byte; 32]).unwrap())
    }

    #[test]
    fn everything_can_be_said() {
        let parse = |json: &str, keys: usize| Command::from_json(json, vec![raw(1); keys]).unwrap();
        assert!(matches!(
            parse(r#"{"command": "add_slot", "label": "me", "kdf": null}"#, 1),
            Command::AddSlot(NewSlot { label: Some(_), .. })
        ));
        parse(r#"{"command": "add_slot", "kdf": {"t": 65}, "kdf_limit": {"t": 65}}"#, 1);
        assert!(matches!(parse(r#"{"command": "add_slot", "provider": "00Ff"}"#, 1), Command::AddSlot(_)));
        assert!(matches!(
            parse(r#"{"command": "remove_slot", "slot": 11}"#, 0),
            Command::RemoveSlot(Which::At(11))
        ));
        assert!(matches!(parse(r#"{"command": "remove_slot"}"#, 1), Command::RemoveSlot(Which::OpenedBy(_))));
        assert!(matches!(
            parse(r#"{"command": "change_slot"}"#, 2),
            Command::ChangeSlot { new: NewSlot { label: None, .. }, .. }
        ));
        assert!(matches!(
            parse(r#"{"command": "rekey_step", "bytes": 9, "threads": 4}"#, 0),
            Command::Rekey(RekeyCommand::Step { bytes: 9, threads: Some(4) })
        ));
        assert!(matches!(
            parse(r#"{"command": "label_slot", "slot": 0, "label": ""}"#, 0),
            Command::LabelSlot(Which::At(0), _)
        ));
    }

    #[test]
    fn everything_else_is_refused() {
        for (json, keys) in [
            ("", 0),
            ("[]", 0),
            (r#"{"command": "format_disk"}"#, 0),
            (r#"{"command": "rekey_step"}"#, 0),
            (r#"{"command": "rekey_step", "bytes": 1, "threads": 0}"#, 0),
            (r#"{"command": 1}"#, 0),
            (r#"{"command": "add_slot"}"#, 0),
            (r#"{"command": "add_slot"}"#, 2),
            (r#"{"command": "add_slot", "lable": "me"}"#, 1),
            (r#"{"command": "add_slot", "label": "a\nb"}"#, 1),
            (r#"{"command": "add_slot", "kdf": {"t": 1}}"#, 1),
            (r#"{"command": "add_slot", "kdf": {"t": 65}}"#, 1),
            (r#"{"command": "add_slot", "provider": "0"}"#, 1),
            (r#"{"command": "add_slot", "provider": ""}"#, 1),
            (r#"{"command": "add_slot", "provider": "xx"}"#, 1),
            (r#"{"command": "remove_slot"}"#, 0),
            (r#"{"command": "remove_slot", "slot": 12}"#, 0),
            (r#"{"command": "remove_slot", "slot": -1}"#, 0),
            (r#"{"command": "remove_slot", "slot": 1}"#, 1),
            (r#"{"command": "change_slot"}"#, 1),
            (r#"{"command": "label_slot", "slot": 1}"#, 0),
        ] {
            let fault = Command::from_json(json, vec![raw(1); keys]).expect_err(json);
            assert_eq!(fault.class, FaultClass::InvalidArgument, "{json}");
        }
    }

    #[test]
    fn the_floor_and_the_caps_hold_for_passphrases() {
        let passphrase = Arc::new(Key::passphrase(b"p").unwrap());
        let json = r#"{"command": "add_slot", "kdf": {"t": 2, "m": 19455, "p": 1}}"#;
        assert!(Command::from_json(json, vec![passphrase]).is_err());
    }
}
