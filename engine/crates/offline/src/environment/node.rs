//! What is in a page: entries of branches and leaves. Nothing here trusts a number that it finds.

/// A page's header, whose numbers in the page count from its end.
pub(super) const PAGE_HEADER: usize = 24;
const P_BRANCH: u16 = 0x01;
const P_LEAF: u16 = 0x02;
const P_OVERFLOW: u16 = 0x04;
const P_LEAF2: u16 = 0x20;
const P_SUBPAGE: u16 = 0x40;
const F_BIG: u16 = 0x01;
const F_TREE: u16 = 0x02;
const F_DUPLICATES: u16 = 0x04;
const NODE_HEADER: usize = 8;
/// The root of a tree without pages.
const NO_PAGE: u64 = u64::MAX;

pub(super) fn bytes_at(bytes: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(len)?)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at, 2)?.first_chunk().map(|found| u16::from_le_bytes(*found))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at, 4)?.first_chunk().map(|found| u32::from_le_bytes(*found))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at, 8)?.first_chunk().map(|found| u64::from_le_bytes(*found))
}

/// The record of a tree: a database, or the many values of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tree {
    pub flags: u16,
    pub depth: u16,
    pub branches: u64,
    pub leaves: u64,
    pub overflow: u64,
    pub entries: u64,
    root: u64,
}

impl Tree {
    pub const LEN: usize = 48;

    pub fn parse(bytes: &[u8]) -> Option<Tree> {
        Some(Tree {
            flags: u16_at(bytes, 4)?,
            depth: u16_at(bytes, 6)?,
            branches: u64_at(bytes, 8)?,
            leaves: u64_at(bytes, 16)?,
            overflow: u64_at(bytes, 24)?,
            entries: u64_at(bytes, 32)?,
            root: u64_at(bytes, 40)?,
        })
    }

    /// The page that it begins with, unless it is empty.
    pub fn root(&self) -> Option<u64> {
        (self.root != NO_PAGE).then_some(self.root)
    }
}

/// Where the pages of a big value are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub first: u64,
    pub txn: u64,
    pub pages: u64,
    /// Bytes of the value.
    pub len: u32,
}

/// What a leaf has at a key.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Here(&'a [u8]),
    Far(Extent),
    /// Another database, or more values than fit the page.
    Tree {
        tree: Tree,
        of_key: bool,
    },
    /// All values of the key.
    Several(Vec<Vec<u8>>),
    /// The leaf is of a key's many values, which are its keys.
    None,
}

/// One entry.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    Child { key: &'a [u8], page: u64 },
    Leaf { key: &'a [u8], value: Value<'a> },
}

/// A page of a tree, in clear.
pub(super) struct Page {
    bytes: Vec<u8>,
    flags: u16,
    entries: usize,
    /// Of a leaf whose keys all have one size.
    key_len: usize,
}

impl Page {
    /// `bytes` without what is not LMDB's. `None`: it is no page of a tree, or its numbers contradict each other.
    pub fn parse(bytes: Vec<u8>) -> Option<Page> {
        let flags = u16_at(&bytes, 18)?;
        let (lower, upper) = (usize::from(u16_at(&bytes, 20)?), usize::from(u16_at(&bytes, 22)?));
        let kind = flags & (P_BRANCH | P_LEAF | P_OVERFLOW);
        let fits = lower <= upper && PAGE_HEADER + upper <= bytes.len();
        (lower.is_multiple_of(2) && fits && (kind == P_BRANCH || kind == P_LEAF)).then_some(())?;
        let key_len = if flags & P_LEAF2 == 0 { 0 } else { usize::from(u16_at(&bytes, 16)?) };
        let entries = lower / 2;
        (key_len == 0 || PAGE_HEADER + entries * key_len <= bytes.len()).then_some(())?;
        Some(Page { bytes, flags, entries, key_len })
    }

    /// The number of the page.
    pub fn number(&self) -> Option<u64> {
        u64_at(&self.bytes, 0)
    }

    /// The transaction that wrote it.
    pub fn txn(&self) -> Option<u64> {
        u64_at(&self.bytes, 8)
    }

    pub fn is_branch(&self) -> bool {
        self.flags & P_BRANCH != 0
    }

    pub fn len(&self) -> usize {
        self.entries
    }

    /// Entry `index`; `None` if there is none or it reaches out of the page. `within` is true in the leaves of one key's
    /// values.
    pub fn entry(&self, index: usize, within: bool) -> Option<Entry<'_>> {
        (index < self.entries).then_some(())?;
        if self.key_len > 0 {
            let key = bytes_at(&self.bytes, PAGE_HEADER + index * self.key_len, self.key_len)?;
            return Some(Entry::Leaf { key, value: Value::None });
        }
        let at = PAGE_HEADER + usize::from(u16_at(&self.bytes, PAGE_HEADER + 2 * index)?);
        let low = u32_at(&self.bytes, at)?;
        let flags = u16_at(&self.bytes, at + 4)?;
        let key_len = usize::from(u16_at(&self.bytes, at + 6)?);
        let key = bytes_at(&self.bytes, at + NODE_HEADER, key_len)?;
        if self.is_branch() {
            return Some(Entry::Child { key, page: u64::from(low) | u64::from(flags) << 32 });
        }
        if within {
            return Some(Entry::Leaf { key, value: Value::None });
        }
        let data = at + NODE_HEADER + key_len.next_multiple_of(2);
        Some(Entry::Leaf { key, value: self.value(flags, data, low)? })
    }

    fn value(&self, flags: u16, at: usize, len: u32) -> Option<Value<'_>> {
        if flags & F_BIG != 0 {
            let first = u64_at(&self.bytes, at)?;
            let (txn, pages) = (u64_at(&self.bytes, at + 8)?, u64_at(&self.bytes, at + 16)?);
            return Some(Value::Far(Extent { first, txn, pages, len }));
        }
        let data = bytes_at(&self.bytes, at, len as usize)?;
        if flags & F_TREE != 0 {
            (data.len() == Tree::LEN).then_some(())?;
            return Some(Value::Tree { tree: Tree::parse(data)?, of_key: flags & F_DUPLICATES != 0 });
        }
        if flags & F_DUPLICATES != 0 {
            return values_of(data).map(Value::Several);
        }
        Some(Value::Here(data))
    }
}

/// The values in a page within a page.
fn values_of(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    (u16_at(data, 18)? & P_SUBPAGE != 0).then_some(())?;
    let page = Page::parse(data.to_vec())?;
    let value = |index| match page.entry(index, true)? {
        Entry::Leaf { key, .. } => Some(key.to_vec()),
        Entry::Child { .. } => None,
    };
    (0..page.len()).map(value).collect()
}

/// Whether this is the header of an extent of so many pages.
pub(super) fn heads_extent(clear: &[u8], pages: u64) -> bool {
    u16_at(clear, 18).is_some_and(|flags| flags & P_OVERFLOW != 0)
        && u32_at(clear, 20).is_some_and(|found| u64::from(found) == pages)
}
