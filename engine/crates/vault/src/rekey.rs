//! A change of the data key: the headers with which it begins and ends.
//!
//! From the first header on the database belongs to the new data key: its keyslots wrap that one, and a link leads to the
//! old one for the blocks that are still under it. The last header drops the link.

use std::sync::Arc;

use super::cache;
use super::file_keys::FileKeys;
use super::limits::KdfLimits;
use super::material::Key;
use super::unlock;
use crate::draft::Draft;
use crate::format::keyslot::{Keyslot, KeyslotKind};
use crate::format::link::Link;
use crate::format::superblock::{KEYSLOT_COUNT, Superblock};
use crypto::kdf::Argon2Cost;
use crypto::nonce;
use crypto::secret::Secret;
use crypto::suite::SuiteId;
use ground::error::{Fault, FaultClass, Result};

/// A part of a change of the data key.
#[derive(Debug)]
pub enum RekeyCommand {
    /// It begins, or is taken up again.
    Begin(Plan),
    /// It goes on.
    Step {
        /// With so many bytes at most.
        bytes: u64,
        /// By so many threads at most; `None`: one per core.
        threads: Option<usize>,
    },
    /// It ends.
    Finish,
}

/// What a change of the data key does to the keyslots.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A key that opens the database.
    pub key: Arc<Key>,
    /// What takes its place; `None`: it stays.
    pub new_key: Option<Arc<Key>>,
    /// Keys of other slots, which stay.
    pub others: Vec<Arc<Key>>,
    /// Slots whose keys are not given are dropped.
    pub drop_others: bool,
    /// The suite from here on; `None`: the same.
    pub suite: Option<SuiteId>,
    /// The cost of the slot of `key`, if that is a passphrase; `None`: as it was.
    pub cost: Option<Argon2Cost>,
    /// What existing slots may cost.
    pub limits: KdfLimits,
    /// The name of the new data key; `None`: a random one. A service that wraps keys may have to know it before.
    pub key_id: Option<[u8; 16]>,
    /// The provider data of the key-management service that `new_key` comes from.
    pub provider: Option<Vec<u8>>,
}

/// The keys and the superblock with which a change begins. Nothing is written.
///
/// Errors: `WrongKey` if `plan.key` opens no slot, `KeyRequired` for a slot whose key is not given and that is not to be
/// dropped, `InvalidArgument` for a suite that blocks of this length cannot change to.
pub fn begin(superblock: &Superblock, keys: &Arc<FileKeys>, plan: &Plan) -> Result<(FileKeys, Superblock)> {
    let suite = plan.suite.unwrap_or(superblock.suite);
    check_suites(superblock.suite, suite)?;
    let mut key_id = plan.key_id.unwrap_or_default();
    if plan.key_id.is_none() {
        nonce::random(&mut key_id)?;
    }
    let data_key = Secret::random()?;
    let slots = renew_slots(superblock, plan, &key_id, &data_key)?;
    let new = FileKeys::new(superblock.uuid, key_id, suite, Some(data_key))?;
    let link = Some(Link::new(keys, &new)?);
    let new = new.with_older(Arc::clone(keys));
    let generation = superblock.generation + 1;
    Ok((new, Superblock { generation, key_id, suite, slots, link, ..superblock.clone() }))
}

/// Is the change that `superblock` says was interrupted the one that `plan` asks for, as far as can be told?
///
/// Errors: `InvalidArgument` if it is to come to another suite or another key.
pub fn check_resumed(superblock: &Superblock, plan: &Plan) -> Result<()> {
    let other_suite = plan.suite.is_some_and(|suite| suite != superblock.suite);
    // A service gives another key each time.
    let other_key = match &plan.new_key {
        Some(new) if plan.provider.is_none() => unlock::slot_of(superblock, new, &plan.limits)?.is_none(),
        _ => false,
    };
    if other_suite || other_key {
        return Err(Fault::new(
            FaultClass::InvalidArgument,
            "an earlier change of the data key, to another key or cipher, was interrupted; end that one first: run rekey with \
             nothing but the key that opens the database now, and then again with what you want",
        ));
    }
    Ok(())
}

/// The keys and the superblock with which it ends. Nothing is written.
pub fn finish(superblock: &Superblock, keys: &FileKeys) -> Result<(FileKeys, Superblock)> {
    let data_key = keys.data_key().map(Secret::duplicate);
    let alone = FileKeys::new(keys.uuid, keys.key_id, keys.suite, data_key)?;
    let generation = superblock.generation + 1;
    Ok((alone, Superblock { generation, link: None, ..superblock.clone() }))
}

fn check_suites(before: SuiteId, after: SuiteId) -> Result<()> {
    let refuse = |why: String| Err(Fault::new(FaultClass::InvalidArgument, why));
    if !before.is_keyed() || !after.is_keyed() {
        return refuse(
            "the checksum cipher has no key to change; use `lumocrypt encrypt` or `lumocrypt decrypt`"
                .to_owned(),
        );
    }
    if before.overhead() == 0 || before.overhead() != after.overhead() {
        return refuse(format!(
            "a database cannot be changed from {} to {} block by block: their blocks differ in length, or do not tell \
             which key they are under; while nobody uses it, `lumocrypt convert --from lumocrypt --to lumocrypt \
             --new-cipher {1}` does the same",
            before.name(),
            after.name()
        ));
    }
    Ok(())
}

/// The slots of all keys that are given, in their places, around the new data key.
fn renew_slots(
    superblock: &Superblock,
    plan: &Plan,
    key_id: &[u8; 16],
    data_key: &Secret<32>,
) -> Result<[Keyslot; KEYSLOT_COUNT]> {
    let mut slots = std::array::from_fn(|_| Keyslot::empty());
    let mut opened = false;
    let mut used = vec![false; plan.others.len()];
    for (index, slot) in (0u32..).zip(&superblock.slots).filter(|(_, slot)| !slot.is_empty()) {
        let opens = |key: &Key| -> Result<bool> {
            let runs_kdf = slot.kind == KeyslotKind::Passphrase && slot.accepts(key);
            for form in key.forms() {
                if runs_kdf {
                    cache::count_kdf_run();
                }
                if slot.open(index, &superblock.key_id, &form, &plan.limits)?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let mut chosen = None;
        if opens(&plan.key)? {
            opened = true;
            let key = plan.new_key.as_ref().unwrap_or(&plan.key);
            chosen = Some((key, plan.cost.or(slot.cost)));
        } else {
            for (key, used) in plan.others.iter().zip(&mut used) {
                if opens(key)? {
                    *used = true;
                    chosen = Some((key, slot.cost));
                    break;
                }
            }
        }
        match chosen {
            Some((key, cost)) => {
                let draft = match &plan.provider {
                    Some(provider) if plan.new_key.as_ref().is_some_and(|new| Arc::ptr_eq(new, key)) => {
                        Draft::for_service(key, provider, &slot.label)?
                    }
                    // What the service unwraps stays what it was, and so does what it is shown: its encryption context
                    // is in the provider data (docs/reference/format.md, section 2.2.1).
                    _ if slot.kind == KeyslotKind::Kms && slot.accepts(key) && opens(key)? => {
                        Draft::for_service(key, &slot.provider, &slot.label)?
                    }
                    _ => Draft::new(key, cost.unwrap_or(Argon2Cost::INTERACTIVE), &slot.label)?,
                };
                let renewed = draft.seal(index, data_key, key_id)?;
                cache::remember(&superblock.uuid, key_id, index, &renewed, key, data_key)?;
                slots[index as usize] = renewed;
            }
            None if plan.drop_others => {}
            None => return Err(key_missing(index, slot)),
        }
    }
    if !opened {
        return Err(Fault::new(
            FaultClass::WrongKey,
            "the key opens none of the database's keyslots; check the key",
        ));
    }
    if used.contains(&false) {
        return Err(Fault::new(
            FaultClass::WrongKey,
            "one of the other keys opens no keyslot; nothing was changed; check it, or leave it out",
        ));
    }
    Ok(slots)
}

fn key_missing(index: u32, slot: &Keyslot) -> Fault {
    let name = if slot.label.is_empty() { String::new() } else { format!(" ({:?})", slot.label) };
    Fault::new(
        FaultClass::KeyRequired,
        format!(
            "keyslot {index}{name} opens with another key, which the new data key has to be wrapped under: give that key, \
             too, or agree to drop the slot (drop_other_slots=True, --drop-other-slots)"
        ),
    )
}
