// Cases about pages in memory: caches, transactions, threads. Included once for each library.

/// Overlapping read transactions and a writer in one process: page numbers are freed and used again.
fn stale(folder: &Path) -> Outcome<()> {
    const KEYS: u64 = 2000;
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    let mut versions = vec![0; KEYS as usize];
    let txn = env.begin(0)?;
    for key in 0..KEYS {
        txn.put(key, &value(key, 0, 25))?;
    }
    txn.commit()?;
    let (mut tally, mut numbers, mut old) = (Tally::new(), toy::Numbers(1), None::<Txn>);
    for round in 1..=300 {
        let reader = env.begin(MDB_RDONLY)?;
        for key in 0..KEYS {
            tally.look(&reader, key, versions[key as usize], 25)?;
        }
        if let Some(before) = old.replace(reader) {
            before.abort();
        }
        let txn = env.begin(0)?;
        for _ in 0..20 {
            let key = numbers.below(KEYS);
            versions[key as usize] = round;
            txn.put(key, &value(key, round, 25))?;
        }
        txn.commit()?;
    }
    old.into_iter().for_each(Txn::abort);
    env.close();
    tally.outcome("while it was open")?;
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    let (txn, mut tally) = (env.begin(MDB_RDONLY)?, Tally::new());
    for key in 0..KEYS {
        tally.look(&txn, key, versions[key as usize], 25)?;
    }
    txn.abort();
    tally.outcome("after reopening")
}

/// Keys and sizes that round `round` of the next case writes.
fn others_keys(round: u64) -> impl Iterator<Item = (u64, usize)> {
    let mut numbers = toy::Numbers(round);
    (0..20).map(move |_| (numbers.below(500), [25, 25, 25, 25_000][numbers.below(4) as usize]))
}

/// The other process of the next case: writes one round.
fn others_write(folder: &Path) -> Outcome<()> {
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    let txn = env.begin(0)?;
    let round =
        txn.get(1000)?.map_or(0, |value| u64::from_ne_bytes(value.try_into().unwrap_or_default())) + 1;
    for (key, words) in others_keys(round) {
        txn.put(key, &value(key, round, words))?;
    }
    txn.put(1000, &round.to_ne_bytes())?;
    txn.commit()?;
    env.close();
    Ok(())
}

/// Another process writes; readers overlap in this one.
fn others(folder: &Path) -> Outcome<()> {
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let (mut wanted, mut tally, mut old) = (std::collections::BTreeMap::new(), Tally::new(), None::<Txn>);
    for round in 1..=40 {
        let status = std::process::Command::new(&program)
            .args([if EDITED { "lumo" } else { "stock" }, "others-write"])
            .arg(folder)
            .status();
        if !status.map_err(|e| e.to_string())?.success() {
            return Err(format!("the other process failed in round {round}"));
        }
        for (key, words) in others_keys(round) {
            wanted.insert(key, (round, words));
        }
        let reader = env.begin(MDB_RDONLY)?;
        for (key, (version, words)) in &wanted {
            tally.look(&reader, *key, *version, *words)?;
        }
        if let Some(before) = old.replace(reader) {
            before.abort();
        }
    }
    old.into_iter().for_each(Txn::abort);
    env.close();
    tally.outcome("written by another process")
}

/// One transaction with more dirty pages than LMDB keeps in memory.
fn spill(folder: &Path) -> Outcome<()> {
    // With small lists a transaction spills from 511 dirty pages on, else from 131,071 on.
    const KEYS: u64 = if cfg!(feature = "small-lists") { 30_000 } else { 700_000 };
    let env = Env::open(folder, Mode::Encrypted, 256, 0)?;
    let (mut versions, mut numbers, mut tally) = (vec![0; KEYS as usize], toy::Numbers(7), Tally::new());
    let txn = env.begin(0)?;
    for put in 1..=2 * KEYS {
        let key = numbers.below(KEYS);
        versions[key as usize] = put;
        txn.put(key, &value(key, put, 6))?;
        let asked = numbers.below(KEYS);
        if put % 7 == 0 && versions[asked as usize] > 0 {
            tally.look(&txn, asked, versions[asked as usize], 6)?;
        }
    }
    txn.commit()?;
    tally.outcome("inside the transaction")?;
    env.close();
    let env = Env::open(folder, Mode::Encrypted, 256, 0)?;
    let (txn, mut tally) = (env.begin(MDB_RDONLY)?, Tally::new());
    for key in (0..KEYS).filter(|key| versions[*key as usize] > 0) {
        tally.look(&txn, key, versions[key as usize], 6)?;
    }
    txn.abort();
    tally.outcome("after reopening")
}

/// Readers in threads, no writer, and a callback that decrypts in place.
fn race(folder: &Path) -> Outcome<()> {
    const KEYS: u64 = 20_000;
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    let txn = env.begin(0)?;
    for key in 0..KEYS {
        txn.put(key, &value(key, 1, 25))?;
    }
    txn.commit()?;
    env.close();
    toy::IN_PLACE.store(true, std::sync::atomic::Ordering::Relaxed);
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    let read = |seed: u64| -> Outcome<()> {
        let (mut numbers, mut tally) = (toy::Numbers(seed), Tally::new());
        for _ in 0..150 {
            let txn = env.begin(MDB_RDONLY)?;
            for _ in 0..3000 {
                tally.look(&txn, numbers.below(KEYS), 1, 25)?;
            }
            txn.abort();
        }
        tally.outcome("in a thread")
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=4).map(|seed| scope.spawn(move || read(seed))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a panic".into())))
    })
}

/// Threads that write one after the other. The list of pages of the last one is emptied while the next one fills it.
fn writers(folder: &Path) -> Outcome<()> {
    const KEYS: u64 = 4000;
    let env = Env::open(folder, Mode::Encrypted, 512, 0)?;
    let txn = env.begin(0)?;
    for key in 0..4 * KEYS {
        txn.put(key, &value(key, 1, 6))?;
    }
    txn.commit()?;
    let write = |thread: u64| -> Outcome<()> {
        let (mut numbers, mut versions) = (toy::Numbers(thread), vec![1; KEYS as usize]);
        let mut tally = Tally::new();
        for round in 2..400 {
            let txn = env.begin(0)?;
            for _ in 0..60 {
                let key = numbers.below(KEYS);
                tally.look(&txn, thread * KEYS + key, versions[key as usize], 6)?;
            }
            let key = numbers.below(KEYS);
            versions[key as usize] = round;
            txn.put(thread * KEYS + key, &value(thread * KEYS + key, round, 6))?;
            txn.commit()?;
        }
        tally.outcome("in a thread")
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || write(thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a panic".into())))
    })
}

/// Fills an environment of many small pages.
fn many_pages(folder: &Path, keys: u64, page_size: c_int) -> Outcome<Env> {
    let env = Env::open(folder, Mode::Encrypted, page_size, 0)?;
    for part in 0..10 {
        let txn = env.begin(0)?;
        for key in part * keys / 10..(part + 1) * keys / 10 {
            txn.put(key, &value(key, 1, 8))?;
        }
        txn.commit()?;
    }
    Ok(env)
}

/// Thousands of cursors, each somewhere else.
fn cursors(folder: &Path) -> Outcome<()> {
    let env = many_pages(folder, 200_000, 256)?;
    let (txn, mut numbers) = (env.begin(MDB_RDONLY)?, toy::Numbers(3));
    let mut opened = Vec::new();
    for _ in 0..6000 {
        let mut cursor = null_mut();
        check(unsafe { api::mdb_cursor_open(txn.txn, txn.dbi, &mut cursor) }, "cursor_open")?;
        let key = numbers.below(200_000);
        let bytes = key.to_ne_bytes();
        let (mut k, mut v) = (val(&bytes), val(&[]));
        let rc = unsafe { api::mdb_cursor_get(cursor, &mut k, &mut v, api::MDB_SET) };
        check(rc, &format!("cursor {}", opened.len()))?;
        opened.push((cursor, key));
    }
    for (cursor, key) in &opened {
        let (mut k, mut v) = (val(&[]), val(&[]));
        check(unsafe { api::mdb_cursor_get(*cursor, &mut k, &mut v, api::MDB_GET_CURRENT) }, "current")?;
        let found = unsafe { std::slice::from_raw_parts(v.mv_data.cast::<u8>(), v.mv_size) };
        if found != value(*key, 1, 8) {
            return Err(format!("cursor at key {key} is elsewhere"));
        }
    }
    for (cursor, _) in opened {
        unsafe { api::mdb_cursor_close(cursor) };
    }
    txn.abort();
    env.close();
    Ok(())
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(u64::MAX) * 1024
}

/// Reads all over an environment of 400 MB, and ends the transaction: how much stays in memory?
fn memory(folder: &Path) -> Outcome<()> {
    const KEYS: u64 = 100_000;
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    for part in 0..20 {
        let txn = env.begin(0)?;
        for key in part * KEYS / 20..(part + 1) * KEYS / 20 {
            txn.put(key, &value(key, 1, 500))?;
        }
        txn.commit()?;
    }
    env.close();
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    let mut numbers = toy::Numbers(5);
    let (mut tally, before) = (Tally::new(), resident());
    let txn = env.begin(MDB_RDONLY)?;
    for _ in 0..200_000 {
        tally.look(&txn, numbers.below(KEYS), 1, 500)?;
    }
    txn.abort();
    tally.outcome("read")?;
    let grown = (resident() - before) >> 20;
    if grown > 100 { Err(format!("{grown} MiB of clear pages are left")) } else { Ok(()) }
}

/// A value's address is good until the transaction ends, however much else it reads.
fn hold(folder: &Path) -> Outcome<()> {
    let env = many_pages(folder, 1_000_000, 512)?;
    let txn = env.begin(MDB_RDONLY)?;
    #[allow(clippy::unnecessary_operation)]
    if EDITED {
        unsafe { lmdb_sys::lumo_mdb_txn_hold(txn.txn.cast()) };
    }
    let first = txn.get(0)?.ok_or("no first value")?;
    let address = first.as_ptr();
    for key in 0..1_000_000 {
        txn.get(key)?.ok_or("no value")?;
    }
    let again = unsafe { std::slice::from_raw_parts(address, 64) };
    if again == value(0, 1, 8) { Ok(()) } else { Err("the value is gone".into()) }
}

/// Transactions that wrote nothing are prepared, then given up or committed.
fn prepare(folder: &Path) -> Outcome<()> {
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    for round in 0..20 {
        let txn = env.begin(0)?;
        check(unsafe { api::mdb_txn_prepare(txn.txn) }, "prepare")?;
        if round % 2 == 0 {
            txn.abort()
        } else {
            txn.commit()?
        }
        let txn = env.begin(0)?;
        txn.put(round, &value(round, 1, 6))?;
        txn.commit()?;
    }
    env.close();
    Ok(())
}
