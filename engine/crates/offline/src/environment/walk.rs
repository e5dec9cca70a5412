//! Every tree of one state: each page is opened once, whatever leads to it.

use ground::error::Result;

use super::findings::{Findings, Owner, Range};
use super::node::{Entry, Extent, Page, Tree, Value, u64_at};
use super::pages::{Bad, Marks, Pages};
use super::region::Meta;

/// Deeper trees LMDB does not make.
const DEEPEST: u16 = 32;
/// The flag of databases whose keys may have several values.
const DUP_SORT: u16 = 0x04;
/// Pages in front are meta pages.
const FIRST: u64 = 2;

const TWICE: Bad = "two entries lead to it";
const USED_AND_FREE: Bad = "it is in use, and the free list has it: the next commits may overwrite it";
const FREE_TWICE: Bad = "the free list has it twice: two trees may get it";
const OUTSIDE: Bad = "an entry leads to it, and the environment does not have so many pages";
const NONSENSE: Bad = "it authenticates, and its content makes no sense";
const SHAPE: Bad = "it authenticates, and is at another level of its tree than it should be";

/// Who else looks at what is there.
pub(super) trait Sink {
    /// A database, before what is in it.
    fn database(&mut self, _owner: &Owner, _flags: u16) -> Result<()> {
        Ok(())
    }

    /// A key with a value; keys come in order.
    fn entry(&mut self, _owner: &Owner, _key: &[u8], _value: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// Nobody.
pub(super) struct Nobody;

impl Sink for Nobody {}

/// A page on the way to where the walk is.
struct Level {
    page: Page,
    number: u64,
    txn: u64,
    next: usize,
    range: Range,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    branches: u64,
    leaves: u64,
    overflow: u64,
    entries: u64,
}

/// A tree that the walk is in.
struct Open {
    owner: Owner,
    tree: Tree,
    /// The key whose values these are.
    key: Option<Vec<u8>>,
    /// How many levels are not its own.
    base: usize,
    counts: Counts,
    damaged: bool,
}

/// What is done next, out of the page that it is in.
enum Next {
    Up,
    Bad,
    Child(u64, Range),
    Here(Vec<u8>, Vec<u8>),
    Far(Vec<u8>, Extent),
    Tree(Vec<u8>, Tree, bool),
    Several(Vec<u8>, Vec<Vec<u8>>),
    Member(Vec<u8>),
}

/// A walk through all trees of `meta`.
pub(super) struct Walk<'a, 'b> {
    pages: &'a mut Pages<'b>,
    meta: Meta,
    findings: &'a mut Findings,
    sink: &'a mut dyn Sink,
    levels: Vec<Level>,
    open: Vec<Open>,
    /// Trees that are walked when there is no other.
    later: Vec<(Owner, Tree)>,
    pub used: Marks,
    pub free: Marks,
    /// Pages in use, and pages that the free list has.
    pub used_count: u64,
    pub free_count: u64,
    /// Whether every page of every tree could be read.
    pub complete: bool,
}

impl<'a, 'b> Walk<'a, 'b> {
    /// Errors: no memory.
    pub fn new(
        pages: &'a mut Pages<'b>,
        meta: Meta,
        findings: &'a mut Findings,
        sink: &'a mut dyn Sink,
    ) -> Result<Self> {
        let (used, free) = (Marks::new(pages.count)?, Marks::new(pages.count)?);
        Ok(Walk {
            pages,
            meta,
            findings,
            sink,
            levels: Vec::new(),
            open: Vec::new(),
            later: vec![(Owner::Main, meta.main), (Owner::Free, meta.free)],
            used,
            free,
            used_count: 0,
            free_count: 0,
            complete: true,
        })
    }

    /// One entry further. False: all is done.
    pub fn step(&mut self) -> Result<bool> {
        let Some(open) = self.open.last() else {
            let Some((owner, tree)) = self.later.pop() else { return Ok(false) };
            if owner != Owner::Free {
                self.sink.database(&owner, tree.flags)?;
            }
            self.enter(owner, tree, None, self.meta.txn)?;
            return Ok(true);
        };
        if self.levels.len() == open.base {
            self.leave();
            return Ok(true);
        }
        let within = open.key.is_some();
        let Some(level) = self.levels.last_mut() else { return Ok(false) };
        let next = next_of(level, within);
        self.follow(next)?;
        Ok(true)
    }

    fn follow(&mut self, next: Next) -> Result<()> {
        let (number, txn) = self.levels.last().map_or((0, 0), |level| (level.number, level.txn));
        match next {
            Next::Up => {
                self.levels.pop();
            }
            Next::Bad => self.damage(number, NONSENSE, &self.here()),
            Next::Child(page, range) => self.visit(page, txn, range)?,
            Next::Here(key, value) => self.value(&key, &value)?,
            Next::Far(key, extent) => self.far(&key, &extent)?,
            Next::Several(key, values) => {
                for value in &values {
                    self.value(&key, value)?;
                }
            }
            Next::Member(value) => {
                let key = self.open.last().and_then(|open| open.key.clone()).unwrap_or_default();
                self.value(&key, &value)?;
            }
            Next::Tree(key, tree, true) => {
                let owner = self.open.last().map_or(Owner::Main, |open| open.owner.clone());
                self.enter(owner, tree, Some(key), txn)?;
            }
            Next::Tree(name, tree, false) => {
                if self.open.last().is_none_or(|open| open.owner != Owner::Main) {
                    self.damage(number, NONSENSE, &self.here());
                    return Ok(());
                }
                self.count(|counts| counts.entries += 1);
                let name = name.strip_suffix(&[0]).unwrap_or(&name).to_vec();
                let owner = Owner::Named(name);
                self.sink.database(&owner, tree.flags)?;
                self.enter(owner, tree, None, txn)?;
            }
        }
        Ok(())
    }

    /// Goes into a tree that what transaction `txn` wrote leads to.
    fn enter(&mut self, owner: Owner, tree: Tree, key: Option<Vec<u8>>, txn: u64) -> Result<()> {
        let range = key.as_deref().map(Range::only).unwrap_or_default();
        let base = self.levels.len();
        self.open.push(Open { owner, tree, key, base, counts: Counts::default(), damaged: false });
        match tree.root() {
            Some(root) => self.visit(root, txn, range),
            None => Ok(()),
        }
    }

    /// Ends the tree that the walk is in: is all there that its record counts?
    fn leave(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let Tree { branches, leaves, overflow, entries, .. } = open.tree;
        let wanted = Counts { branches, leaves, overflow, entries };
        // LMDB adds the pages of a key's many values to those of its database, and does not take off all of them.
        let pages_count = open.key.is_some() || open.tree.flags & DUP_SORT == 0;
        let right = open.counts.entries == entries && (open.counts == wanted || !pages_count);
        if !open.damaged && !right {
            let root = open.tree.root().unwrap_or(0);
            let text = format!(
                "of the tree that begins with it {} entries in {} pages are there, and {} in {} should be: one of its \
                 pages was put back or written over",
                open.counts.entries,
                open.counts.pages(),
                entries,
                wanted.pages()
            );
            let range = open.key.as_deref().map(Range::only).unwrap_or_default();
            self.findings.of_page(root, &text, &open.owner, &range);
        }
        // A key's values are entries of its database, and a database is one of the nameless one's, which counted it.
        if let Some(outer) = self.open.last_mut().filter(|_| open.key.is_some()) {
            outer.counts.entries = outer.counts.entries.saturating_add(open.counts.entries);
            outer.damaged |= open.damaged;
        }
    }

    /// Takes page `number` as the next one of the tree, if it is one.
    fn visit(&mut self, number: u64, newest: u64, range: Range) -> Result<()> {
        let Some((base, depth)) = self.open.last().map(|open| (open.base, open.tree.depth)) else {
            return Ok(());
        };
        if !self.take(number, 1, &range) {
            return Ok(());
        }
        let page = match self.pages.tree_page(number, newest.min(self.meta.txn))? {
            Ok(page) => page,
            Err(bad) => {
                self.damage(number, bad, &range);
                return Ok(());
            }
        };
        let level = self.levels.len() - base + 1;
        if depth > DEEPEST || page.is_branch() != (level < usize::from(depth)) {
            self.damage(number, SHAPE, &range);
            return Ok(());
        }
        let is_branch = page.is_branch();
        self.count(|counts| *(if is_branch { &mut counts.branches } else { &mut counts.leaves }) += 1);
        let txn = page.txn().unwrap_or(0);
        self.levels.push(Level { page, number, txn, next: 0, range });
        Ok(())
    }

    /// Marks pages as used. False if they cannot be.
    fn take(&mut self, first: u64, pages: u64, range: &Range) -> bool {
        let last = first.checked_add(pages.saturating_sub(1));
        if first < FIRST || last.is_none_or(|last| last > self.meta.last_page) {
            self.damage(first, OUTSIDE, range);
            return false;
        }
        // What the file does not have is found when it is read, and is not marked.
        let there = pages.min(self.pages.count.saturating_sub(first));
        for number in first..first + there {
            if self.free.has(number) {
                self.damage(number, USED_AND_FREE, range);
            }
            if !self.used.add(number) {
                self.damage(number, TWICE, range);
                return false;
            }
        }
        self.used_count += there;
        true
    }

    fn value(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.count(|counts| counts.entries += 1);
        match self.open.last().map(|open| &open.owner) {
            Some(Owner::Free) => self.freed(value),
            Some(owner) => self.sink.entry(owner, key, value)?,
            None => {}
        }
        Ok(())
    }

    fn far(&mut self, key: &[u8], extent: &Extent) -> Result<()> {
        let range = Range::only(key);
        if !self.take(extent.first, extent.pages, &range) {
            return Ok(());
        }
        match self.pages.value(extent)? {
            Ok(value) => {
                self.count(|counts| counts.overflow += extent.pages);
                self.value(key, &value)?;
            }
            Err(bad) => self.damage(extent.first, bad, &range),
        }
        Ok(())
    }

    /// A list of free pages: how many, and their numbers.
    fn freed(&mut self, list: &[u8]) {
        let room = (list.len() / 8).saturating_sub(1) as u64;
        let Some(count) = u64_at(list, 0).filter(|count| *count <= room) else {
            let number = self.levels.last().map_or(0, |level| level.number);
            return self.damage(number, NONSENSE, &self.here());
        };
        for index in 1..=count as usize {
            let Some(number) = u64_at(list, index * 8) else { return };
            let range = self.here();
            if number < FIRST || number > self.meta.last_page {
                self.damage(number, OUTSIDE, &range);
            } else if self.used.has(number) {
                self.damage(number, USED_AND_FREE, &range);
            } else if number < self.pages.count && !self.free.add(number) {
                self.damage(number, FREE_TWICE, &range);
            } else {
                self.free_count += 1;
            }
        }
    }

    /// The keys of the page that the walk is in.
    fn here(&self) -> Range {
        self.levels.last().map(|level| level.range.clone()).unwrap_or_default()
    }

    fn damage(&mut self, number: u64, reason: Bad, range: &Range) {
        self.complete = false;
        let Some(open) = self.open.last_mut() else { return };
        open.damaged = true;
        self.findings.of_page(number, reason, &open.owner, range);
    }

    fn count(&mut self, change: impl FnOnce(&mut Counts)) {
        if let Some(open) = self.open.last_mut() {
            change(&mut open.counts);
        }
    }
}

impl Counts {
    fn pages(&self) -> u64 {
        self.branches.saturating_add(self.leaves).saturating_add(self.overflow)
    }
}

/// What the next entry of `level` asks for.
fn next_of(level: &mut Level, within: bool) -> Next {
    let index = level.next;
    if index >= level.page.len() {
        return Next::Up;
    }
    level.next += 1;
    match level.page.entry(index, within) {
        None => Next::Bad,
        Some(Entry::Child { key, page }) => {
            let after = match level.page.entry(index + 1, within) {
                Some(Entry::Child { key, .. }) => Some(key.to_vec()),
                _ => level.range.to.clone(),
            };
            // The first entry of a branch has no key.
            let from = if index == 0 { level.range.from.clone() } else { Some(key.to_vec()) };
            let only = level.range.only.clone();
            Next::Child(
                page,
                if only.is_some() {
                    Range { only, ..Range::default() }
                } else {
                    Range { from, to: after, only }
                },
            )
        }
        Some(Entry::Leaf { key, value }) => match value {
            Value::Here(value) => Next::Here(key.to_vec(), value.to_vec()),
            Value::Far(extent) => Next::Far(key.to_vec(), extent),
            Value::Tree { tree, of_key } => Next::Tree(key.to_vec(), tree, of_key),
            Value::Several(values) => Next::Several(key.to_vec(), values),
            Value::None => Next::Member(key.to_vec()),
        },
    }
}
