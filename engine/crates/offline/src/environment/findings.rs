//! What was found: damages with what they belong to.

use serde_json::{Value, json};

use ground::bytes::hex;

/// The most damages that are listed one by one.
const LISTED: usize = 10_000;
/// The most bytes of a key that are shown.
const SHOWN: usize = 64;

/// Whose a page is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    Free,
    /// The database without a name.
    Main,
    Named(Vec<u8>),
}

impl Owner {
    fn json(&self) -> Value {
        match self {
            Owner::Free => json!({"type": "freelist", "database": null}),
            Owner::Main => json!({"type": "database", "database": null}),
            Owner::Named(name) => {
                json!({"type": "database", "database": String::from_utf8_lossy(name)})
            }
        }
    }
}

/// The keys that a page may have.
#[derive(Clone, Default, Debug)]
pub(super) struct Range {
    /// The first one, if there is a bound.
    pub from: Option<Vec<u8>>,
    /// The first one that is behind it.
    pub to: Option<Vec<u8>>,
    /// The only one, of a page of its values.
    pub only: Option<Vec<u8>>,
}

impl Range {
    pub fn only(key: &[u8]) -> Range {
        Range { only: Some(key.to_vec()), ..Range::default() }
    }

    fn json(&self) -> Value {
        let shown = |key: &Option<Vec<u8>>| key.as_ref().map(|key| hex(&key[..key.len().min(SHOWN)]));
        json!({"from": shown(&self.from), "to": shown(&self.to), "key": shown(&self.only)})
    }
}

/// Damages, of which the first [`LISTED`] are listed, and what is no damage.
#[derive(Default)]
pub(super) struct Findings {
    pub damaged: Vec<Value>,
    pub total: u64,
    pub warnings: Vec<String>,
}

impl Findings {
    /// Of the header or a meta page.
    pub fn of_header(&mut self, page: Option<u64>, reason: &str) {
        self.add(page, reason, json!({"type": "header", "database": null}), Value::Null);
    }

    /// Of a page of a tree.
    pub fn of_page(&mut self, page: u64, reason: &str, owner: &Owner, range: &Range) {
        self.add(Some(page), reason, owner.json(), range.json());
    }

    fn add(&mut self, page: Option<u64>, reason: &str, owner: Value, keys: Value) {
        self.total += 1;
        if self.damaged.len() < LISTED {
            self.damaged.push(json!({
                "file_kind": "lmdb",
                "block": page,
                "frame": null,
                "extent": null,
                "reason": reason,
                "owner": owner,
                "keys": keys,
            }));
        }
    }
}
