//! How an environment is opened, as far as its file does not say: a JSON object.

use ground::error::{Fault, FaultClass, Result};
use lmdb::{Durability, Options};
use serde_json::Value;

/// What is in `lumo_lmdb_env_open`'s settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    create: bool,
    map_size: Option<usize>,
    cache_size: Option<usize>,
    max_dbs: u32,
    max_readers: Option<u32>,
    read_only: bool,
    lock: bool,
    readahead: bool,
    sync: bool,
    metasync: bool,
    writemap: bool,
    fixedmap: bool,
    previous_snapshot: bool,
    mode: Option<u32>,
}

impl Settings {
    /// Reads them. A member that nobody knows is refused.
    pub(super) fn from_json(json: &str) -> Result<Settings> {
        let mut settings = Settings {
            create: true,
            map_size: None,
            cache_size: None,
            max_dbs: 0,
            max_readers: None,
            read_only: false,
            lock: true,
            readahead: true,
            sync: true,
            metasync: true,
            writemap: false,
            fixedmap: false,
            previous_snapshot: false,
            mode: None,
        };
        let members = match serde_json::from_str(json) {
            Ok(Value::Object(members)) => members,
            _ => return Err(invalid("the settings are not a JSON object")),
        };
        for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            match name.as_str() {
                "create" => settings.create = truth(name, value)?,
                "map_size" => settings.map_size = Some(number(name, value)?),
                "cache_size" => settings.cache_size = Some(number(name, value)?),
                "max_dbs" => settings.max_dbs = number(name, value)?,
                "max_readers" => settings.max_readers = Some(number(name, value)?),
                "read_only" => settings.read_only = truth(name, value)?,
                "lock" => settings.lock = truth(name, value)?,
                "readahead" => settings.readahead = truth(name, value)?,
                "sync" => settings.sync = truth(name, value)?,
                "metasync" => settings.metasync = truth(name, value)?,
                "writemap" => settings.writemap = truth(name, value)?,
                "fixedmap" => settings.fixedmap = truth(name, value)?,
                "previous_snapshot" => settings.previous_snapshot = truth(name, value)?,
                "mode" => settings.mode = Some(number(name, value)?),
                _ => return Err(invalid(&format!("there is no setting {name:?}"))),
            }
        }
        // LMDB's "as it is", which is as large as any file here.
        settings.map_size = settings.map_size.filter(|bytes| *bytes > 0);
        Ok(settings)
    }

    /// Whether an environment is created where there is none.
    pub(super) fn create(&self) -> bool {
        self.create && !self.read_only
    }

    /// Refuses what encryption does not go with.
    pub(super) fn check(&self, options: Options) -> Result<()> {
        options.write_map(self.writemap)?.fixed_map(self.fixedmap)?;
        Ok(())
    }

    pub(super) fn apply(&self, mut options: Options) -> Options {
        let durability = match (self.sync, self.metasync) {
            (false, _) => Durability::NoSync,
            (true, false) => Durability::NoMetaSync,
            (true, true) => Durability::Full,
        };
        if let Some(bytes) = self.map_size {
            options = options.map_size(bytes);
        }
        if let Some(bytes) = self.cache_size {
            options = options.cache_size(bytes);
        }
        if let Some(count) = self.max_readers {
            options = options.max_readers(count);
        }
        if let Some(mode) = self.mode {
            options = options.mode(mode);
        }
        options
            .max_dbs(self.max_dbs)
            .read_only(self.read_only)
            .lock(self.lock)
            .readahead(self.readahead)
            .previous_snapshot(self.previous_snapshot)
            .durability(durability)
    }
}

fn truth(name: &str, value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| invalid(&format!("the setting {name} is true or false, and not {value}")))
}

fn number<T: TryFrom<u64>>(name: &str, value: &Value) -> Result<T> {
    value
        .as_u64()
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| invalid(&format!("the setting {name} = {value} is not a number in range")))
}

fn invalid(message: &str) -> Fault {
    Fault::new(FaultClass::InvalidArgument, message)
}
