use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn key(name: &str) -> Key {
    Key::of(&[name.as_bytes()])
}

/// A cache in a folder of its own, which lives as long as the first of the pair.
fn fresh() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("modules"));
    assert!(cache.disabled_reason().is_none(), "{:?}", cache.disabled_reason());
    (folder, cache)
}

fn file_of(cache: &Cache, key: &Key) -> PathBuf {
    cache.folder().unwrap().join(key.file_name())
}

fn file_count(cache: &Cache) -> usize {
    fs::read_dir(cache.folder().unwrap()).unwrap().count()
}

fn set_used(cache: &Cache, key: &Key, used: SystemTime) {
    fs::File::open(file_of(cache, key)).unwrap().set_modified(used).unwrap();
}

fn used(cache: &Cache, key: &Key) -> SystemTime {
    fs::metadata(file_of(cache, key)).unwrap().modified().unwrap()
}

#[test]
fn what_was_put_is_found() {
    let (_folder, cache) = fresh();
    for payload in [vec![], vec![7], vec![0; 100_000]] {
        let key = Key::of(&[&payload]);
        assert_eq!(cache.get(&key), None);
        cache.put(&key, &payload).unwrap();
        assert_eq!(cache.get(&key), Some(payload));
    }
    assert_eq!(cache.get(&key("another")), None);
    assert_eq!(file_count(&cache), 3);
}

#[test]
fn the_last_payload_wins() {
    let (_folder, cache) = fresh();
    cache.put(&key("a"), b"old and long").unwrap();
    cache.put(&key("a"), b"new").unwrap();
    assert_eq!(cache.get(&key("a")).unwrap(), b"new");
}

#[test]
fn a_part_removes_nothing_but_its_own() {
    let (_folder, cache) = fresh();
    cache.put(&key("a"), &[7; 1000]).unwrap();
    let part = cache.part("guests", 3000);
    assert_eq!(part.get(&key("a")), None);
    for name in ["b", "c", "d", "e"] {
        part.put(&key(name), &[8; 1000]).unwrap();
    }
    assert!(matches!(
        part.put(&key("f"), &[8; 3000]),
        Err(PutError::TooLarge { .. })
    ));
    assert_eq!(cache.get(&key("a")).unwrap(), [7; 1000]);
    assert!(part.get(&key("b")).is_none() && part.get(&key("e")).is_some());
    assert!(Cache::disabled().part("guests", 3000).disabled_reason().is_some());
}

#[test]
fn a_second_cache_in_the_folder_finds_the_entry() {
    let (folder, cache) = fresh();
    cache.put(&key("a"), b"payload").unwrap();
    assert_eq!(
        Cache::at(folder.path().join("modules")).get(&key("a")).unwrap(),
        b"payload"
    );
}

#[test]
fn damaged_entries_are_missing_and_deleted() {
    let (_folder, cache) = fresh();
    let key = key("a");
    let file = file_of(&cache, &key);
    cache.put(&key, b"some payload").unwrap();
    let intact = fs::read(&file).unwrap();
    assert_eq!(intact.len() as u64, entry::file_size(12));

    let check = |bytes: &[u8], what: &str| {
        fs::write(&file, bytes).unwrap();
        assert_eq!(cache.get(&key), None, "{what}");
        assert!(!file.exists(), "{what}");
    };
    for len in 0..intact.len() {
        check(&intact[..len], &format!("cut to {len} bytes"));
    }
    for at in 0..intact.len() {
        for bit in 0..8 {
            let mut bytes = intact.clone();
            bytes[at] ^= 1 << bit;
            check(&bytes, &format!("bit {bit} of byte {at} flipped"));
        }
    }
    check(&[&intact[..], &[0]].concat(), "one byte longer");
    check(&[&intact[..], &intact[..]].concat(), "twice");
    check(&vec![0; intact.len()], "zeros");

    fs::write(&file, &intact).unwrap();
    assert_eq!(cache.get(&key).unwrap(), b"some payload");
}

#[test]
fn an_entry_under_another_name_is_damaged() {
    let (_folder, cache) = fresh();
    cache.put(&key("a"), b"payload").unwrap();
    fs::copy(file_of(&cache, &key("a")), file_of(&cache, &key("b"))).unwrap();
    assert_eq!(cache.get(&key("b")), None);
    assert!(!file_of(&cache, &key("b")).exists());
    assert_eq!(cache.get(&key("a")).unwrap(), b"payload");
}

#[test]
fn what_is_not_a_file_is_missing() {
    let (folder, cache) = fresh();
    fs::create_dir(file_of(&cache, &key("folder"))).unwrap();
    assert_eq!(cache.get(&key("folder")), None);
    assert!(matches!(
        cache.put(&key("folder"), b"payload"),
        Err(PutError::Io { .. })
    ));

    let outside = folder.path().join("outside");
    cache.put(&key("link"), b"payload").unwrap();
    fs::rename(file_of(&cache, &key("link")), &outside).unwrap();
    std::os::unix::fs::symlink(&outside, file_of(&cache, &key("link"))).unwrap();
    assert_eq!(cache.get(&key("link")), None);
    assert!(outside.exists());
    // The failed write has left nothing behind.
    assert_eq!(file_count(&cache), 2);
}

#[test]
fn folder_and_files_are_private() {
    let (_folder, cache) = fresh();
    cache.put(&key("a"), b"payload").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(cache.folder().unwrap()), 0o700);
    assert_eq!(mode(&file_of(&cache, &key("a"))), 0o600);
}

#[test]
fn folders_that_others_can_write_to_are_refused() {
    for mode in [0o720, 0o702, 0o777, 0o1777] {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let cache = Cache::at(folder.path());
        assert!(
            matches!(cache.disabled_reason(), Some(Disabled::WritableByOthers { mode: found, .. }) if *found == mode),
            "{:?}",
            cache.disabled_reason()
        );
        cache.put(&key("a"), b"payload").unwrap();
        assert_eq!(cache.get(&key("a")), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn folders_of_other_users_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    // Only root can give a folder away; for all others the root folder belongs to another user.
    let foreign = match std::os::unix::fs::chown(folder.path(), Some(12345), None) {
        Ok(()) => folder.path(),
        Err(_) => Path::new("/"),
    };
    let cache = Cache::at(foreign);
    assert!(
        matches!(cache.disabled_reason(), Some(Disabled::ForeignOwner { .. })),
        "{:?}",
        cache.disabled_reason()
    );
}

#[test]
fn entries_of_other_users_are_missing() {
    let (_folder, cache) = fresh();
    cache.put(&key("a"), b"payload").unwrap();
    let file = file_of(&cache, &key("a"));
    // Only root can give a file away.
    if std::os::unix::fs::chown(&file, Some(12345), None).is_ok() {
        assert_eq!(cache.get(&key("a")), None);
        cache.put(&key("a"), b"own").unwrap();
        assert_eq!(cache.get(&key("a")).as_deref(), Some(&b"own"[..]));
    }
}

#[test]
fn a_link_to_a_folder_that_others_can_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (open, link) = (folder.path().join("open"), folder.path().join("link"));
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(&open, &link).unwrap();
    let cache = Cache::at(&link);
    assert!(matches!(
        cache.disabled_reason(),
        Some(Disabled::WritableByOthers { .. })
    ));
}

#[test]
fn a_folder_that_cannot_be_made_disables_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(
        Cache::at(&file).disabled_reason(),
        Some(Disabled::NotAFolder { .. })
    ));
    assert!(matches!(
        Cache::at(file.join("modules")).disabled_reason(),
        Some(Disabled::Io { .. })
    ));
}

#[test]
fn a_disabled_cache_forgets() {
    let cache = Cache::disabled();
    cache.put(&key("a"), b"payload").unwrap();
    assert_eq!(cache.get(&key("a")), None);
    assert_eq!(cache.folder(), None);
    assert_eq!(cache.disabled_reason().unwrap().to_string(), "the cache is off");
}

#[test]
fn a_folder_that_vanishes_is_an_error_and_a_miss() {
    let (folder, cache) = fresh();
    cache.put(&key("a"), b"payload").unwrap();
    folder.close().unwrap();
    assert_eq!(cache.get(&key("a")), None);
    assert!(matches!(cache.put(&key("a"), b"payload"), Err(PutError::Io { .. })));
}

/// Runs `f` with the file system rights of a user who is neither root nor the owner of anything here.
#[cfg(target_os = "linux")]
fn as_nobody(f: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: takes a number, touches no memory, and changes only how this thread is treated, which ends soon.
            unsafe { libc::setfsuid(65534) };
            f();
        });
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_to_still_serves() {
    let (folder, cache) = fresh();
    cache.put(&key("a"), b"payload").unwrap();
    set_used(&cache, &key("a"), SystemTime::now() - 2 * HOUR);
    // Readable for all: as root, the test has to become another user to be refused.
    fs::set_permissions(file_of(&cache, &key("a")), fs::Permissions::from_mode(0o444)).unwrap();
    for path in [cache.folder().unwrap(), folder.path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
    }
    as_nobody(|| {
        assert_eq!(cache.get(&key("a")).unwrap(), b"payload");
        let error = cache.put(&key("b"), b"payload").unwrap_err();
        assert!(
            matches!(&error, PutError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied),
            "{error:?}"
        );
        assert_eq!(cache.get(&key("b")), None);
    });
    assert_eq!(file_count(&cache), 1);
    // So that the folder can be removed.
    for path in [cache.folder().unwrap(), folder.path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn the_least_recently_used_go_first() {
    let (_folder, cache) = fresh();
    let size = entry::file_size(1000);
    let cache = cache.with_size_max(3 * size);
    let now = SystemTime::now();
    for (name, age) in [("old", 3), ("older", 4), ("oldest", 5)] {
        cache.put(&key(name), &[1; 1000]).unwrap();
        set_used(&cache, &key(name), now - age * HOUR);
    }
    // Used now, and therefore no longer the oldest.
    assert!(cache.get(&key("oldest")).is_some());
    cache.put(&key("new"), &[1; 1000]).unwrap();
    for (name, stays) in [("new", true), ("oldest", true), ("old", true), ("older", false)] {
        assert_eq!(cache.get(&key(name)).is_some(), stays, "{name}");
    }
    assert_eq!(file_count(&cache), 3);
}

#[test]
fn a_new_entry_drives_out_as_many_as_it_needs() {
    let (_folder, cache) = fresh();
    let cache = cache.with_size_max(entry::file_size(10_000));
    for name in ["a", "b", "c", "d"] {
        cache.put(&key(name), &[1; 1000]).unwrap();
        // In the future: even so a new entry must not drive itself out.
        set_used(&cache, &key(name), SystemTime::now() + HOUR);
    }
    cache.put(&key("large"), &[1; 10_000]).unwrap();
    assert_eq!(cache.get(&key("large")).unwrap(), [1; 10_000]);
    assert_eq!(file_count(&cache), 1);
}

#[test]
fn what_is_larger_than_the_cache_is_not_put() {
    let (_folder, cache) = fresh();
    let cache = cache.with_size_max(entry::file_size(1000));
    cache.put(&key("fits"), &[1; 1000]).unwrap();
    let error = cache.put(&key("too large"), &[1; 1001]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "an entry of 1049 bytes does not fit a cache of 1048 bytes"
    );
    assert!(cache.get(&key("fits")).is_some());
}

#[test]
fn only_entries_and_their_old_rests_are_removed() {
    let (_folder, cache) = fresh();
    let cache = cache.with_size_max(entry::file_size(10));
    let folder = cache.folder().unwrap().to_owned();
    let write = |name: &str, age: Duration| {
        fs::write(folder.join(name), [1; 1000]).unwrap();
        fs::File::open(folder.join(name))
            .unwrap()
            .set_modified(SystemTime::now() - age)
            .unwrap();
    };
    write("README", 100 * HOUR);
    write(".unfinished-1-1-1", 2 * HOUR);
    write(".unfinished-1-2-2", HOUR / 2);
    cache.put(&key("a"), &[1; 10]).unwrap();
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut expected = vec![
        "README".to_owned(),
        ".unfinished-1-2-2".to_owned(),
        key("a").file_name(),
    ];
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn a_hit_is_noted_once_an_hour() {
    let (_folder, cache) = fresh();
    cache.put(&key("a"), b"payload").unwrap();
    let now = SystemTime::now();
    let check = |before: SystemTime, renewed: bool| {
        set_used(&cache, &key("a"), before);
        assert!(cache.get(&key("a")).is_some());
        let after = used(&cache, &key("a"));
        assert_eq!(after != before, renewed, "{before:?}");
        assert!(
            !renewed || (after >= now - HOUR && after <= SystemTime::now() + HOUR),
            "{after:?}"
        );
    };
    check(now - HOUR / 2, false);
    check(now - 2 * HOUR, true);
    check(now + 2 * HOUR, true);
}

#[test]
fn eight_threads_share_a_folder() {
    let (_folder, cache) = fresh();
    // Too small for all entries, so that some are removed while others are read.
    let cache = cache.with_size_max(8 * entry::file_size(5000));
    let payload = |i: usize| vec![i as u8; 4000 + i * 10];
    let hits: usize = std::thread::scope(|scope| {
        let cache = &cache;
        let threads: Vec<_> = (0..8usize)
            .map(|thread| {
                scope.spawn(move || {
                    let mut hits = 0;
                    for round in 0..200 {
                        let i = (thread * 7 + round) % 16;
                        match cache.get(&Key::of(&[&[i as u8]])) {
                            Some(found) => {
                                assert_eq!(found, payload(i));
                                hits += 1;
                            }
                            None => cache.put(&Key::of(&[&[i as u8]]), &payload(i)).unwrap(),
                        }
                    }
                    hits
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(hits > 0);
    assert!(file_count(&cache) <= 16);
    for i in 0..16 {
        assert!(
            cache
                .get(&Key::of(&[&[i as u8]]))
                .is_none_or(|found| found == payload(i))
        );
    }
}

#[test]
fn the_users_folder_follows_the_environment() {
    let check = |vars: &[(&str, &str)], expected: Option<&str>| {
        let env = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
        assert_eq!(user_folder_from(env), expected.map(PathBuf::from), "{vars:?}");
    };
    check(&[], None);
    check(&[("HOME", "/home/me")], Some("/home/me/.cache/lunatic"));
    check(&[("HOME", "")], None);
    check(
        &[("HOME", "/home/me"), ("XDG_CACHE_HOME", "/fast")],
        Some("/fast/lunatic"),
    );
    check(
        &[("HOME", "/home/me"), ("XDG_CACHE_HOME", "relative")],
        Some("/home/me/.cache/lunatic"),
    );
    check(
        &[("LUNATIC_CACHE", "/mine"), ("XDG_CACHE_HOME", "/fast")],
        Some("/mine"),
    );
    check(
        &[("LUNATIC_CACHE", ""), ("XDG_CACHE_HOME", "/fast")],
        Some("/fast/lunatic"),
    );
    let here = std::env::current_dir().unwrap().join("mine");
    check(&[("LUNATIC_CACHE", "mine")], here.to_str());
}
