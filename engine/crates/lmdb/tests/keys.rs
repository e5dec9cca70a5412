//! Environments with keys: what opens them, and what does not.

mod support;

use std::os::unix::fs::FileExt;
use std::path::Path;

use crypto::{Argon2Cost, Secret, SuiteId};
use ground::error::{Fault, FaultClass, Result};
use lumo_lmdb::keyed::Keyed;
use lumo_lmdb::{DatabaseFlags, Environment, Put};
use support::{Folder, Numbers};
use vault::create::{CreateOptions, at_any_cost};
use vault::file_keys::FileKeys;
use vault::format::link::Link;
use vault::format::superblock::{Contents, Superblock};
use vault::header::{self, HEADER_LEN};
use vault::material::Key;
use vault::options::OpenOptions;

const TINY: Argon2Cost = Argon2Cost { m_kib: 64, t: 1, p: 1 };

fn options() -> OpenOptions {
    OpenOptions { kdf: Some(TINY), ..OpenOptions::default() }
}

fn open_as(path: &Path, key: Option<&Key>, options: &OpenOptions, create: bool) -> Result<Environment> {
    Keyed { key, options, create, at_any_cost: true }.open(path, |settings| settings.max_dbs(4))
}

fn open(path: &Path, key: &Key) -> Result<Environment> {
    open_as(path, Some(key), &options(), true)
}

fn passphrase(text: &str) -> Key {
    Key::passphrase(text.as_bytes()).unwrap()
}

fn class<T>(result: Result<T>) -> FaultClass {
    result.err().map(|fault: Fault| fault.class).expect("an error")
}

fn fill(env: &Environment) {
    let database = env.create_database(None, DatabaseFlags::default()).unwrap();
    let mut txn = env.write().unwrap();
    for n in 0..200_u64 {
        txn.put(database, &n.to_be_bytes(), &[n as u8; 100], Put::default()).unwrap();
    }
    txn.commit().unwrap();
}

/// How many are right. One that is wrong fails; an error ends it.
fn right(env: &Environment) -> u64 {
    let Ok(database) = env.database(None) else { return 0 };
    let Ok(txn) = env.read() else { return 0 };
    for n in 0..200_u64 {
        match txn.get(database, &n.to_be_bytes()) {
            Ok(found) => assert_eq!(found, Some(&[n as u8; 100][..]), "key {n}"),
            Err(_) => return n,
        }
    }
    200
}

#[test]
fn any_kind_of_key_opens_what_it_created_and_another_does_not() {
    for (key, other) in [
        (passphrase("right"), passphrase("wrong")),
        (Key::raw(&[1; 32]).unwrap(), Key::raw(&[2; 32]).unwrap()),
        (passphrase("right"), Key::raw(&[1; 32]).unwrap()),
    ] {
        let folder = Folder::new("keyed");
        fill(&open(&folder.file(), &key).unwrap());
        assert_eq!(class(open(&folder.file(), &other)), FaultClass::WrongKey);
        assert_eq!(class(open_as(&folder.file(), None, &options(), true)), FaultClass::KeyRequired);
        assert_eq!(right(&open(&folder.file(), &key).unwrap()), 200);
        let mut names: Vec<_> =
            std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["app.lmdb", "app.lmdb-lock"], "nothing is left of its creation");
    }
}

#[test]
fn suite_and_page_size_are_those_of_the_header() {
    for suite in [SuiteId::XChaCha20Poly1305, SuiteId::Aes256Gcm, SuiteId::Checksum] {
        let folder = Folder::new("suite");
        let key = suite.is_keyed().then(|| Key::raw(&[1; 32]).unwrap());
        let new = OpenOptions { suite: Some(suite), block_size: Some(8192), ..options() };
        fill(&open_as(&folder.file(), key.as_ref(), &new, true).unwrap());
        let env = open_as(&folder.file(), key.as_ref(), &options(), false).unwrap();
        assert_eq!((right(&env), env.info().unwrap().page_size), (200, 8192));
    }
    let folder = Folder::new("untagged");
    let new = OpenOptions { suite: Some(SuiteId::Adiantum), ..options() };
    let key = passphrase("right");
    assert_eq!(class(open_as(&folder.file(), Some(&key), &new, true)), FaultClass::InvalidArgument);
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[test]
fn what_is_no_environment_is_refused_and_left_as_it_is() {
    let folder = Folder::new("other");
    let (key, path) = (Key::raw(&[1; 32]).unwrap(), folder.file());
    assert_eq!(class(open_as(&path, Some(&key), &options(), false)), FaultClass::NoDatabase);
    let (sqlite, _, _) = at_any_cost(Some(&key), &CreateOptions::default()).unwrap();
    for (bytes, expected) in [
        (b"SQLite format 3\0".repeat(300), FaultClass::NotEncrypted),
        (sqlite, FaultClass::UnsupportedFormat),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(class(open(&path, &key)), expected);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn an_environment_is_no_sqlite_database() {
    let folder = Folder::new("engine");
    fill(&open(&folder.file(), &passphrase("right")).unwrap());
    let fault = header::parse(std::fs::read(folder.file()).unwrap()).expect_err("a fault");
    assert_eq!(fault.class, FaultClass::UnsupportedFormat);
    assert!(fault.message.contains("LMDB"), "{}", fault.message);
}

#[test]
fn one_whose_data_key_is_being_changed_is_refused() {
    let folder = Folder::new("half");
    let key = Key::raw(&[1; 32]).unwrap();
    fill(&open(&folder.file(), &key).unwrap());
    let pages = std::fs::read(folder.file()).unwrap().split_off(HEADER_LEN as usize);
    let new = CreateOptions { contents: Contents::Lmdb, ..CreateOptions::default() };
    let (_, keys, superblock) = at_any_cost(Some(&key), &new).unwrap();
    let data_key = Secret::from_slice(&[3; 32]).unwrap();
    let older = FileKeys::new(keys.uuid, [4; 16], keys.suite, Some(data_key)).unwrap();
    let link = Some(Link::new(&older, &keys).unwrap());
    let superblock = Superblock { link, ..superblock };
    std::fs::write(folder.file(), [header::new_region(&superblock, &keys), pages].concat()).unwrap();
    let fault = open(&folder.file(), &key).err().expect("an error");
    assert_eq!(fault.class, FaultClass::UnsupportedFormat);
    assert!(fault.message.contains("being changed in place"), "{}", fault.message);
}

#[test]
fn one_that_was_cut_behind_its_header_is_not_a_new_one() {
    let folder = Folder::new("cut");
    let key = Key::raw(&[1; 32]).unwrap();
    fill(&open(&folder.file(), &key).unwrap());
    let file = std::fs::OpenOptions::new().write(true).open(folder.file()).unwrap();
    file.set_len(HEADER_LEN).unwrap();
    assert_eq!(class(open(&folder.file(), &key)), FaultClass::Tampered);
}

#[test]
fn flipped_bytes_anywhere_are_an_error_or_change_nothing() {
    let (folder, mut numbers) = (Folder::new("flips"), Numbers(3));
    let (key, path) = (Key::raw(&[1; 32]).unwrap(), folder.file());
    fill(&open(&path, &key).unwrap());
    let whole = std::fs::read(&path).unwrap();
    let mut errors = 0;
    for round in 0..150 {
        // Half of them in the superblock's copies.
        let limit = if round % 2 == 0 { 32768 } else { whole.len() as u64 };
        let at = numbers.below(limit);
        std::fs::write(&path, &whole).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[whole[at as usize] ^ 1 << numbers.below(8)], at).unwrap();
        let found = open_as(&path, Some(&key), &options(), false).map_or(0, |env| right(&env));
        errors += u32::from(found < 200);
    }
    assert!(errors > 10, "{errors}");
}

#[test]
fn threads_that_create_one_create_the_same() {
    let folder = Folder::new("race");
    let key = Key::raw(&[1; 32]).unwrap();
    let pages: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&folder.file(), &key).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    fill(&pages[0]);
    assert!(pages.iter().all(|env| right(env) == 200));
}
