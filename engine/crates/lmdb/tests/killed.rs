//! A writer is killed at any moment: what it had committed is there, and what it had not is not.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lumo_lmdb::{DatabaseFlags, Durability, Environment, Put};
use support::{Folder, Numbers, bytes, options};

const FOLDER: &str = "LUMO_LMDB_KILLED_IN";
const KEYS: u64 = 400;

fn open(folder: &str) -> Environment {
    let path = format!("{folder}/app.lmdb");
    options().page_size(1024).header_len(65536).durability(Durability::NoMetaSync).open(path).unwrap()
}

/// Transaction `number` puts this under these keys, besides its own number.
fn entries(number: u64) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let mut numbers = Numbers(number);
    (0..8).map(move |_| {
        let key = numbers.below(KEYS);
        let long = numbers.one_in(10);
        (key, bytes(number ^ key << 32, numbers.below(if long { 20_000 } else { 200 }) as usize))
    })
}

/// Not a test: the process that is killed.
#[test]
#[ignore = "is started by the other one"]
fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let env = open(&folder);
    let database = env.create_database(None, DatabaseFlags::default()).unwrap();
    let last = env.read().unwrap().get(database, b"number").unwrap().map_or(0, number);
    for next in last + 1.. {
        let mut txn = env.write().unwrap();
        for (key, value) in entries(next) {
            txn.put(database, &key.to_be_bytes(), &value, Put::default()).unwrap();
        }
        txn.put(database, b"number", &next.to_be_bytes(), Put::default()).unwrap();
        txn.commit().unwrap();
        // In one write, so that no half of a line is read.
        println!("{}", format_args!("committed {next};"));
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

fn start(folder: &Folder) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "writer", "--nocapture"])
        .env(FOLDER, &folder.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The last commit that the process told of.
fn told(child: &mut Child) -> Option<u64> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("committed ")?.strip_suffix(';')?.parse().ok());
    told.last()
}

#[test]
fn the_last_commit_of_a_killed_writer_is_there() {
    let (folder, mut numbers) = (Folder::new("killed"), Numbers(11));
    let rounds = std::env::var("LUMO_LMDB_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    let mut committed = 0;
    for round in 0..rounds {
        let mut child = start(&folder);
        std::thread::sleep(Duration::from_millis(60 + numbers.below(200)));
        child.kill().unwrap();
        let told = told(&mut child).unwrap_or(committed);
        child.wait().unwrap();
        let env = open(folder.0.to_str().unwrap());
        let database = env.database(None).unwrap();
        let txn = env.read().unwrap();
        let there = txn.get(database, b"number").unwrap().map_or(0, number);
        assert!(there == told || there == told + 1, "round {round}: {told} was told of, {there} is there");
        let mut expected = std::collections::BTreeMap::new();
        (1..=there).flat_map(entries).for_each(|(key, value)| drop(expected.insert(key, value)));
        for (key, value) in &expected {
            assert_eq!(
                txn.get(database, &key.to_be_bytes()).unwrap(),
                Some(&value[..]),
                "round {round}: key {key}"
            );
        }
        assert_eq!(txn.stat(database).unwrap().ms_entries, expected.len() + usize::from(there > 0));
        committed = there;
    }
    assert!(committed > 20, "only {committed} commits in all rounds");
}

#[test]
fn readers_that_were_killed_do_not_keep_the_file_growing() {
    let folder = Folder::new("readers");
    let env = open(folder.0.to_str().unwrap());
    let database = env.create_database(None, DatabaseFlags::default()).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "reader", "--nocapture"])
        .env(FOLDER, &folder.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("reading")));
    child.kill().unwrap();
    child.wait().unwrap();
    for round in 0..500_u64 {
        let mut txn = env.write().unwrap();
        txn.put(database, &(round % 10).to_be_bytes(), &bytes(round, 5000), Put::default()).unwrap();
        txn.commit().unwrap();
    }
    let pages = env.info().unwrap().last_page;
    assert!(pages < 300, "{pages} pages");
}

/// Not a test: a process that dies with a snapshot open.
#[test]
#[ignore = "is started by the other one"]
fn reader() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let env = open(&folder);
    let _txn = env.read().unwrap();
    println!("reading");
    std::thread::sleep(Duration::from_secs(60));
}
