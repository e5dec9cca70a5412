use proptest::prelude::*;

use super::*;
use storage::MemoryFile;

#[derive(Clone, Debug)]
enum Step {
    Write { at: u64, len: usize, fill: u8 },
    Truncate { size: u64 },
    Read { at: u64, len: usize },
    Sync,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u64..200_000, 1usize..70_000, 1u8..).prop_map(|(at, len, fill)| Step::Write { at, len, fill }),
        3 => (0u64..40, 1u8..).prop_map(|(page, fill)| Step::Write { at: page * 4096, len: 4096, fill }),
        2 => (0u64..250_000, 1usize..20_000).prop_map(|(at, len)| Step::Read { at, len }),
        1 => (0u64..250_000).prop_map(|size| Step::Truncate { size }),
        1 => Just(Step::Sync),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any sequence of writes and cuts reads back like a plain file, and nothing of it is on disk in clear.
    #[test]
    fn reads_back_what_was_written(steps in steps()) {
        let mut file = TempFile::new(SuiteId::DEFAULT, FileKind::TempDb).unwrap();
        let (mut storage, mut model) = (MemoryFile::default(), Vec::new());
        for step in steps {
            match step {
                Step::Write { at, len, fill } => {
                    file.write(&mut storage, &vec![fill; len], at).unwrap();
                    let end = at as usize + len;
                    if model.len() < end {
                        model.resize(end, 0);
                    }
                    model[at as usize..end].fill(fill);
                }
                Step::Truncate { size } => {
                    file.truncate(&mut storage, size).unwrap();
                    model.resize(size as usize, 0);
                }
                Step::Read { at, len } => {
                    let mut buf = vec![0xaa; len];
                    let complete = file.read(&mut storage, &mut buf, at).unwrap();
                    let have = model.len().saturating_sub(at as usize).min(len);
                    prop_assert_eq!(complete, have == len);
                    prop_assert_eq!(&buf[..have], &model[model.len().min(at as usize)..][..have]);
                    prop_assert!(buf[have..].iter().all(|byte| *byte == 0));
                }
                Step::Sync => file.sync(&mut storage, 2).unwrap(),
            }
            prop_assert_eq!(file.size(), model.len() as u64);
        }
        let mut content = vec![0; model.len()];
        prop_assert!(file.read(&mut storage, &mut content, 0).unwrap());
        prop_assert_eq!(content, model);
        for window in storage.bytes.windows(24).step_by(7) {
            prop_assert!(window.iter().any(|byte| *byte != window[0]), "a run of one byte is on disk");
        }
    }
}

#[test]
fn two_files_never_share_a_key() {
    let mut first = TempFile::new(SuiteId::DEFAULT, FileKind::TempDb).unwrap();
    let mut second = TempFile::new(SuiteId::DEFAULT, FileKind::TempDb).unwrap();
    let mut storage = MemoryFile::default();
    first.write(&mut storage, &[5; 4096], 0).unwrap();
    first.sync(&mut storage, 2).unwrap();
    second.write(&mut MemoryFile::default(), &[5; 4096], 0).unwrap();
    second.sync(&mut MemoryFile::default(), 2).unwrap();
    let fault = second.read(&mut storage, &mut [0; 4096], 0).unwrap_err();
    assert_eq!((fault.class, fault.kind), (FaultClass::Tampered, Some(FileKind::TempDb)));
}
