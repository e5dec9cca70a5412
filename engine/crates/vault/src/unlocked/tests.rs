use std::os::unix::fs::symlink;

use super::*;

fn labelled(label: &str) -> OpenOptions {
    OpenOptions { label: Some(label.to_owned()), ..OpenOptions::default() }
}

fn label_of(path: &Path, asked: Option<&Path>) -> Option<String> {
    find(path, asked).and_then(|found| found.options.label)
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("lumocrypt-unlocked-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir.canonicalize().unwrap()
}

#[test]
fn a_path_is_known_by_all_its_names() {
    let dir = scratch("names");
    std::fs::create_dir(dir.join("real")).unwrap();
    symlink(dir.join("real"), dir.join("link")).unwrap();
    let (direct, linked) = (dir.join("real/new.db"), dir.join("link/../link/new.db"));
    assert!(find(&direct, None).is_none());
    insert(&linked, labelled("path"), None);
    assert_eq!(label_of(&direct, None).as_deref(), Some("path"));
    std::fs::write(&direct, b"").unwrap();
    assert!(find(&linked, None).is_some());
    assert!(remove(&direct));
    assert!(!remove(&linked));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_link_swapped_in_does_not_hide_the_name() {
    let dir = scratch("swapped");
    let (app, alias, other) = (dir.join("app.db"), dir.join("alias.db"), dir.join("other.db"));
    std::fs::write(&app, b"one").unwrap();
    std::fs::write(&other, b"other").unwrap();
    symlink(&app, &alias).unwrap();
    insert(&app, labelled("app"), None);
    std::fs::remove_file(&app).unwrap();
    symlink(&other, &app).unwrap();
    // What SQLite opens is the end of the link, and what it was asked for the beginning.
    assert_eq!(label_of(&other, Some(&app)).as_deref(), Some("app"));
    assert_eq!(label_of(&other, Some(&alias)).as_deref(), Some("app"), "a link to the link");
    assert_eq!(label_of(&other, Some(&dir.join("./x/../app.db"))).as_deref(), Some("app"));
    assert_eq!(label_of(&other, None).as_deref(), Some("app"), "the unlocked name leads there");
    assert!(remove(&app));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_folder_swapped_does_not_hide_the_name() {
    let dir = scratch("folder");
    for name in ["real", "evil"] {
        std::fs::create_dir(dir.join(name)).unwrap();
        std::fs::write(dir.join(name).join("app.db"), name).unwrap();
    }
    symlink(dir.join("real"), dir.join("link")).unwrap();
    insert(&dir.join("link/app.db"), labelled("app"), None);
    std::fs::remove_file(dir.join("link")).unwrap();
    symlink(dir.join("evil"), dir.join("link")).unwrap();
    assert!(find(&dir.join("evil/app.db"), Some(&dir.join("link/app.db"))).is_some());
    assert!(find(&dir.join("real/app.db"), None).is_some());
    assert!(remove(&dir.join("real/app.db")));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn hard_links_are_the_same_file() {
    let dir = scratch("hard");
    let (app, other) = (dir.join("app.db"), dir.join("other.db"));
    std::fs::write(&app, b"one").unwrap();
    insert(&app, labelled("app"), None);
    std::fs::hard_link(&app, &other).unwrap();
    assert!(find(&other, None).is_some());
    assert!(find(&dir.join("third.db"), None).is_none());
    assert!(remove(&app));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn unlocking_again_keeps_what_was_promised() {
    let dir = scratch("again");
    let (app, link) = (dir.join("app.db"), dir.join("link.db"));
    std::fs::write(&app, b"one").unwrap();
    symlink(&app, &link).unwrap();
    insert(&link, labelled("first"), Some([1; 16]));
    insert(&app, labelled("second"), Some([2; 16]));
    assert_eq!(label_of(&link, None).as_deref(), Some("second"));
    std::fs::remove_file(&link).unwrap();
    std::fs::write(&link, b"other").unwrap();
    assert_eq!(find(&link, None).unwrap().uuid, Some([2; 16]));
    assert!(remove(&link));
    assert!(find(&app, None).is_none());
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_first_database_binds_and_a_new_one_in_its_place_does() {
    let dir = scratch("bind");
    let app = dir.join("app.db");
    insert(&app, labelled("app"), None);
    let number = find(&app, None).unwrap().number;
    for (uuid, anew, expected) in [([1; 16], false, 1), ([2; 16], false, 1), ([3; 16], true, 3)] {
        bind(number, uuid, anew);
        assert_eq!(find(&app, None).unwrap().uuid, Some([expected; 16]));
    }
    assert!(remove(&app));
    std::fs::remove_dir_all(dir).unwrap();
}
