use super::*;
use crypto::secret::Secret;
use crypto::suite::SuiteId;
use storage::MemoryFile;

const PAGE: usize = 512;
const NONCE: u32 = 77;

fn keys() -> Arc<FileKeys> {
    Arc::new(FileKeys::new([1; 16], [2; 16], SuiteId::DEFAULT, Secret::from_slice(&[3; 32])).unwrap())
}

/// A journal as SQLite writes it: a header with two records, for pages 2 and 3, and a super-journal's name.
fn journal(super_name: Option<&[u8]>) -> MemoryFile {
    let mut text = vec![0; 512];
    text[..8].copy_from_slice(&JOURNAL_MAGIC);
    for (at, word) in [(8, 2), (12, NONCE), (16, 5), (20, 512), (24, PAGE as u32)] {
        text[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    for page in [2u32, 3] {
        text.extend_from_slice(&page.to_be_bytes());
        text.extend_from_slice(&[page as u8; PAGE]);
        // Of 512 bytes those at 312 and 112 are summed.
        text.extend_from_slice(&(NONCE + 2 * page).to_be_bytes());
    }
    if let Some(name) = super_name {
        text.extend_from_slice(name);
        text.extend_from_slice(&(name.len() as u32).to_be_bytes());
        text.extend_from_slice(
            &name.iter().fold(0u32, |sum, byte| sum.wrapping_add(*byte as i8 as u32)).to_be_bytes(),
        );
        text.extend_from_slice(&JOURNAL_MAGIC);
    }
    let mut storage = MemoryFile::default();
    let mut file = JournalFile::new(keys(), false).unwrap();
    // The magic by itself: it is how the end of a super-journal's name is recognised.
    let (text, magic) = text.split_at(text.len() - 8);
    file.write(&mut storage, text, 0).unwrap();
    file.write(&mut storage, magic, text.len() as u64).unwrap();
    file.flush(&mut storage).unwrap();
    storage
}

fn find(storage: &mut MemoryFile, super_exists: bool) -> (Option<Rollback>, Notes) {
    let mut notes = Notes::default();
    let found = Rollback::find(storage, &keys(), &|_| super_exists, &mut notes).unwrap();
    (found, notes)
}

#[test]
fn a_hot_journal_restores_its_pages() {
    let mut storage = journal(None);
    let (found, notes) = find(&mut storage, false);
    let mut found = found.unwrap();
    assert_eq!((found.page_size, found.page_count, found.pages.len()), (512, 5, 2));
    let mut page = [0; PAGE];
    assert!(found.page(&mut storage, 3, &mut page).unwrap());
    assert_eq!(page, [3; PAGE]);
    assert!(!found.page(&mut storage, 4, &mut page).unwrap());
    assert!(notes.lost.is_empty() && notes.done.len() == 1);
}

#[test]
fn a_journal_whose_super_journal_is_gone_has_committed() {
    for name in [&b"/tmp/super"[..], b"/tmp/caf\xe9-mj1"] {
        assert!(find(&mut journal(Some(name)), false).0.is_none());
        assert!(find(&mut journal(Some(name)), true).0.is_some());
    }
}

#[test]
fn a_record_with_a_wrong_checksum_ends_the_rollback() {
    let mut found = Rollback {
        pages: HashMap::new(),
        page_size: PAGE as u32,
        page_count: 5,
        journal: JournalFile::new(keys(), true).unwrap(),
    };
    let mut record = vec![0; PAGE + 8];
    record[3] = 2;
    record[PAGE + 4..].copy_from_slice(&NONCE.to_be_bytes());
    assert!(found.take(&record, NONCE, 0));
    record[3] = 3;
    record[4 + 112] = 1;
    assert!(!found.take(&record, NONCE, 0));
    record[3] = 6;
    assert!(found.take(&record, NONCE, 0), "a page beyond the end is skipped");
    assert_eq!(found.pages.len(), 1);
}

#[test]
fn a_foreign_journal_is_left_out() {
    let mut storage = journal(None);
    let other =
        Arc::new(FileKeys::new([9; 16], [2; 16], SuiteId::DEFAULT, Secret::from_slice(&[3; 32])).unwrap());
    let mut notes = Notes::default();
    assert!(Rollback::find(&mut storage, &other, &|_| false, &mut notes).unwrap().is_none());
    assert_eq!(notes.lost.len(), 1);
}
