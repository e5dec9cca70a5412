//! Makes an environment with a bit of everything, and says what is in it: for tests that read it without the engine.
//!
//!     cargo run --example sample -- FILE SUITE PAGE_SIZE [raw:HEX|PASSPHRASE]
//!
//! A line for each database: its name, how many entries, SHA-256 over all of them as LMDB sees them, which is lengths
//! (4 bytes) and content of keys and values.

use std::error::Error;
use std::path::Path;

use crypto::kdf::sha256;
use crypto::{Argon2Cost, SuiteId};
use lumo_lmdb::keyed::Keyed;
use lumo_lmdb::{DatabaseFlags, Environment, Put, Step};
use vault::material::Key;
use vault::options::OpenOptions;

type Outcome<T> = Result<T, Box<dyn Error>>;

const NAMES: [Option<&str>; 5] = [None, Some("plain"), Some("many"), Some("fixed"), Some("empty")];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, suite, page_size, rest @ ..] = &arguments[..] else {
        return Err("FILE SUITE PAGE_SIZE [KEY]".into());
    };
    let key = rest.first().map(|text| key_of(text)).transpose()?;
    let options = OpenOptions {
        suite: Some(SuiteId::from_name(suite).ok_or("no such suite")?),
        block_size: Some(page_size.parse()?),
        kdf: Some(Argon2Cost { m_kib: 19 << 10, t: 2, p: 1 }),
        ..OpenOptions::default()
    };
    let keyed = Keyed { key: key.as_ref(), options: &options, create: true, at_any_cost: false };
    let env = keyed.open(Path::new(path), |settings| settings.max_dbs(8)).map_err(|fault| fault.message)?;
    for round in 0..4 {
        fill(&env, round)?;
    }
    for name in NAMES {
        describe(&env, name)?;
    }
    Ok(())
}

fn key_of(text: &str) -> Outcome<Key> {
    let key = match text.strip_prefix("raw:") {
        None => Key::passphrase(text.as_bytes()),
        Some(hex) => {
            let digits = |at| u8::from_str_radix(hex.get(at..at + 2).unwrap_or("?"), 16);
            Key::raw(&(0..hex.len()).step_by(2).map(digits).collect::<Result<Vec<u8>, _>>()?)
        }
    };
    key.map_err(|fault| fault.message.into())
}

/// One commit. Values are told by their round, and some go away again, so that pages are freed and used anew.
fn fill(env: &Environment, round: u64) -> Outcome<()> {
    let fixed = DatabaseFlags::DUP_SORT | DatabaseFlags::DUP_FIXED;
    let plain = env.create_database(Some("plain"), DatabaseFlags::default())?;
    let many = env.create_database(Some("many"), DatabaseFlags::DUP_SORT)?;
    let fixed = env.create_database(Some("fixed"), fixed)?;
    env.create_database(Some("empty"), DatabaseFlags::default())?;
    let main = env.database(None)?;
    let mut txn = env.write()?;
    for n in 0..40_u64 {
        let value = format!("value {n} of round {round}").repeat(if n % 20 == 0 { 120 } else { 1 });
        txn.put(plain, format!("key {n:03}").as_bytes(), value.as_bytes(), Put::default())?;
        txn.put(many, b"much", format!("value {n:03} of round {round}").as_bytes(), Put::default())?;
        txn.put(many, format!("few {}", n % 10).as_bytes(), &n.to_be_bytes(), Put::default())?;
        txn.put(fixed, b"numbers", &(n * 1000 + round).to_be_bytes(), Put::default())?;
        txn.put(fixed, b"two", &(n % 2).to_be_bytes(), Put::default())?;
    }
    txn.put(main, b"round", &round.to_be_bytes(), Put::default())?;
    for n in (round..40).step_by(7) {
        txn.delete(plain, format!("key {n:03}").as_bytes(), None)?;
    }
    Ok(txn.commit()?)
}

fn describe(env: &Environment, name: Option<&str>) -> Outcome<()> {
    let database = env.database(name)?;
    let txn = env.read()?;
    let mut cursor = txn.cursor(database)?;
    let (mut all, mut count, mut step) = (Vec::new(), 0, Step::First);
    while cursor.go(step)?.is_some() {
        step = Step::Next;
        // The nameless one has the records of the others, too.
        if name.is_none() && cursor.is_database() {
            continue;
        }
        let Some((key, value)) = cursor.go(Step::Current)? else { break };
        for part in [key, value] {
            all.extend_from_slice(&(part.len() as u32).to_le_bytes());
            all.extend_from_slice(part);
        }
        count += 1;
    }
    let digest: String = sha256(&all).iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{} {count} {digest}", name.unwrap_or("-"));
    Ok(())
}
