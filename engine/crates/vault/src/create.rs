//! A new database: its header, keys and superblock.

use crate::cache;
use crate::draft::Draft;
use crate::file_keys::FileKeys;
use crate::format::header::new_region;
use crate::format::keyslot::{Keyslot, check_label};
use crate::format::superblock::{Contents, KEYSLOT_COUNT, Superblock, is_block_size};
use crate::limits::check_floor;
use crate::material::Key;
use crate::options::{OpenOptions, ServiceKey};
use crypto::kdf::Argon2Cost;
use crypto::nonce;
use crypto::secret::Secret;
use crypto::suite::SuiteId;
use ground::error::{Fault, FaultClass, Result};

/// What a new database is to be like.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Its suite.
    pub suite: SuiteId,
    /// Its block size.
    pub block_size: u32,
    /// The cost of its passphrase slot.
    pub kdf: Argon2Cost,
    /// The label of its first keyslot.
    pub label: String,
    /// What it is called and what its first keyslot says, if a key-management service has the key.
    pub kms: Option<ServiceKey>,
    /// What will be behind the header.
    pub contents: Contents,
}

impl Default for CreateOptions {
    fn default() -> Self {
        CreateOptions {
            suite: SuiteId::DEFAULT,
            block_size: 4096,
            kdf: Argon2Cost::INTERACTIVE,
            label: String::new(),
            kms: None,
            contents: Contents::Sqlite,
        }
    }
}

impl From<&OpenOptions> for CreateOptions {
    fn from(options: &OpenOptions) -> Self {
        let defaults = CreateOptions::default();
        CreateOptions {
            suite: options.suite.unwrap_or(defaults.suite),
            block_size: options.block_size.unwrap_or(defaults.block_size),
            kdf: options.kdf.unwrap_or(defaults.kdf),
            label: options.label.clone().unwrap_or_default(),
            kms: options.kms.clone(),
            contents: defaults.contents,
        }
    }
}

/// A new database: its header region, keys and superblock. Nothing is written.
pub fn database(key: Option<&Key>, options: &CreateOptions) -> Result<(Vec<u8>, FileKeys, Superblock)> {
    if matches!(key, Some(Key::Passphrase(_))) {
        check_floor(&options.kdf)?;
    }
    at_any_cost(key, options)
}

/// [`database`] without the floor, for tests that cannot afford it.
pub fn at_any_cost(key: Option<&Key>, options: &CreateOptions) -> Result<(Vec<u8>, FileKeys, Superblock)> {
    check_options(options)?;
    let suite = options.suite;
    let mut slots = std::array::from_fn::<_, KEYSLOT_COUNT, _>(|_| Keyslot::empty());
    let (uuid, key_id) = match &options.kms {
        Some(service) => (service.uuid, service.key_id),
        None => (draw_id()?, draw_id()?),
    };
    let keys = match (key, suite.is_keyed()) {
        (Some(key), true) => {
            let data_key = Secret::random()?;
            if matches!(key, Key::Passphrase(_)) {
                cache::count_kdf_run();
            }
            let draft = match &options.kms {
                Some(service) => Draft::for_service(key, &service.provider, &options.label)?,
                None => Draft::at_any_cost(key, options.kdf, &options.label)?,
            };
            slots[0] = draft.seal(0, &data_key, &key_id)?;
            // Whoever makes a database opens it next; that should not derive the same key again.
            cache::remember(&uuid, &key_id, 0, &slots[0], key, &data_key)?;
            FileKeys::new(uuid, key_id, suite, Some(data_key))?
        }
        (None, false) => FileKeys::new(uuid, [0; 16], suite, None)?,
        (None, true) => {
            return Err(Fault::new(
                FaultClass::KeyRequired,
                format!("a new database with the cipher {} needs a key; give one", suite.name()),
            ));
        }
        (Some(_), false) => {
            return Err(invalid(format!(
                "the suite {} has no key and encrypts nothing; leave the key out or choose another suite",
                suite.name()
            )));
        }
    };
    let superblock = Superblock {
        generation: 1,
        uuid,
        key_id: keys.key_id,
        suite,
        block_size: options.block_size,
        keeps_length: true,
        contents: options.contents,
        link: None,
        slots,
    };
    Ok((new_region(&superblock, &keys), keys, superblock))
}

/// The header of a copy made by `VACUUM INTO`: a new UUID, hence new subkeys, but the same data key and
/// keyslots, so that everybody who opens the original opens the copy.
pub fn copy_of(original: &Superblock, keys: &FileKeys) -> Result<(Vec<u8>, FileKeys, Superblock)> {
    let uuid = draw_id()?;
    let data_key = keys.data_key().map(Secret::duplicate);
    let new_keys = FileKeys::new(uuid, original.key_id, original.suite, data_key)?;
    // What is copied is sealed anew: there is nothing under an older key in it.
    let superblock = Superblock { generation: 1, uuid, keeps_length: true, link: None, ..original.clone() };
    Ok((new_region(&superblock, &new_keys), new_keys, superblock))
}

fn check_options(options: &CreateOptions) -> Result<()> {
    if !is_block_size(options.block_size) {
        return Err(invalid(format!(
            "a block size of {} is not possible; choose a power of two from 512 to 65536",
            options.block_size
        )));
    }
    check_label(&options.label)
}

fn invalid(message: String) -> Fault {
    Fault::new(FaultClass::InvalidArgument, message)
}

fn draw_id() -> Result<[u8; 16]> {
    let mut id = [0; 16];
    nonce::random(&mut id)?;
    Ok(id)
}

#[cfg(test)]
mod tests;
