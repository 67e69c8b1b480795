//! The digest key that the folder keeps.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Barrier;

use introspectd::store::embedded::EmbeddedStore;
use introspectd::store::embedded::key::{KEY_FILE, KeyError, load_or_create_key};
use introspectd::token::time::Clock;

use crate::common::START;

fn write(folder: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::write(folder.join(KEY_FILE), content).unwrap();
    fs::set_permissions(folder.join(KEY_FILE), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_is_made_once_for_its_owner_alone_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let key = load_or_create_key(&store).unwrap();
    assert_eq!(key.expose().len(), 43);
    assert_eq!(fs::metadata(store.join(KEY_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&store).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(load_or_create_key(&store).unwrap().expose(), key.expose());
    let names: Vec<_> = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [KEY_FILE], "nothing else is left behind");

    let other = tempfile::tempdir().unwrap();
    assert_ne!(load_or_create_key(other.path()).unwrap().expose(), key.expose());
}

#[test]
fn a_key_that_others_can_read_or_write_is_refused() {
    for mode in [0o640, 0o604, 0o620, 0o602, 0o660, 0o644] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "k".repeat(43), mode);
        let error = load_or_create_key(folder.path()).unwrap_err();
        assert!(matches!(error, KeyError::Exposed { mode: found, .. } if found == mode), "{mode:o}: {error}");
    }
}

#[test]
fn a_key_that_is_short_or_long_or_not_text_is_refused_and_kept() {
    let (cut, spaced, long) = ("k".repeat(42), format!("{} {}", "k".repeat(30), "k".repeat(30)), "k".repeat(1025));
    let contents: [&[u8]; 6] = [b"", b"\n", cut.as_bytes(), spaced.as_bytes(), long.as_bytes(), &[0xFF; 43]];
    for content in contents {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), content, 0o600);
        let error = load_or_create_key(folder.path()).unwrap_err();
        assert!(matches!(error, KeyError::Invalid { .. }), "{content:?}: {error}");
        assert_eq!(fs::read(folder.path().join(KEY_FILE)).unwrap(), content);
    }
}

#[test]
fn a_line_break_at_the_end_does_not_belong_to_the_key() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), format!("{}\r\n", "k".repeat(43)), 0o400);
    assert_eq!(load_or_create_key(folder.path()).unwrap().expose(), "k".repeat(43));
}

#[test]
fn a_database_without_its_key_is_not_given_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let key = load_or_create_key(folder.path()).unwrap();
    drop(EmbeddedStore::open(folder.path(), Clock::manual(START)).unwrap());
    assert_eq!(load_or_create_key(folder.path()).unwrap().expose(), key.expose());
    fs::remove_file(folder.path().join(KEY_FILE)).unwrap();
    let error = load_or_create_key(folder.path()).unwrap_err();
    assert!(matches!(error, KeyError::Missing { .. }), "{error}");
    assert!(!folder.path().join(KEY_FILE).exists());
}

#[test]
fn those_who_make_the_key_at_the_same_time_get_the_same_one() {
    const MAKERS: usize = 8;
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let start = Barrier::new(MAKERS);
        let make = || {
            start.wait();
            load_or_create_key(folder.path()).unwrap().expose().to_owned()
        };
        let keys: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..MAKERS).map(|_| scope.spawn(make)).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }
}

#[test]
fn errors_about_a_key_never_show_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "hunter2-hunter2-hunter2", 0o600);
    let error = load_or_create_key(folder.path()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
