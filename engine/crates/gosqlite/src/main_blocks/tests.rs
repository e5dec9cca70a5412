use super::super::header::judge;
use super::super::tests::{cipher_of, encrypted};
use super::*;
use crate::header;
use crypto::LengthPreserving;
use ground::error::FaultClass;

/// A database as SQLite leaves it: a schema, a leaf with text, overflow pages with what looks like noise, a free page.
fn database(page_size: usize, pages: usize) -> Vec<u8> {
    let mut noise = 1u64;
    let mut plain = vec![0; page_size * pages];
    for (number, page) in plain.chunks_exact_mut(page_size).enumerate() {
        let start = if number == 0 { 100 } else { 0 };
        match number % 3 {
            0 => {
                page[start] = 13;
                let end = page_size as u16 - 40;
                page[start + 3..start + 7].copy_from_slice(&[0, 1, (end >> 8) as u8, end as u8]);
                page[page_size - 40..].fill(b'x');
            }
            1 => {
                page[..4].copy_from_slice(&(number as u32 % 2).to_be_bytes());
                for byte in &mut page[4..] {
                    noise = noise.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    *byte = (noise >> 56) as u8;
                }
            }
            _ => {}
        }
    }
    plain[..16].copy_from_slice(b"SQLite format 3\0");
    plain[16..18].copy_from_slice(&u16::try_from(page_size).unwrap_or(1).to_be_bytes());
    plain[28..32].copy_from_slice(&(pages as u32).to_be_bytes());
    plain
}

#[test]
fn the_blocks_of_a_main_file_need_not_be_its_pages() {
    for algorithm in LengthPreserving::ALL {
        let cipher = cipher_of(algorithm, 3);
        for own in sizes() {
            for page_size in sizes() {
                let mut bytes = encrypted(&cipher, FileKind::MainDb, own, &database(page_size, 12));
                bytes.truncate(header::sample_len(algorithm));
                for given in sizes() {
                    let judged = judge(&cipher, algorithm, &bytes, given);
                    if given == own {
                        assert_eq!(judged.unwrap(), page_size, "{algorithm:?} {own} {page_size}");
                        continue;
                    }
                    let fault = judged.unwrap_err();
                    assert_eq!(fault.class, FaultClass::UnsupportedFormat);
                    assert!(
                        fault.message.contains(&format!("make the VFS with page_size={own}")),
                        "{algorithm:?} {own} {page_size} {given}: {}",
                        fault.message
                    );
                }
            }
        }
    }
}

#[test]
fn noise_proves_nothing() {
    let cipher = cipher_of(LengthPreserving::Aes256Xts, 3);
    let bytes = encrypted(&cipher_of(LengthPreserving::Adiantum, 1), FileKind::MainDb, 512, &[1; 131072]);
    for size in sizes() {
        assert_eq!(find(&cipher, &bytes, size), None);
    }
}
