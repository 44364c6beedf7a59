//! Where the sockets of programs are, and how one is found.

use std::io;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rustix::process::getuid;

/// The folder of the user's sockets: `$XDG_RUNTIME_DIR/lunatic`, or `/tmp/lunatic-UID`.
#[must_use]
pub fn folder() -> PathBuf {
    match env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => Path::new(&folder).join("lunatic"),
        None => env::temp_dir().join(format!("lunatic-{}", getuid().as_raw())),
    }
}

/// The socket of the program with this process id, unless it was given another path.
#[must_use]
pub fn path_of(pid: u32) -> PathBuf {
    folder().join(format!("{pid}.sock"))
}

/// The sockets that `which` may mean: the path of one, or the id of a process; all of the user's if it is `None`.
///
/// # Errors
///
/// If the folder of the sockets is there and cannot be read.
pub fn find(which: Option<&str>) -> io::Result<Vec<PathBuf>> {
    if let Some(which) = which {
        return Ok(vec![match which.parse() {
            Ok(pid) => path_of(pid),
            Err(_) => which.into(),
        }]);
    }
    let entries = match fs::read_dir(folder()) {
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
