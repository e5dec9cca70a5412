//! Environments as people know them: a path and a key. In front of LMDB's pages is the header of every file of the engine's,
//! with superblock and keyslots.

use std::fs::{File, OpenOptions as FileOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crypto::{Secret, nonce};
use ground::error::{Fault, FaultClass, Result};
use vault::create::{CreateOptions, at_any_cost, database};
use vault::file_keys::FileKeys;
use vault::format::superblock::{Contents, Superblock};
use vault::header::{self, HEADER_LEN};
use vault::material::Key;
use vault::options::OpenOptions;
use vault::unlock::unlock_as;

use crate::cipher::{Identity, Protection};
use crate::environment::Environment;
use crate::error::Error;
use crate::options::Options;

/// What opens an environment, and what a new one is to be like.
pub struct Keyed<'a> {
    /// The key; none for checksums.
    pub key: Option<&'a Key>,
    /// Suite, block size, which is the size of pages, and all that a key is opened with.
    pub options: &'a OpenOptions,
    /// Whether one is created where there is none.
    pub create: bool,
    /// Without the floor for what a passphrase costs: for tests that cannot afford it.
    pub at_any_cost: bool,
}

impl Keyed<'_> {
    /// Opens the environment in this file. `settings` chooses what the file does not say.
    ///
    /// Errors: as for an SQLite database: `KeyRequired`, `WrongKey`, `NotEncrypted`, `HeaderDamaged`, `Tampered`;
    /// `UnsupportedFormat` if it is an SQLite database; `NoDatabase` if there is none and none is to be created.
    pub fn open(&self, path: impl AsRef<Path>, settings: impl Fn(Options) -> Options) -> Result<Environment> {
        let path = path.as_ref();
        loop {
            match self.read(path)? {
                Some(region) => return self.open_existing(path, region, &settings),
                None if self.create => self.create(path, &settings)?,
                None => {
                    return Err(Fault::new(
                        FaultClass::NoDatabase,
                        "there is no environment; check the path, or let it be created",
                    )
                    .at_path(path));
                }
            }
        }
    }

    /// A smaller copy of another environment, which is open, as a new one in a file that does not exist yet. It takes over the
    /// size of pages unless the options name one.
    ///
    /// Errors: `Io` with `EEXIST` if there is such a file.
    pub fn copy(&self, from: &Environment, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let page_size = from.info()?.page_size;
        let options = CreateOptions {
            contents: Contents::Lmdb,
            block_size: self.options.block_size.unwrap_or(page_size),
            ..CreateOptions::from(self.options)
        };
        let make = if self.at_any_cost { at_any_cost } else { database };
        let (region, keys, superblock) = make(self.key, &options)?;
        let settings = options_of(&keys, &superblock)?;
        let begun = || {
            let mut file = FileOptions::new().write(true).create_new(true).mode(settings.mode).open(path)?;
            file.write_all(&region)
        };
        begun().map_err(|error| system(&error).at_path(path))?;
        from.copy_compact(path, settings).map_err(|error| Fault::from(error).at_path(path))
    }

    /// The header region; `None` if there is no file.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("opened", &error).at_path(path)),
        };
        let mut region = Vec::new();
        // One byte more tells whether anything follows.
        file.take(HEADER_LEN + 1)
            .read_to_end(&mut region)
            .map_err(|error| failed("read", &error).at_path(path))?;
        Ok(Some(region))
    }

    fn open_existing(
        &self,
        path: &Path,
        region: Vec<u8>,
        settings: &impl Fn(Options) -> Options,
    ) -> Result<Environment> {
        let len = region.len() as u64;
        let header = header::parse_of(Contents::Lmdb, region).map_err(|fault| fault.at_path(path))?;
        let (keys, superblock) = unlock_as(&header, self.key, self.options, path)?;
        refuse_half_changed(&keys).map_err(|fault| fault.at_path(path))?;
        if len <= HEADER_LEN {
            // A new one has its first pages before it has its name.
            return Err(Fault::new(
                FaultClass::Tampered,
                "the environment ends behind its header; restore it from a backup",
            )
            .at_path(path));
        }
        let options = settings(options_of(&keys, &superblock)?);
        options.open(path).map_err(|error| Fault::from(error).at_path(path))
    }

    /// Makes it under another name first, so that nobody ever finds half of one. Somebody else's may come first.
    fn create(&self, path: &Path, settings: &impl Fn(Options) -> Options) -> Result<()> {
        let options = CreateOptions { contents: Contents::Lmdb, ..CreateOptions::from(self.options) };
        let make = if self.at_any_cost { at_any_cost } else { database };
        let (region, keys, superblock) = make(self.key, &options)?;
        let draft = Draft::beside(path)?;
        let settings = settings(options_of(&keys, &superblock)?);
        let made = || {
            let mut file =
                FileOptions::new().write(true).create_new(true).mode(settings.mode).open(&draft.0)?;
            file.write_all(&region)?;
            Ok(file)
        };
        let file = made().map_err(|error: std::io::Error| failed("created", &error).at_path(path))?;
        drop(settings.open(&draft.0).map_err(|error| Fault::from(error).at_path(path))?);
        let named = file.sync_all().and_then(|()| std::fs::hard_link(&draft.0, path));
        match named {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(failed("created", &error).at_path(path))
            }
            _ => Ok(()),
        }
    }
}

/// No page is opened under the key before, so an environment whose data key is being changed in place cannot be used.
///
/// Errors: `UnsupportedFormat` if it is one.
pub fn refuse_half_changed(keys: &FileKeys) -> Result<()> {
    match keys.older() {
        None => Ok(()),
        Some(_) => Err(Fault::new(
            FaultClass::UnsupportedFormat,
            "the header says that the data key is being changed in place, which is not done to environments; restore its \
             header from a backup",
        )),
    }
}

fn options_of(keys: &FileKeys, superblock: &Superblock) -> Result<Options> {
    let protection = match keys.data_key() {
        Some(key) => Protection::Sealed { suite: superblock.suite, key: Secret::duplicate(key) },
        None => Protection::Checksum,
    };
    let identity = Identity { uuid: superblock.uuid, key_id: superblock.key_id };
    Ok(Options::new(protection, identity).header_len(HEADER_LEN as usize).page_size(superblock.block_size))
}

fn failed(what: &str, error: &std::io::Error) -> Fault {
    Fault::new(FaultClass::Io, format!("the environment could not be {what}: {error}"))
}

fn system(error: &std::io::Error) -> Fault {
    Error::System(error.raw_os_error().unwrap_or(libc::EIO)).into()
}

/// A name for a file that is not there yet; what is made under it goes with this, and so does its lock file.
struct Draft(PathBuf);

impl Draft {
    fn beside(path: &Path) -> Result<Draft> {
        let mut random = [0; 8];
        nonce::random(&mut random)?;
        let mut name = path.as_os_str().to_owned();
        name.push(format!("-new-{:016x}", u64::from_le_bytes(random)));
        Ok(Draft(name.into()))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let mut lock = self.0.as_os_str().to_owned();
        lock.push("-lock");
        // Nothing is lost if they stay.
        let _ = std::fs::remove_file(lock);
        let _ = std::fs::remove_file(&self.0);
    }
}
