use super::*;
use ground::error::FileKind;
use sqlite::format::geometry::Geometry;
use std::sync::Arc;
use storage::MemoryFile;
use vault::create::{self, CreateOptions};
use vault::file_keys::NO_CONTEXT;
use vault::material::Key;

const BLOCK: u32 = 1024;

/// A database of four blocks, the first with SQLite's header for pages of `page_size` bytes.
fn database(page_size: u16, mark_unit: Option<usize>) -> (MemoryFile, OpenOptions) {
    let key = Arc::new(Key::raw(&[7; 32]).unwrap());
    let options = CreateOptions { block_size: BLOCK, ..CreateOptions::default() };
    let (region, keys, superblock) = create::database(Some(&key), &options).unwrap();
    let sealer = keys.sealer(FileKind::MainDb).unwrap();
    let geometry = Geometry::new(superblock.block_size, sealer.overhead());
    let mut file = MemoryFile::default();
    file.write(&region, 0).unwrap();
    for index in 0..4u64 {
        let mut plain = vec![index as u8 + 1; BLOCK as usize];
        if index == 0 {
            plain[..16].copy_from_slice(MAGIC);
            plain[16..18].copy_from_slice(&page_size.to_be_bytes());
            plain[24..96].fill(0);
        }
        if let (2, Some(unit)) = (index, mark_unit) {
            let mark = LostMarks::new(&keys, BLOCK as usize).unwrap().of_unit(unit);
            plain[unit * COVER..(unit + 1) * COVER].copy_from_slice(&mark);
        }
        let mut sealed = vec![0; plain.len() + sealer.overhead()];
        sealer.seal(index, &NO_CONTEXT, &plain, &mut sealed).unwrap();
        file.write(&sealed, geometry.slot_offset(index)).unwrap();
    }
    (file, OpenOptions { key: Some(key), ..OpenOptions::default() })
}

fn open(file: MemoryFile, options: &OpenOptions) -> Image {
    let files = ImageFiles { main: Box::new(file), wal: None, journal: None };
    Image::open(files, options, "x.db", &|_| false).unwrap()
}

fn sources(image: &mut Image) -> Vec<Source> {
    let mut page = vec![0; image.page_size() as usize];
    (0..=image.page_count + 1).map(|number| image.page(number, &mut page).unwrap()).collect()
}

#[test]
fn pages_count_from_one_and_end_where_the_file_does() {
    use Source::{Main, Unreadable};
    let (file, options) = database(1024, None);
    let mut image = open(file, &options);
    assert_eq!((image.page_size, image.page_count), (1024, 4));
    assert_eq!(sources(&mut image), [Unreadable, Main, Main, Main, Main, Unreadable]);
}

#[test]
fn a_changed_block_costs_the_pages_in_it_and_no_others() {
    use Source::{Main, Unreadable};
    let (mut file, options) = database(512, None);
    let at = Geometry::new(BLOCK, 40).slot_offset(2) as usize;
    file.bytes[at + 5] ^= 1;
    let mut image = open(file.clone(), &options);
    assert_eq!(image.page_count, 8);
    assert_eq!(
        sources(&mut image),
        [Unreadable, Main, Main, Main, Main, Unreadable, Unreadable, Main, Main, Unreadable]
    );
    let mut page = vec![9; 512];
    image.page(5, &mut page).unwrap();
    assert_eq!(page, [0; 512], "what did not authenticate stays inside");
    // A page of several blocks needs all of them.
    let (mut file, options) = database(2048, None);
    file.bytes[at + 5] ^= 1;
    let mut image = open(file, &options);
    assert_eq!(sources(&mut image), [Unreadable, Main, Unreadable, Unreadable]);
}

#[test]
fn a_unit_that_is_marked_as_lost_is_not_readable() {
    use Source::{Main, Unreadable};
    let (file, options) = database(512, Some(1));
    let mut image = open(file, &options);
    assert_eq!(sources(&mut image)[5..7], [Main, Unreadable]);
}

#[test]
fn a_relative_opens_with_the_same_keys() {
    let (file, options) = database(1024, None);
    let image = open(file, &options);
    let mut copy = MemoryFile::default();
    image.relative(&mut copy).unwrap();
    let opened = Unlocked::open(&mut copy, &options, "y.db").unwrap();
    assert_eq!(opened.size, 0);
    assert_eq!(opened.superblock.key_id, image.blocks.file.superblock.key_id);
    assert_ne!(opened.superblock.uuid, image.blocks.file.superblock.uuid);
}

#[test]
fn a_number_of_pages_is_believed_as_far_as_the_files_bear_it_out() {
    assert_eq!(believed(100, 100, 0, 0), 100);
    // Cut, or grown in a log of which the last page is not the only one.
    assert_eq!(believed(100, 3, 0, 0), 100);
    assert_eq!(believed(200_000, 2, 10, 200_000), 200_000);
    assert_eq!(believed(900_000, 2, 300_000, 900_000), 900_000);
    for (count, highest) in [(u32::MAX, 0), (u32::MAX, u32::MAX), (u32::MAX, u32::MAX - 1)] {
        assert!(believed(count, 10, 10, highest) <= MOST_UNSEEN);
    }
}
