//! Changes of keyslots, in memory: who opens the database from now on. The data key stays.

use super::cache;
use super::commands::{NewSlot, Which};
use super::file_keys::FileKeys;
use super::limits::KdfLimits;
use super::unlock::slot_of;
use crate::format::keyslot::Keyslot;
use crate::format::superblock::{KEYSLOT_COUNT, Superblock};
use crypto::secret::Secret;
use ground::error::{Fault, FaultClass, Result};

/// The keyslots of a superblock that is being changed.
pub struct Slots<'a> {
    /// The superblock.
    pub superblock: &'a mut Superblock,
    /// The database's keys.
    pub keys: &'a FileKeys,
    /// What keyslots may cost whoever reads them.
    pub limits: &'a KdfLimits,
}

impl Slots<'_> {
    /// Puts a new slot into the first free place, which is returned.
    pub fn add(&mut self, new: &NewSlot) -> Result<u32> {
        let free = self.superblock.slots.iter().position(Keyslot::is_empty);
        let free = free.ok_or_else(|| {
            refusal(format!("all {KEYSLOT_COUNT} keyslots are in use; remove one before adding another"))
        })?;
        self.put(free as u32, new, None)?;
        Ok(free as u32)
    }

    /// Replaces the slot that `which` says; its place is returned.
    pub fn change(&mut self, which: &Which, new: &NewSlot) -> Result<u32> {
        let index = self.find(which)?;
        let kept = self.slot(index).label.clone();
        self.put(index, new, new.label.is_none().then_some(kept))?;
        Ok(index)
    }

    /// Frees the slot that `which` says, unless it is the last; its place is returned.
    pub fn remove(&mut self, which: &Which) -> Result<u32> {
        let index = self.find(which)?;
        if self.superblock.slots.iter().filter(|slot| !slot.is_empty()).count() == 1 {
            return Err(refusal(
                "this is the last keyslot, without which nobody could open the database again; add another key first"
                    .to_owned(),
            ));
        }
        *self.slot(index) = Keyslot::empty();
        Ok(index)
    }

    /// Names the slot that `which` says; its place is returned.
    pub fn label(&mut self, which: &Which, label: &str) -> Result<u32> {
        let index = self.find(which)?;
        label.clone_into(&mut self.slot(index).label);
        Ok(index)
    }

    fn find(&self, which: &Which) -> Result<u32> {
        match which {
            Which::At(index) => match self.superblock.slots.get(*index as usize) {
                Some(slot) if !slot.is_empty() => Ok(*index),
                _ => Err(refusal(format!("keyslot {index} is free; `lumocrypt key list` shows those in use"))),
            },
            Which::OpenedBy(key) => slot_of(self.superblock, key, self.limits)?.ok_or_else(|| {
                Fault::new(
                    FaultClass::WrongKey,
                    "the key opens none of the database's keyslots any more; somebody has removed or changed it",
                )
            }),
        }
    }

    fn put(&mut self, index: u32, new: &NewSlot, label: Option<String>) -> Result<()> {
        let mut sealed = new.draft.seal(index, self.data_key()?, &self.superblock.key_id)?;
        sealed.label = label.unwrap_or(sealed.label);
        *self.slot(index) = sealed;
        // Whoever opens the database next with the default caps must be able to.
        let costs = self.superblock.slots.iter().filter_map(|slot| slot.cost.as_ref());
        if new.draft.cost().is_some() {
            self.limits.check_new(costs)?;
        }
        // Whoever makes a slot may well open the database with it next.
        let (superblock, slot) = (&self.superblock, &self.superblock.slots[index as usize]);
        cache::remember(&superblock.uuid, &superblock.key_id, index, slot, &new.key, self.data_key()?)
    }

    fn slot(&mut self, index: u32) -> &mut Keyslot {
        &mut self.superblock.slots[index as usize]
    }

    fn data_key(&self) -> Result<&Secret<32>> {
        self.keys.data_key().ok_or_else(|| {
            Fault::new(
                FaultClass::NotEncrypted,
                "the database is only checksummed: it has no data key and no keyslots",
            )
        })
    }
}

fn refusal(message: String) -> Fault {
    Fault::new(FaultClass::InvalidArgument, message)
}

#[cfg(test)]
mod tests;
