//! Key derivation against published vectors, and its behaviour at the edges.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;

use super::*;
use crate::vectors::{hex, load};

#[derive(Deserialize)]
struct HkdfTest {
    name: String,
    ikm: String,
    salt: String,
    info: String,
    okm: String,
}

fn check_hkdf(test: &HkdfTest) {
    let (info, okm) = (hex(&test.info), hex(&test.okm));
    for cut in [0, info.len() / 3, info.len()] {
        let mut out = vec![0; okm.len()];
        hkdf_sha256(&hex(&test.ikm), &hex(&test.salt), &[&info[..cut], &info[cut..]], &mut out);
        assert_eq!(out, okm, "{}", test.name);
    }
}

/// RFC 5869, appendix A.1 to A.3.
#[test]
fn hkdf_of_rfc_5869() {
    let range = |from: u8, to: u8| (from..=to).map(|b| format!("{b:02x}")).collect::<String>();
    let cases = [
        (
            "0b".repeat(22),
            range(0, 0x0c),
            range(0xf0, 0xf9),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            range(0, 0x4f),
            range(0x60, 0xaf),
            range(0xb0, 0xff),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            "0b".repeat(22),
            String::new(),
            String::new(),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ];
    for (i, (ikm, salt, info, okm)) in cases.into_iter().enumerate() {
        check_hkdf(&HkdfTest { name: format!("case {}", i + 1), ikm, salt, info, okm: okm.into() });
    }
}

#[test]
fn hkdf_of_wycheproof() {
    let tests: Vec<HkdfTest> = load(include_str!("../../tests/vectors/wycheproof-hkdf-sha256.json"));
    assert!(tests.len() > 20);
    tests.iter().for_each(check_hkdf);
}

/// RFC 4231, sections 4.2 to 4.5, 4.7 and 4.8 (4.6 is about truncated output).
#[test]
fn hmac_of_rfc_4231() {
    let cases: [(Vec<u8>, Vec<u8>, &str); 6] = [
        (
            vec![0x0b; 20],
            b"Hi There".to_vec(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?".to_vec(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            vec![0xaa; 20],
            vec![0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            (1..=25).collect(),
            vec![0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            vec![0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            vec![0xaa; 131],
            b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to \
              be hashed before being used by the HMAC algorithm."
                .to_vec(),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ];
    for (key, message, tag) in cases {
        assert_eq!(hmac_sha256(&key, &message)[..], hex(tag));
    }
}

#[test]
fn hmac_of_wycheproof() {
    #[derive(Deserialize)]
    struct HmacTest {
        name: String,
        key: String,
        msg: String,
        tag: String,
        valid: bool,
    }
    let tests: Vec<HmacTest> = load(include_str!("../../tests/vectors/wycheproof-hmac-sha256.json"));
    assert!(tests.len() > 20);
    for test in tests {
        let tag = hmac_sha256(&hex(&test.key), &hex(&test.msg));
        assert_eq!(equal(&tag, &hex(&test.tag)), test.valid, "{}", test.name);
    }
}

/// FIPS 180-4, the examples "abc" and the empty message.
#[test]
fn sha256_of_fips_180() {
    assert_eq!(sha256(b"abc")[..], hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    assert_eq!(sha256(b"")[..], hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

#[test]
fn equal_compares_lengths_too() {
    assert!(equal(b"", b""));
    assert!(equal(b"abc", b"abc"));
    assert!(!equal(b"abc", b"abd"));
    assert!(!equal(b"abc", b"ab"));
}

/// RFC 9106, section 5.3, through the same memory and threads as every derivation.
#[test]
fn argon2id_of_rfc_9106() {
    let params = argon2::ParamsBuilder::new()
        .m_cost(32)
        .t_cost(3)
        .p_cost(4)
        .data(argon2::AssociatedData::new(&[4; 12]).unwrap())
        .output_len(32)
        .build()
        .unwrap();
    let hasher = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
    let key: Secret<32> = run_argon2(&hasher, &[1; 32], &[2; 16]).unwrap();
    assert_eq!(key.expose()[..], hex("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"));
}

/// The test program of the reference implementation (phc-winner-argon2, `src/test.c`).
#[test]
fn argon2id_of_the_reference_implementation() {
    let cases = [
        (1, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"),
        (2, "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"),
    ];
    for (p, expected) in cases {
        let key = argon2id::<32>(b"password", b"somesalt", Argon2Cost { t: 2, m_kib: 256, p }).unwrap();
        assert_eq!(key.expose()[..], hex(expected), "{p} lanes");
    }
}

#[test]
fn impossible_costs_are_refused() {
    let good = Argon2Cost { t: 1, m_kib: 64, p: 2 };
    let class = |salt: &[u8], cost| argon2id::<32>(b"x", salt, cost).unwrap_err().class;
    assert!(argon2id::<32>(b"", &[0; 16], good).is_ok());
    assert_eq!(class(&[0; 7], good), FaultClass::InvalidArgument);
    for bad in [Argon2Cost { t: 0, ..good }, Argon2Cost { p: 0, ..good }, Argon2Cost { m_kib: 15, ..good }] {
        assert_eq!(class(&[0; 16], bad), FaultClass::InvalidArgument, "{bad:?}");
    }
}

/// Without threads of its own the derivation would hang in the child once the parent has derived a key.
#[test]
#[cfg(target_os = "linux")]
fn a_forked_child_can_derive_keys() {
    let cost = Argon2Cost { t: 1, m_kib: 64, p: 2 };
    let expected = *argon2id::<32>(b"x", &[0; 16], cost).unwrap().expose();
    // SAFETY: the C library's own locks are safe across `fork`; the child leaves with `_exit`, and an alarm
    // ends it if it hangs.
    let status = unsafe {
        let child = libc::fork();
        assert!(child >= 0);
        if child == 0 {
            libc::alarm(20);
            let same = argon2id::<32>(b"x", &[0; 16], cost).is_ok_and(|key| *key.expose() == expected);
            libc::_exit(if same { 0 } else { 1 });
        }
        let mut status = 0;
        libc::waitpid(child, &mut status, 0);
        status
    };
    assert_eq!(status, 0, "wait status of the child");
}

#[test]
fn threads_are_waited_for() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    let mut threads = Threads(Vec::new());
    for _ in 0..4 {
        let body = || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            ENDED.fetch_add(1, Ordering::SeqCst);
        };
        threads.start(body).unwrap();
    }
    drop(threads);
    assert_eq!(ENDED.load(Ordering::SeqCst), 4);
}

#[test]
fn a_thread_may_derive_alone_and_with_others_afterwards() {
    let cost = Argon2Cost { t: 1, m_kib: 256, p: 4 };
    let expected = *argon2id::<32>(b"x", &[0; 16], cost).unwrap().expose();
    for _ in 0..3 {
        let derived = alone(|| {
            let params = Params::new(cost.m_kib, cost.t, cost.p, Some(32)).unwrap();
            let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let mut key = [0; 32];
            hasher.hash_password_into(b"x", &[0; 16], &mut key).map(|()| key)
        });
        assert_eq!(derived.unwrap().unwrap(), expected);
        assert_eq!(*argon2id::<32>(b"x", &[0; 16], cost).unwrap().expose(), expected);
    }
}
