// Cases about what is in the file, by somebody who may write to it, and about what is refused. Included twice.

use std::os::unix::fs::FileExt;

fn writable(folder: &Path) -> Outcome<std::fs::File> {
    std::fs::File::options().read(true).write(true).open(file(folder)).map_err(|e| e.to_string())
}

/// Two leaf pages change places.
fn swap(folder: &Path) -> Outcome<()> {
    const KEYS: u64 = 5000;
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    let txn = env.begin(0)?;
    for key in 0..KEYS {
        txn.put(key, &value(key, 1, 6))?;
    }
    txn.commit()?;
    env.close();
    let data = writable(folder)?;
    let (mut one, mut other) = ([0; 4096], [0; 4096]);
    data.read_exact_at(&mut one, 10 * 4096).map_err(|e| e.to_string())?;
    data.read_exact_at(&mut other, 20 * 4096).map_err(|e| e.to_string())?;
    data.write_all_at(&one, 20 * 4096).map_err(|e| e.to_string())?;
    data.write_all_at(&other, 10 * 4096).map_err(|e| e.to_string())?;
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    let mut refused = 0;
    for key in 0..KEYS {
        let txn = env.begin(MDB_RDONLY)?;
        match txn.get(key) {
            Ok(Some(found)) if found == value(key, 1, 6) => {}
            Ok(_) => return Err(format!("key {key} is missing or wrong, and nobody says so")),
            Err(_) => refused += 1,
        }
        txn.abort();
    }
    if refused > 0 { Ok(()) } else { Err("the pages were no leaves".into()) }
}

/// Where in a file extents of four pages begin: pages with their number, followed by pages without.
fn extents(bytes: &[u8]) -> Vec<usize> {
    let numbered =
        |page: usize| bytes.get(page * 4096..page * 4096 + 8) == Some(&(page as u64).to_ne_bytes()[..]);
    (2..(bytes.len() / 4096).saturating_sub(3))
        .filter(|page| numbered(*page) && !numbered(page + 1) && !numbered(page + 3))
        .collect()
}

/// A value's extent as it was before some changes is put back, where it was.
fn extent(folder: &Path) -> Outcome<()> {
    let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
    let mut states = Vec::new();
    for version in 1..=12 {
        let txn = env.begin(0)?;
        txn.put(1, &value(1, version, 2000))?;
        txn.commit()?;
        states.push(std::fs::read(file(folder)).map_err(|e| e.to_string())?);
    }
    env.close();
    let now = states.pop().ok_or("no state")?;
    let (mut tried, data) = (0, writable(folder)?);
    for before in &states {
        for page in extents(&now).into_iter().filter(|page| extents(before).contains(page)) {
            let range = page * 4096..(page + 4) * 4096;
            data.write_all_at(&now, 0).map_err(|e| e.to_string())?;
            data.write_all_at(&before[range.clone()], range.start as u64).map_err(|e| e.to_string())?;
            let env = Env::open(folder, Mode::Encrypted, 4096, 0)?;
            let txn = env.begin(MDB_RDONLY)?;
            match txn.get(1) {
                Ok(Some(found)) if found == value(1, 12, 2000) => {}
                Ok(_) => return Err("an old value or none, and nobody says so".into()),
                Err(_) => tried += 1,
            }
            txn.abort();
            env.close();
        }
    }
    if tried > 0 { Ok(()) } else { Err("the case did not replace the value".into()) }
}

/// The file ends too early.
fn truncated(folder: &Path) -> Outcome<()> {
    let env = many_pages(folder, 100_000, 4096)?;
    env.close();
    let data = writable(folder)?;
    let len = data.metadata().map_err(|e| e.to_string())?.len();
    data.set_len(len / 4096 * 4096 * 39 / 40).map_err(|e| e.to_string())?;
    let Ok(env) = Env::open(folder, Mode::Encrypted, 4096, MDB_RDONLY) else { return Ok(()) };
    let mut refused = 0;
    for key in 0..100_000 {
        let txn = env.begin(MDB_RDONLY)?;
        refused += u32::from(txn.get(key).is_err());
        txn.abort();
    }
    if refused > 0 { Ok(()) } else { Err("nothing was missing".into()) }
}

/// A flipped bit in an environment with checksums.
fn sums_read(folder: &Path) -> Outcome<()> {
    let env = Env::open(folder, Mode::Sums, 4096, 0)?;
    let txn = env.begin(0)?;
    for key in 0..1000 {
        txn.put(key, &value(key, 1, 6))?;
    }
    txn.commit()?;
    env.close();
    let data = writable(folder)?;
    for page in 2..12 {
        let mut byte = [0];
        data.read_exact_at(&mut byte, page * 4096 + 3000).map_err(|e| e.to_string())?;
        data.write_all_at(&[byte[0] ^ 1], page * 4096 + 3000).map_err(|e| e.to_string())?;
    }
    let env = Env::open(folder, Mode::Sums, 4096, 0)?;
    for key in 0..1000 {
        let txn = env.begin(MDB_RDONLY)?;
        match txn.get(key) {
            Ok(Some(found)) if found == value(key, 1, 6) => {}
            Ok(_) => return Err(format!("key {key} is wrong, and nobody says so")),
            Err(_) => {}
        }
        txn.abort();
    }
    Ok(())
}

/// An environment with checksums is opened by somebody who knows nothing of them.
fn sums_forgotten(folder: &Path) -> Outcome<()> {
    let env = Env::open(folder, Mode::Sums, 4096, 0)?;
    let txn = env.begin(0)?;
    txn.put(1, &value(1, 1, 6))?;
    txn.commit()?;
    env.close();
    match Env::open(folder, Mode::Plain, 4096, 0) {
        Ok(_) => Err("opened without its checksums".into()),
        Err(_) => Ok(()),
    }
}

/// More bytes of checksum than LMDB has room for.
fn sums_size() -> Outcome<()> {
    let mut env = null_mut();
    check(unsafe { api::mdb_env_create(&mut env) }, "create")?;
    match unsafe { api::mdb_env_set_checksum(env, Some(checksum), 257) } {
        0 => Err("257 bytes were taken".into()),
        _ => Ok(()),
    }
}

/// MDB_WRITEMAP and encryption.
fn writemap(folder: &Path) -> Outcome<()> {
    match Env::open(folder, Mode::Encrypted, 4096, api::MDB_WRITEMAP) {
        Ok(_) => Err("opened, without a word about the map".into()),
        Err(_) => Ok(()),
    }
}

/// LMDB's own compacting copy: right, or refused.
fn compact(folder: &Path) -> Outcome<()> {
    let env = Env::open(folder, Mode::Sums, 4096, if EDITED { 0 } else { api::MDB_REMAP_CHUNKS })?;
    let txn = env.begin(0)?;
    for key in 0..50 {
        txn.put(key, &value(key, 1, 300 * key as usize + 1))?;
    }
    txn.commit()?;
    let path = folder.join("copy");
    let name = CString::new(path.to_str().ok_or("no text")?).map_err(|e| e.to_string())?;
    if unsafe { api::mdb_env_copy2(env.env, name.as_ptr(), api::MDB_CP_COMPACT) } != 0 {
        return if EDITED { Ok(()) } else { Err("no copy, because of O_DIRECT".into()) };
    }
    let copy = Env::open_at(&path, Mode::Sums, 4096, 0)?;
    let (txn, mut tally) = (copy.begin(MDB_RDONLY)?, Tally::new());
    for key in 0..50 {
        tally.look(&txn, key, 1, 300 * key as usize + 1)?;
    }
    tally.outcome("in the copy")
}

/// A MAC for meta pages, which only the edited library has.
unsafe extern "C" fn meta_mac(
    _: *mut c_void,
    meta: *const c_void,
    len: usize,
    mac: *mut c_void,
    make: c_int,
) -> c_int {
    unsafe {
        let right = toy::sum(std::slice::from_raw_parts(meta.cast::<u8>(), len));
        if make != 0 {
            mac.cast::<[u8; 16]>().write_unaligned(right);
            return 0;
        }
        c_int::from(mac.cast::<[u8; 16]>().read_unaligned() != right)
    }
}

/// Flips bits in the meta pages. Each must be an error, or change nothing.
fn metas(folder: &Path) -> Outcome<()> {
    let open = |folder: &Path| -> Outcome<Env> {
        let path = file(folder);
        let mut env = null_mut();
        unsafe {
            check(api::mdb_env_create(&mut env), "create")?;
            check(
                api::mdb_env_set_encrypt(env, Some(encrypt), &val(b"toy"), toy::TAIL as c_uint),
                "encrypt",
            )?;
            if EDITED {
                check(
                    lmdb_sys::lumo_mdb_env_set_metamac(env.cast(), Some(meta_mac), null_mut(), 16),
                    "metamac",
                )?;
            }
            let name = CString::new(path.to_str().ok_or("no text")?).map_err(|e| e.to_string())?;
            let rc = api::mdb_env_open(env, name.as_ptr(), MDB_NOSUBDIR | MDB_NOTLS | MDB_NOSYNC, 0o600);
            if rc != 0 {
                api::mdb_env_close(env);
                return Err(message(rc));
            }
        }
        let mut opened = Env { env, dbi: 0 };
        let txn = opened.begin(0)?;
        let rc = unsafe { api::mdb_dbi_open(txn.txn, std::ptr::null(), MDB_INTEGERKEY, &mut opened.dbi) };
        check(rc, "dbi_open")?;
        txn.commit()?;
        Ok(opened)
    };
    let env = open(folder)?;
    for version in 1..=3 {
        let txn = env.begin(0)?;
        for key in 0..500 {
            txn.put(key, &value(key, version, 6))?;
        }
        if version == 2 {
            (0..100).try_for_each(|key| txn.del(key))?;
        }
        txn.commit()?;
    }
    env.close();
    let whole = std::fs::read(file(folder)).map_err(|e| e.to_string())?;
    let mut numbers = toy::Numbers(9);
    for trial in 0..400 {
        let (page, byte, bit) = (numbers.below(2) as usize, numbers.below(160) as usize, numbers.below(8));
        let mut changed = whole.clone();
        changed[page * 4096 + byte] ^= 1 << bit;
        let _ = std::fs::remove_file(folder.join("data-lock"));
        std::fs::write(file(folder), &changed).map_err(|e| e.to_string())?;
        let Ok(env) = open(folder) else { continue };
        let mut seen = std::collections::BTreeSet::new();
        let txn = env.begin(MDB_RDONLY)?;
        for key in 0..500 {
            match txn.get(key) {
                // The state before the last commit is one, too: that of a meta page that was torn.
                Ok(Some(found)) if found == value(key, 3, 6) => seen.insert(3),
                Ok(Some(found)) if found == value(key, 2, 6) && key >= 100 => seen.insert(2),
                Ok(None) if key < 100 => seen.insert(2),
                Ok(_) => {
                    return Err(format!("trial {trial}: byte {byte} of page {page}: key {key} is wrong"));
                }
                Err(_) => break,
            };
        }
        if seen.len() > 1 {
            return Err(format!("trial {trial}: byte {byte} of page {page}: half of each state"));
        }
        let mut stat = unsafe { std::mem::zeroed::<api::MDB_stat>() };
        unsafe { api::mdb_stat(txn.txn, txn.dbi, &mut stat) };
        if seen.len() == 1 && stat.ms_entries != if seen.contains(&3) { 500 } else { 400 } {
            return Err(format!("trial {trial}: byte {byte} of page {page}: {} entries", stat.ms_entries));
        }
        txn.abort();
        // It goes on, and what it then writes is right.
        let txn = env.begin(0)?;
        for key in 0..500 {
            if txn.put(key, &value(key, 4, 6)).is_err() {
                break;
            }
        }
        if txn.commit().is_ok() {
            let txn = env.begin(MDB_RDONLY)?;
            for key in 0..500 {
                match txn.get(key) {
                    Ok(Some(found)) if found == value(key, 4, 6) => {}
                    Ok(_) => {
                        return Err(format!("trial {trial}: byte {byte} of page {page}: written, and wrong"));
                    }
                    Err(_) => break,
                }
            }
            txn.abort();
        }
        env.close();
    }
    Ok(())
}
