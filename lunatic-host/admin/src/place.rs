//! The sockets of programs: where they are, and how to find one.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rustix::process::getuid;

/// Returns the folder of the user's sockets: `$XDG_RUNTIME_DIR/lunatic`, or `lunatic-UID` in the folder for temporary
/// files.
#[must_use]
pub fn folder() -> PathBuf {
    match env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => Path::new(&folder).join("lunatic"),
        None => env::temp_dir().join(format!("lunatic-{}", getuid().as_raw())),
    }
}

/// Returns the default socket of the program with this process id.
#[must_use]
pub fn path_of(pid: u32) -> PathBuf {
    folder().join(format!("{pid}.sock"))
}

/// Returns the sockets that `which` can mean: a path, or a process id; with `None`, all sockets of the user.
///
/// # Errors
///
/// If the folder of the sockets exists and cannot be read, or if it is another user's, who could put sockets there that
/// imitate a program. A path is not checked.
pub fn find(which: Option<&str>) -> io::Result<Vec<PathBuf>> {
    let Some(which) = which else {
        return sockets_in(&folder(), getuid().as_raw());
    };
    let Ok(pid) = which.parse() else {
        return Ok(vec![which.into()]);
    };
    check_owner(&folder(), getuid().as_raw())?;
    Ok(vec![path_of(pid)])
}

/// Checks that a folder, if it exists, belongs to this user: in the folder for temporary files, anybody may make it.
pub(crate) fn check_owner(folder: &Path, user: u32) -> io::Result<()> {
    let found = match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    match found.is_dir() && found.uid() == user {
        true => Ok(()),
        // Also a link, whose target its owner may change.
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} belongs to another user, or is a link; set `XDG_RUNTIME_DIR` to a folder of your own, or give the path of the socket",
                folder.display()
            ),
        )),
    }
}

fn sockets_in(folder: &Path, user: u32) -> io::Result<Vec<PathBuf>> {
    check_owner(folder, user)?;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut sockets = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "sock") {
            sockets.push(path);
        }
    }
    sockets.sort();
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_another_user_is_not_searched() {
        let user = getuid().as_raw();
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("1.sock"), "").unwrap();
        fs::write(own.join("other"), "").unwrap();
        assert_eq!(sockets_in(&own, user).unwrap(), [own.join("1.sock")]);
        assert_eq!(
            sockets_in(&folder.path().join("none"), user).unwrap(),
            [""; 0].map(PathBuf::from)
        );
        let error = sockets_in(&own, user + 1).unwrap_err();
        assert!(error.to_string().contains("belongs to another user"), "{error}");
        // A link is somebody's who may let it lead elsewhere.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        let error = sockets_in(&link, user).unwrap_err();
        assert!(error.to_string().contains("belongs to another user"), "{error}");
    }
}
