//! What both ciphers promise, and the tweaks that they are given.

use super::*;

fn key(cipher: LengthPreserving) -> Vec<u8> {
    (0..cipher.key_len()).map(|i| i as u8).collect()
}

fn under_its_key(cipher: LengthPreserving) -> Box<dyn LengthPreservingCipher> {
    instantiate_length_preserving(cipher, &key(cipher)).unwrap()
}

#[test]
fn names_lead_back_to_the_cipher() {
    for cipher in LengthPreserving::ALL {
        assert_eq!(LengthPreserving::from_name(cipher.name()), Some(cipher));
    }
    assert_eq!(LengthPreserving::from_name("aegis-256"), None);
}

/// The kind, then the number in big-endian order.
#[test]
fn adiantums_tweak_is_kind_and_number() {
    let bare = Adiantum::new(key(LengthPreserving::Adiantum)[..].try_into().unwrap());
    let (mut one, mut other) = ([7; 512], [7; 512]);
    under_its_key(LengthPreserving::Adiantum).encrypt(3, 0x0001_0203_0405_0607, &mut one);
    bare.encrypt(&[3, 0, 1, 2, 3, 4, 5, 6, 7], &mut other);
    assert_eq!(one, other);
}

/// The kind in the highest byte of the sector number.
#[test]
fn the_sector_of_xts_is_kind_and_number() {
    let bare = Aes256Xts::new(key(LengthPreserving::Aes256Xts)[..].try_into().unwrap());
    let (mut one, mut other) = ([7; 512], [7; 512]);
    under_its_key(LengthPreserving::Aes256Xts).encrypt(3, 0x0001_0203_0405_0607, &mut one);
    bare.encrypt(0x0301_0203_0405_0607, &mut other);
    assert_eq!(one, other);
}

#[test]
fn a_block_decrypts_only_in_its_place() {
    for cipher in LengthPreserving::ALL {
        let instance = under_its_key(cipher);
        let plain: Vec<u8> = (0..4096).map(|i| (i % 251) as u8).collect();
        let mut block = plain.clone();
        instance.encrypt(1, 5, &mut block);
        let decrypted = |kind, number| {
            let mut block = block.clone();
            instance.decrypt(kind, number, &mut block);
            block
        };
        assert_eq!(decrypted(1, 5), plain, "{}", cipher.name());
        assert_ne!(decrypted(1, 6), plain, "{}", cipher.name());
        assert_ne!(decrypted(2, 5), plain, "{}", cipher.name());
    }
}

#[test]
fn what_it_takes_it_encrypts() {
    for cipher in LengthPreserving::ALL {
        let instance = under_its_key(cipher);
        for len in (0..100).filter(|len| cipher.takes(*len)).chain([512, 1024, 4096, 65_536]) {
            let mut block = vec![3; len];
            instance.encrypt(1, 0, &mut block);
            assert_ne!(block, vec![3; len], "{} of {len}", cipher.name());
            instance.decrypt(1, 0, &mut block);
            assert_eq!(block, vec![3; len], "{} of {len}", cipher.name());
        }
        assert!((0..16).all(|len| !cipher.takes(len)) && cipher.takes(16));
    }
    assert!(LengthPreserving::Adiantum.takes(17) && !LengthPreserving::Aes256Xts.takes(17));
}

#[test]
fn keys_of_other_lengths_are_refused() {
    for cipher in LengthPreserving::ALL {
        for len in
            [0, 16, 31, 33, 63, 65].into_iter().chain([32, 64].into_iter().filter(|l| *l != cipher.key_len()))
        {
            let fault = instantiate_length_preserving(cipher, &vec![1; len]).err().expect("refused");
            assert_eq!(fault.class, FaultClass::InvalidArgument);
            assert!(fault.message.contains(&cipher.key_len().to_string()), "{fault}");
        }
    }
}

#[test]
fn equal_halves_of_an_xts_key_are_refused() {
    let mut key = [9; xts::KEY_LEN];
    let fault = instantiate_length_preserving(LengthPreserving::Aes256Xts, &key).err().expect("refused");
    assert_eq!(fault.class, FaultClass::InvalidArgument);
    assert!(fault.message.contains("halves"), "{fault}");
    key[63] ^= 1;
    assert!(instantiate_length_preserving(LengthPreserving::Aes256Xts, &key).is_ok());
}

#[test]
#[should_panic(expected = "room for the kind")]
fn a_number_that_would_change_the_kind_is_refused() {
    under_its_key(LengthPreserving::Aes256Xts).encrypt(1, 1 << 56, &mut [0; 512]);
}
