//! What is in the file, and what becomes of it in other people's hands.

mod support;

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crypto::SuiteId;
use lumo_lmdb::{
    Database, DatabaseFlags, Durability, Environment, Error, Identity, Options, Protection, Put, Step,
};
use support::{Folder, IDENTITY, Numbers, bytes, key, open, options};

const KEYS: u64 = 500;

fn fill(env: &Environment) -> Database {
    let database = env.create_database(None, DatabaseFlags::default()).unwrap();
    let mut txn = env.write().unwrap();
    for key in 0..KEYS {
        let len = if key.is_multiple_of(50) { 9000 } else { 100 };
        txn.put(database, &key.to_be_bytes(), &bytes(key, len), Put::default()).unwrap();
    }
    txn.commit().unwrap();
    database
}

/// Reads everything: how much is right, and the first error. What is wrong without an error fails.
fn read(env: &Environment, database: Database) -> (u64, Option<Error>) {
    let (mut right, mut first) = (0, None);
    for key in 0..KEYS {
        let len = if key.is_multiple_of(50) { 9000 } else { 100 };
        match env.read().unwrap().get(database, &key.to_be_bytes()) {
            Ok(found) => {
                assert_eq!(found, Some(&bytes(key, len)[..]), "key {key} is wrong, and nobody says so");
                right += 1;
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    (right, first)
}

#[test]
fn every_suite_with_a_tag_works_and_others_are_refused() {
    for suite in SuiteId::ALL {
        let folder = Folder::new("suites");
        let opened = Options::new(Protection::Sealed { suite, key: key(1) }, IDENTITY).open(folder.file());
        if suite.overhead() == 40 {
            let env = opened.unwrap();
            let database = fill(&env);
            assert_eq!(read(&env, database), (KEYS, None));
        } else {
            assert!(matches!(opened.err(), Some(Error::Refused(_))), "{suite:?}");
        }
    }
}

#[test]
fn nothing_is_in_the_file_in_clear() {
    let folder = Folder::new("clear");
    let env = open(&folder).unwrap();
    let database = env.create_database(Some("some-name-of-a-database"), DatabaseFlags::default()).unwrap();
    let mut txn = env.write().unwrap();
    for key in 0..1000_u64 {
        let text = format!("a secret that should not be seen {key}");
        txn.put(
            database,
            text.as_bytes(),
            text.repeat(if key == 5 { 500 } else { 1 }).as_bytes(),
            Put::default(),
        )
        .unwrap();
    }
    txn.commit().unwrap();
    let file = std::fs::read(folder.file()).unwrap();
    for needle in [&b"secret"[..], b"some-name"] {
        assert!(!file.windows(needle.len()).any(|window| window == needle));
    }
}

#[test]
fn pages_that_say_the_same_do_not_look_the_same() {
    // A transaction that is given up leaves its number, and the numbers of its pages, to the next one.
    let folder = Folder::new("nonces");
    let env = open(&folder).unwrap();
    let database = env.create_database(None, DatabaseFlags::default()).unwrap();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        let mut txn = env.write().unwrap();
        txn.put(database, b"key", &[0; 50], Put::default()).unwrap();
        txn.prepare().unwrap();
        let file = std::fs::read(folder.file()).unwrap();
        for page in file.chunks(4096).skip(2).filter(|page| page[..8] != [0; 8]) {
            seen.insert(page[4096 - 40..4096 - 16].to_vec());
        }
        txn.abort();
    }
    assert!(seen.len() >= 50, "{} nonces", seen.len());
}

#[test]
fn another_key_another_suite_and_another_uuid_open_nothing() {
    let folder = Folder::new("keys");
    let env = open(&folder).unwrap();
    fill(&env);
    let wrong = |options: Options| options.open(folder.file()).err();
    assert_eq!(
        wrong(Options::new(Protection::sealed(key(8)), IDENTITY)),
        Some(Error::OtherKey),
        "while it is open"
    );
    drop(env);
    assert_eq!(wrong(Options::new(Protection::sealed(key(8)), IDENTITY)), Some(Error::Unauthentic));
    let other = Identity { uuid: [9; 16], ..IDENTITY };
    assert_eq!(wrong(Options::new(Protection::sealed(key(7)), other)), Some(Error::Unauthentic));
    assert_eq!(wrong(Options::new(Protection::Checksum, IDENTITY)), Some(Error::Unauthentic));
    let suite = Options::new(Protection::Sealed { suite: SuiteId::Aes256Gcm, key: key(7) }, IDENTITY);
    if let Ok(env) = suite.open(folder.file()) {
        let database = env.database(None);
        assert!(matches!(database, Err(Error::Damaged { .. })) || read(&env, database.unwrap()).0 == 0);
    }
    let env = open(&folder).unwrap();
    let database = env.database(None).unwrap();
    assert_eq!(read(&env, database), (KEYS, None));
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_or_changes_nothing() {
    for sums in [false, true] {
        let folder = Folder::new("flips");
        let protection = || if sums { Protection::Checksum } else { Protection::sealed(key(7)) };
        let reopen = || Options::new(protection(), IDENTITY).page_size(1024).open(folder.file());
        let env = reopen().unwrap();
        fill(&env);
        drop(env);
        let whole = std::fs::read(folder.file()).unwrap();
        let (mut numbers, mut noticed) = (Numbers(3), 0);
        for _ in 0..150 {
            let at = numbers.below(whole.len() as u64) as usize;
            let mut changed = whole.clone();
            changed[at] ^= 1 << numbers.below(8);
            std::fs::write(folder.file(), &changed).unwrap();
            let Ok(env) = reopen() else {
                noticed += 1;
                continue;
            };
            let database = env.database(None).unwrap();
            // The state before is one, too: a meta page that was torn. It is that of the empty environment.
            if env.read().unwrap().stat(database).unwrap().ms_entries == 0 {
                noticed += 1;
                continue;
            }
            let (_, error) = read(&env, database);
            if let Some(error) = error {
                // The page, or the first one of its extent.
                let Error::Damaged { page } = error else { panic!("{error}: byte {at}") };
                assert!(
                    page as usize <= at / 1024 && at / 1024 < page as usize + 9,
                    "page {page}: byte {at}"
                );
                noticed += 1;
            }
        }
        assert!(noticed > 100, "{noticed}");
    }
}

#[test]
fn the_header_region_is_left_alone() {
    let folder = Folder::new("header");
    let header = bytes(1, 65536);
    std::fs::write(folder.file(), &header).unwrap();
    let env = options().header_len(65536).open(folder.file()).unwrap();
    let database = fill(&env);
    assert_eq!(read(&env, database), (KEYS, None));
    drop(env);
    assert_eq!(std::fs::read(folder.file()).unwrap()[..65536], header);
    let env = options().header_len(65536).open(folder.file()).unwrap();
    let database = env.database(None).unwrap();
    assert_eq!(read(&env, database), (KEYS, None));
}

#[test]
fn copies_are_whole_smaller_and_under_any_key() {
    let folder = Folder::new("copies");
    let env = open(&folder).unwrap();
    let database = fill(&env);
    let sorted = env.create_database(Some("sorted"), DatabaseFlags::DUP_SORT).unwrap();
    let mut txn = env.write().unwrap();
    for n in 0..300_u64 {
        txn.put(sorted, &(n % 7).to_be_bytes(), &n.to_be_bytes(), Put::default()).unwrap();
    }
    txn.commit().unwrap();
    let mut txn = env.write().unwrap();
    for n in 0..40_u64 {
        txn.put(database, &(1000 + n).to_be_bytes(), &bytes(n, 100_000), Put::default()).unwrap();
    }
    txn.commit().unwrap();
    let mut txn = env.write().unwrap();
    for n in 0..40_u64 {
        txn.delete(database, &(1000 + n).to_be_bytes(), None).unwrap();
    }
    txn.commit().unwrap();
    let other = Identity { uuid: [5; 16], key_id: [6; 16] };
    let new = || Options::new(Protection::sealed(key(9)), other).header_len(65536);
    let path = folder.0.join("copy.lmdb");
    env.copy_compact(&path, new()).unwrap();
    assert_eq!(
        env.copy_compact(&path, new()).unwrap_err(),
        Error::System(libc::EEXIST),
        "not over another file"
    );
    let sizes = [folder.file(), path.clone()].map(|path| std::fs::metadata(path).unwrap().len());
    assert!(sizes[1] < sizes[0] / 4, "{sizes:?}");
    assert_eq!(options().header_len(65536).open(&path).err(), Some(Error::Unauthentic), "under the old key");
    let copy = new().open(&path).unwrap();
    let main = copy.database(None).unwrap();
    assert_eq!(read(&copy, main), (KEYS, None));
    let copied = copy.database(Some("sorted")).unwrap();
    let (from, to) = (env.read().unwrap(), copy.read().unwrap());
    assert_eq!(to.flags(copied).unwrap(), DatabaseFlags::DUP_SORT);
    let (mut one, mut other) = (from.cursor(sorted).unwrap(), to.cursor(copied).unwrap());
    loop {
        let (one, other) = (one.go(Step::Next).unwrap(), other.go(Step::Next).unwrap());
        assert_eq!(one, other);
        if one.is_none() {
            break;
        }
    }
}

#[test]
fn what_does_not_go_with_encryption_is_refused_with_the_reason() {
    let refused = options().write_map(true).err().unwrap();
    assert!(refused.to_string().contains("in clear"), "{refused}");
    let refused = options().fixed_map(true).err().unwrap();
    assert!(refused.to_string().contains("fixedmap"), "{refused}");
}

#[test]
fn an_environment_that_is_opened_twice_is_one() {
    let folder = Folder::new("twice");
    let (one, other) = (open(&folder).unwrap(), open(&folder).unwrap());
    let database = fill(&one);
    drop(one);
    assert_eq!(read(&other, database), (KEYS, None), "the first one's handle is good for the second");
    let stranger = Folder::new("stranger");
    let env = open(&stranger).unwrap();
    let there = env.read().unwrap().get(database, b"x").map(|found| found.map(<[u8]>::to_vec));
    assert!(there.is_err(), "a handle of another environment");
}

#[test]
fn a_forked_child_opens_it_for_itself() {
    let folder = Folder::new("fork");
    let env = open(&folder).unwrap();
    fill(&env);
    let before = env.read().unwrap();
    // SAFETY: The child does nothing but what is under test, and ends without running anything of the parent's.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let fine = catch_unwind(AssertUnwindSafe(|| {
            let database = env.database(None).unwrap();
            let right = read(&env, database) == (KEYS, None);
            let mut txn = env.write().unwrap();
            txn.put(database, b"child", b"was here", Put::default()).unwrap();
            txn.commit().unwrap();
            right
        }));
        drop(before);
        // SAFETY: Ends the child.
        unsafe { libc::_exit(i32::from(!fine.unwrap_or(false))) };
    }
    let mut status = 0;
    // SAFETY: Waits for the child.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    let database = env.database(None).unwrap();
    assert_eq!(env.read().unwrap().get(database, b"child").unwrap(), Some(&b"was here"[..]));
    assert_eq!(before.get(database, b"child").unwrap(), None, "the parent's snapshot is as it was");
}

#[test]
fn a_child_waits_for_no_thread_that_it_has_not() {
    let (folder, other) = (Folder::new("forks"), Folder::new("forks-other"));
    let env = open(&folder).unwrap();
    fill(&env);
    let done = AtomicBool::new(false);
    let until_done = |work: &dyn Fn()| {
        while !done.load(Relaxed) {
            work();
        }
    };
    std::thread::scope(|scope| {
        // Both have what a child needs most of the time: the list of environments, and this one.
        scope.spawn(|| until_done(&|| drop(open(&other).unwrap())));
        scope.spawn(|| until_done(&|| drop(env.read().unwrap())));
        for round in 0..40 {
            // SAFETY: As above. A child that waits for ever is ended by its alarm.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: No handler is set: the signal ends the process.
                unsafe { libc::alarm(20) };
                let fine = catch_unwind(AssertUnwindSafe(|| {
                    let database = env.database(None).unwrap();
                    read(&env, database) == (KEYS, None)
                }));
                // SAFETY: Ends the child.
                unsafe { libc::_exit(i32::from(!fine.unwrap_or(false))) };
            }
            let mut status = 0;
            // SAFETY: Waits for the child.
            unsafe { libc::waitpid(child, &mut status, 0) };
            if status != 0 {
                done.store(true, Relaxed);
            }
            assert_eq!(status, 0, "child {round}");
        }
        done.store(true, Relaxed);
    });
}

#[test]
fn an_environment_that_is_closed_and_opened_at_once_keeps_its_locks() {
    let folder = Folder::new("reopened");
    fill(&open(&folder).unwrap());
    // Each opening is the last one's end, as often as not.
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let folder = &folder;
            scope.spawn(move || {
                for round in 0..100_u64 {
                    let env = open(folder).unwrap();
                    let database = env.database(None).unwrap();
                    let mut txn = env.write().unwrap();
                    txn.put(database, &(1000 + thread).to_be_bytes(), &round.to_be_bytes(), Put::default())
                        .unwrap();
                    txn.commit().unwrap();
                }
            });
        }
    });
    let env = open(&folder).unwrap();
    let database = env.database(None).unwrap();
    assert_eq!(read(&env, database), (KEYS, None));
    let txn = env.read().unwrap();
    for thread in 0..4_u64 {
        let found = txn.get(database, &(1000 + thread).to_be_bytes()).unwrap();
        assert_eq!(found, Some(&99_u64.to_be_bytes()[..]));
    }
}

#[test]
fn thousands_of_snapshots_and_threads() {
    let folder = Folder::new("threads");
    let env = options().durability(Durability::NoSync).open(folder.file()).unwrap();
    let database = fill(&env);
    let snapshots: Vec<_> = (0..2000).map(|_| env.read().unwrap()).collect();
    drop(snapshots);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let env = &env;
            scope.spawn(move || {
                for round in 0..200_u64 {
                    let mut txn = env.write().unwrap();
                    txn.put(database, &(1000 + thread).to_be_bytes(), &bytes(round, 3000), Put::default())
                        .unwrap();
                    txn.commit().unwrap();
                    let found = env
                        .read()
                        .unwrap()
                        .get(database, &(1000 + thread).to_be_bytes())
                        .unwrap()
                        .map(<[u8]>::to_vec);
                    assert_eq!(found, Some(bytes(round, 3000)));
                }
            });
        }
        scope.spawn(|| (0..30).for_each(|_| assert_eq!(read(&env, database), (KEYS, None))));
    });
}

#[test]
fn the_cache_keeps_its_limit_and_values_stay_all_the_same() {
    let folder = Folder::new("cache");
    let env = options().cache_size(1 << 20).durability(Durability::NoSync).open(folder.file()).unwrap();
    let database = env.create_database(None, DatabaseFlags::default()).unwrap();
    let mut txn = env.write().unwrap();
    for key in 0..40_000_u64 {
        txn.put(database, &key.to_be_bytes(), &bytes(key, 1000), Put::default()).unwrap();
    }
    txn.commit().unwrap();
    let txn = env.read().unwrap();
    let mut buffer = Vec::new();
    for key in 0..40_000_u64 {
        assert!(txn.get_to(database, &key.to_be_bytes(), &mut buffer).unwrap());
    }
    let cache = env.info().unwrap().cache;
    assert!(cache.bytes < 8 << 20, "{cache:?}");
    let first = txn.get(database, &0_u64.to_be_bytes()).unwrap().unwrap();
    for key in 0..40_000_u64 {
        txn.get(database, &key.to_be_bytes()).unwrap().unwrap();
    }
    assert_eq!(first, bytes(0, 1000));
    drop(txn);
    env.read().unwrap().get_to(database, &0_u64.to_be_bytes(), &mut buffer).unwrap();
    let cache = env.info().unwrap().cache;
    assert!(cache.bytes <= 1 << 20, "{cache:?}");
}

#[test]
fn a_torn_meta_page_costs_its_commit_and_nothing_else() {
    let folder = Folder::new("torn");
    let env = open(&folder).unwrap();
    let database = fill(&env);
    let mut txn = env.write().unwrap();
    txn.put(database, b"last", b"commit", Put::default()).unwrap();
    txn.commit().unwrap();
    let newest = env.info().unwrap().last_txn % 2;
    drop(env);
    let file = std::fs::File::options().write(true).open(folder.file()).unwrap();
    file.write_all_at(&[0xFF; 60], newest * 4096 + 40).unwrap();
    let env = open(&folder).unwrap();
    let database = env.database(None).unwrap();
    assert_eq!(read(&env, database), (KEYS, None));
    assert_eq!(env.read().unwrap().get(database, b"last").unwrap(), None);
    fill(&env);
    drop(env);
    let env = open(&folder).unwrap();
    let database = env.database(None).unwrap();
    assert_eq!(read(&env, database), (KEYS, None), "after it went on");
}

#[test]
fn a_thread_that_writes_does_not_wait_for_itself() {
    let folder = Folder::new("itself");
    let env = open(&folder).unwrap();
    let mut txn = env.write().unwrap();
    assert!(matches!(env.write().err(), Some(Error::Refused(_))));
    txn.nested().unwrap().commit().unwrap();
    assert!(matches!(env.write().err(), Some(Error::Refused(_))));
    txn.commit().unwrap();
    env.write().unwrap().abort();
    env.write().unwrap().commit().unwrap();
}

#[test]
fn a_plain_copy_is_the_same_with_its_header() {
    let folder = Folder::new("plain");
    let header = bytes(2, 65536);
    std::fs::write(folder.file(), &header).unwrap();
    let env = options().header_len(65536).open(folder.file()).unwrap();
    let database = fill(&env);
    let path = folder.0.join("copy.lmdb");
    env.copy_plain(&std::fs::File::create(&path).unwrap()).unwrap();
    let copied_alike = options().header_len(65536).open(&path).unwrap();
    let mut txn = env.write().unwrap();
    txn.clear(database).unwrap();
    txn.commit().unwrap();
    let compact = folder.0.join("compact.lmdb");
    copied_alike.copy_compact_alike(&compact).unwrap();
    for path in [path, compact] {
        assert_eq!(std::fs::read(&path).unwrap()[..65536], header);
        let copy = options().header_len(65536).open(&path).unwrap();
        let main = copy.database(None).unwrap();
        assert_eq!(read(&copy, main), (KEYS, None));
    }
}

#[test]
fn meta_pages_that_are_garbled_while_the_environment_is_open() {
    let folder = Folder::new("garbled");
    let env = open(&folder).unwrap();
    let database = fill(&env);
    let before = std::fs::read(folder.file()).unwrap();
    let file = std::fs::File::options().write(true).open(folder.file()).unwrap();
    for page in [0, 4096] {
        file.write_all_at(&[0x5A; 30], page + 60).unwrap();
    }
    for _ in 0..3 {
        assert!(env.read().is_err());
        assert!(env.write().is_err());
    }
    file.write_all_at(&before[..8192], 0).unwrap();
    // The failures left neither slot nor mutex behind.
    assert_eq!(read(&env, database), (KEYS, None));
    fill(&env);
    assert_eq!(read(&env, database), (KEYS, None));
}
