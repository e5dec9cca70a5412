//! What a file is, as far as can be told without a key.

use serde_json::{Value, json};

use ground::bytes::hex;
use ground::error::{FaultClass, Result};
use sqlite::facts::MAGIC;
use sqlite::format::geometry::Geometry;
use sqlite::format::header::HEADER_LEN;
use sqlite::format::header::{self, CopyState};
use storage::Storage;
use vault::format::keyslot::KeyslotKind;
use vault::format::superblock::{Contents, Superblock, VERSION};
use vault::header::parse_of;

/// The state of one superblock copy, given the generation that counts.
pub fn copy_state(copy: &CopyState, newest: u64) -> &'static str {
    match copy {
        CopyState::Intact(superblock) if superblock.generation == newest => "ok",
        CopyState::Intact(_) => "stale",
        _ => "damaged",
    }
}

/// The description of docs/reference/c-abi.md.
pub fn inspect(file: &mut dyn Storage) -> Result<Value> {
    let size = file.size()?;
    if size == 0 {
        return Ok(json!({"format": "empty", "size": 0}));
    }
    let mut region = vec![0; size.min(HEADER_LEN) as usize];
    file.read(&mut region, 0)?;
    if header::is_unfinished(&region, size) {
        return Err(header::unfinished());
    }
    let environment = parse_of(Contents::Lmdb, &region).ok();
    let contents = if environment.is_some() { "lmdb" } else { "sqlite" };
    let parsed = match environment.map_or_else(|| header::parse(&region), Ok) {
        Err(fault) if fault.class == FaultClass::NotEncrypted => {
            let format = if region.starts_with(MAGIC) { "sqlite" } else { "unknown" };
            return Ok(json!({"format": format, "size": size, "noise": header::is_noise(&region)}));
        }
        parsed => parsed?,
    };
    let Some(superblock) = parsed.newest() else {
        return Err(header::damaged("neither copy of the header's superblock is intact"));
    };
    let geometry = Geometry::new(superblock.block_size, superblock.suite.overhead());
    let (slots, logical) = if superblock.contents == Contents::Lmdb {
        // Pages lie end to end, and what protects them is in them.
        let pages = size.saturating_sub(HEADER_LEN) / u64::from(superblock.block_size);
        (pages, pages * u64::from(superblock.block_size))
    } else {
        let logical = geometry.logical_size(size);
        (geometry.block_count(logical), logical)
    };
    Ok(json!({
        "format": "lumocrypt",
        "contents": contents,
        "size": size,
        "version": VERSION,
        "uuid": hex(&superblock.uuid),
        "key_id": hex(&superblock.key_id),
        "rekeying": superblock.link.is_some(),
        "cipher": superblock.suite.name(),
        "block_size": superblock.block_size,
        "overhead": superblock.suite.overhead(),
        "slots": slots,
        "logical_size": logical,
        "generation": superblock.generation,
        "copies": {
            "a": copy_state(&parsed.a, superblock.generation),
            "b": copy_state(&parsed.b, superblock.generation),
        },
        "keyslots": keyslots(superblock),
        "warnings": parsed.warnings,
    }))
}

fn keyslots(superblock: &Superblock) -> Vec<Value> {
    superblock
        .slots
        .iter()
        .enumerate()
        .filter(|(_, slot)| !slot.is_empty())
        .map(|(index, slot)| {
            json!({
                "index": index,
                "type": slot.kind.name(),
                "label": slot.label,
                "created": slot.created,
                "kdf": slot.cost.map(|cost| json!({"t": cost.t, "m": cost.m_kib, "p": cost.p})),
                "provider": (slot.kind == KeyslotKind::Kms).then(|| hex(&slot.provider)),
            })
        })
        .collect()
}
