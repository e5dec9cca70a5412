//! From a header and a key to the keys of the database.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use super::cache::{self, Cache};
use super::file_keys::FileKeys;
use super::limits::KdfLimits;
use super::material::Key;
use super::options::OpenOptions;
use crate::format::keyslot::Keyslot;
use crate::format::superblock::Superblock;
use crate::header::{self, Header};
use crate::links::with_older;
use crypto::kdf::Argon2Cost;
use crypto::secret::Secret;
use ground::error::{Fault, FaultClass, Result};

/// Opens the database whose header is `header` with `key`. `path` is for messages only.
///
/// The newest intact copy decides. Only if it proves to be altered, because its MAC is wrong under the very
/// data key that it belongs to, does the other intact copy stand in for it; so a removed keyslot does not
/// come back as long as the copy without it is sound. Damage is never reported as a wrong key.
pub fn unlock(
    header: &Header,
    key: Option<&Key>,
    limits: &KdfLimits,
    path: impl AsRef<Path>,
) -> Result<(Arc<FileKeys>, Superblock)> {
    let unlock = || Unlock::new(key, limits)?.run(header);
    unlock().map_err(|fault| fault.at_path(path))
}

/// As [`unlock`], with what a connection or a whole-file operation was opened with: the identity counts, too.
///
/// Errors: `WrongDatabase` if another database was meant; before anything is derived from a passphrase.
pub fn unlock_as(
    header: &Header,
    key: Option<&Key>,
    options: &OpenOptions,
    path: impl AsRef<Path>,
) -> Result<(Arc<FileKeys>, Superblock)> {
    let path = path.as_ref();
    if let Some(wanted) = &options.uuid {
        let copies = header.newest_first();
        if !copies.iter().any(|(superblock, _)| superblock.uuid == *wanted) {
            // Whatever it is, a key was not given for something that takes none.
            let unkeyed = |found: &&Superblock| key.is_some() && !found.suite.is_keyed();
            if let Some(found) = header.newest().filter(|found| !unkeyed(found)) {
                return Err(check_identity(found, Some(wanted)).expect_err("another UUID").at_path(path));
            }
        }
    }
    let (keys, superblock) = unlock(header, key, &options.limits, path)?;
    check_identity(&superblock, options.uuid.as_ref()).map_err(|fault| fault.at_path(path))?;
    Ok((keys, superblock))
}

/// Is this the database that was meant?
pub fn check_identity(found: &Superblock, wanted: Option<&[u8; 16]>) -> Result<()> {
    match wanted {
        Some(wanted) if found.uuid != *wanted => Err(Fault::new(
            FaultClass::WrongDatabase,
            format!(
                "this is another database than the one that was asked for: its UUID is {}, and not {}; find out who put \
                 it here. If it is meant, ask for its UUID, or call lumocrypt.unlock for the path again",
                dashed(&found.uuid),
                dashed(wanted)
            ),
        )),
        _ => Ok(()),
    }
}

/// A UUID as people write it.
pub fn dashed(uuid: &[u8; 16]) -> String {
    let digits: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// Opens the database whose header is `header` with the data key of a relative, `known`: a copy made by
/// `VACUUM INTO` and its original have the same one. `None` if this file has another.
pub fn unlock_relative(
    header: &Header,
    known: &FileKeys,
    path: impl AsRef<Path>,
) -> Result<Option<(Arc<FileKeys>, Superblock)>> {
    let unlock = || {
        let copies = header.newest_first();
        let related =
            |superblock: &Superblock| superblock.suite.is_keyed() && superblock.key_id == known.key_id;
        let Some(data_key) = known.data_key().filter(|_| copies.first().is_some_and(|copy| related(copy.0)))
        else {
            return Ok(None);
        };
        for (superblock, raw) in copies.into_iter().filter(|copy| related(copy.0)) {
            if let Some(keys) = keys_of(superblock, raw, Some(data_key.duplicate()))? {
                return Ok(Some((Arc::new(keys), superblock.clone())));
            }
        }
        Err(altered())
    };
    unlock().map_err(|fault: Fault| fault.at_path(path))
}

/// The keys for `header`, read again, of a database that was unlocked before, with `known` keys: somebody has changed it
/// since. Of a database whose data key is being changed, or was, who knows the old one finds the new one; otherwise
/// `key`, which opened the database, opens it again.
///
/// Errors: as [`unlock`]; `WrongKey` if the data key was changed and the key's slot dropped, `InUse` if it is
/// another database's.
pub fn follow(
    header: &Header,
    known: &FileKeys,
    key: Option<&Key>,
    limits: &KdfLimits,
    path: impl AsRef<Path>,
) -> Result<(Arc<FileKeys>, Superblock)> {
    for (superblock, raw) in header.newest_first() {
        if superblock.uuid != known.uuid {
            return Err(header::replaced().at_path(path));
        }
        let same = (superblock.key_id, superblock.suite) == (known.key_id, known.suite);
        let data_key = match &superblock.link {
            _ if same => known.data_key().map(Secret::duplicate),
            Some(link) => link.newer(known, &superblock.key_id),
            None => None,
        };
        if !same && data_key.is_none() {
            // Nothing links the two any more.
            break;
        }
        if let Some(keys) = keys_of(superblock, raw, data_key)? {
            return Ok((Arc::new(keys), superblock.clone()));
        }
    }
    unlock(header, key, limits, path)
}

/// The keys of the database that a copy of its superblock, stored as `raw`, belongs to. `None`: the copy was altered.
fn keys_of(superblock: &Superblock, raw: &[u8], data_key: Option<Secret<32>>) -> Result<Option<FileKeys>> {
    let keys = FileKeys::new(superblock.uuid, superblock.key_id, superblock.suite, data_key)?;
    if !Superblock::verify_mac(raw, &keys) {
        return Ok(None);
    }
    with_older(keys, superblock.link.as_ref())
}

/// The keyslot of `superblock` that `key` opens; `None` if it opens none. A slot that the key belongs to and that was
/// changed is damage.
pub fn slot_of(superblock: &Superblock, key: &Key, limits: &KdfLimits) -> Result<Option<u32>> {
    let found = Unlock::new(Some(key), limits)?.data_key(superblock, key)?;
    Ok(found.map(|(index, _)| index))
}

/// One attempt.
struct Unlock<'a> {
    cache: &'a Cache,
    key: Option<&'a Key>,
    limits: &'a KdfLimits,
    /// The slots that a passphrase was tried on and does not open, with what that cost: the other copy mostly has the
    /// same ones, and the limits are for all that is tried.
    tried: RefCell<Vec<([u8; 32], Argon2Cost)>>,
}

/// What a key does with a copy.
enum Verdict {
    /// Opens it, and the MAC is right.
    Opens(Box<FileKeys>),
    /// Opens it, but the copy was altered.
    Altered,
    /// Opens none of its slots.
    WrongKey,
}

impl<'a> Unlock<'a> {
    fn new(key: Option<&'a Key>, limits: &'a KdfLimits) -> Result<Unlock<'a>> {
        Ok(Unlock { cache: cache::global()?, key, limits, tried: RefCell::default() })
    }

    fn run(&self, header: &Header) -> Result<(Arc<FileKeys>, Superblock)> {
        let copies = header.newest_first();
        let Some(((newest, newest_raw), older)) = copies.split_first() else {
            return Err(header::damaged("both copies of the header's superblock are damaged"));
        };
        let verdict = self.judge(newest, newest_raw)?;
        if let Verdict::Opens(keys) = verdict {
            return Ok((Arc::from(keys), (*newest).clone()));
        }
        if let Some((superblock, raw)) = older.first() {
            let unopened = matches!(verdict, Verdict::WrongKey);
            // The same slots in both copies, the usual case, cannot tell more.
            let pointless =
                unopened && (superblock.slots == newest.slots || !same_data_key(superblock, newest));
            if !pointless {
                match self.judge(superblock, raw) {
                    // The key was removed by a change that did not reach this copy: it must stay out.
                    Ok(Verdict::Opens(keys)) if unopened && Superblock::verify_mac(newest_raw, &keys) => {}
                    Ok(Verdict::Opens(keys)) => return Ok((Arc::from(keys), (*superblock).clone())),
                    Ok(Verdict::Altered) => return Err(altered()),
                    // The key may well be right.
                    Err(fault) if fault.class == FaultClass::KdfLimit => return Err(fault),
                    Ok(Verdict::WrongKey) | Err(_) => {}
                }
            }
        }
        Err(match verdict {
            Verdict::WrongKey => Fault::new(
                FaultClass::WrongKey,
                "the key opens none of the database's keyslots; check the key",
            ),
            _ => altered(),
        })
    }

    fn judge(&self, superblock: &Superblock, raw: &[u8]) -> Result<Verdict> {
        let data_key = match (self.key, superblock.suite.is_keyed()) {
            (None, false) => None,
            (Some(_), false) => {
                return Err(Fault::new(
                    FaultClass::NotEncrypted,
                    "a key was given, but this file is only checksummed and not encrypted; if that is \
                     expected, say that no key is meant (key=lumocrypt.NO_KEY, lumo_no_key=1 in the URI, --no-key)",
                ));
            }
            (None, true) => {
                return Err(Fault::new(
                    FaultClass::KeyRequired,
                    "the database is encrypted and no key was given; give key=, call lumocrypt.unlock(path, key) first, or \
                     set LUMO_KEY",
                ));
            }
            (Some(key), true) => match self.data_key(superblock, key) {
                Ok(Some((_, data_key))) => Some(data_key),
                Ok(None) => return Ok(Verdict::WrongKey),
                // A slot that the key belongs to, but whose wrapping was changed.
                Err(fault) if fault.class == FaultClass::HeaderDamaged => return Ok(Verdict::Altered),
                Err(fault) => return Err(fault),
            },
        };
        Ok(match keys_of(superblock, raw, data_key)? {
            Some(keys) => Verdict::Opens(Box::new(keys)),
            None => Verdict::Altered,
        })
    }

    /// The first slot that `key` opens in one of its forms, and the data key from it. Where it opens none that costs up to
    /// three derivations for a slot.
    fn data_key(&self, superblock: &Superblock, key: &Key) -> Result<Option<(u32, Secret<32>)>> {
        for form in key.forms() {
            if let Some(found) = self.data_key_by(superblock, &form)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first slot that `key` opens as it is.
    fn data_key_by(&self, superblock: &Superblock, key: &Key) -> Result<Option<(u32, Secret<32>)>> {
        let mut slots: Vec<(u32, &Keyslot)> =
            (0..).zip(&superblock.slots).filter(|(_, slot)| slot.accepts(key)).collect();
        if matches!(key, Key::Raw(_)) {
            return self.try_slots(superblock, key, &slots);
        }
        {
            let tried = self.tried.borrow();
            slots.retain(|(index, slot)| {
                let id = self.id(superblock, *index, slot, key);
                tried.iter().all(|(other, _)| *other != id)
            });
            // All of them, before the first derivation: there is a limit to what they cost together.
            let costs = slots.iter().filter_map(|(_, slot)| slot.cost.as_ref());
            self.limits.check(costs.chain(tried.iter().map(|(_, cost)| cost)))?;
        }
        // Whoever's slot is cheap does not wait for the dear ones.
        slots.sort_by_key(|(_, slot)| slot.cost.map(|cost| u64::from(cost.t) * u64::from(cost.m_kib)));
        let cached = || {
            slots.iter().find_map(|(index, slot)| {
                let data_key = self.cache.get(&self.id(superblock, *index, slot, key))?;
                Some((*index, data_key))
            })
        };
        if let Some(found) = cached() {
            return Ok(Some(found));
        }
        self.cache.one_at_a_time(&superblock.uuid, key, || {
            // Whoever had its turn before may have found it.
            match cached() {
                Some(found) => Ok(Some(found)),
                None => self.try_slots(superblock, key, &slots),
            }
        })
    }

    fn try_slots(
        &self,
        superblock: &Superblock,
        key: &Key,
        slots: &[(u32, &Keyslot)],
    ) -> Result<Option<(u32, Secret<32>)>> {
        let mut damaged = None;
        for (index, slot) in slots {
            let expensive = matches!(key, Key::Passphrase(_));
            if expensive {
                self.cache.count_run();
            }
            match slot.open(*index, &superblock.key_id, key, self.limits) {
                Ok(Some(data_key)) => {
                    if expensive {
                        self.cache.put(self.id(superblock, *index, slot, key), &superblock.uuid, &data_key);
                    }
                    return Ok(Some((*index, data_key)));
                }
                Ok(None) => {
                    let id = self.id(superblock, *index, slot, key);
                    self.tried.borrow_mut().extend(slot.cost.map(|cost| (id, cost)));
                }
                // The same key may have another, sound slot.
                Err(fault) if fault.class == FaultClass::HeaderDamaged => damaged = Some(fault),
                Err(fault) => return Err(fault),
            }
        }
        damaged.map_or(Ok(None), Err)
    }

    fn id(&self, superblock: &Superblock, index: u32, slot: &Keyslot, key: &Key) -> [u8; 32] {
        self.cache.id(&superblock.uuid, &superblock.key_id, index, slot, key)
    }
}

/// Whether the data key of one copy can say anything about the other's MAC.
fn same_data_key(one: &Superblock, other: &Superblock) -> bool {
    (one.uuid, one.key_id, one.suite) == (other.uuid, other.key_id, other.suite)
}

fn altered() -> Fault {
    header::damaged("the key is right, but the header was changed by somebody without it")
}

#[cfg(test)]
mod tests;
