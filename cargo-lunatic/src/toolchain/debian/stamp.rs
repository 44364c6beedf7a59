//! Records which compiler a toolchain was made with, so that finding it again starts no process.

use std::path::Path;
use std::time::UNIX_EPOCH;

/// Changes with [`super::layout`], so that toolchains with an older layout are made again.
const LAYOUT_VERSION: u32 = 1;

const FILE_NAME: &str = "stamp";

/// Writes the stamp of the compiler `rustc` into the toolchain `root`.
pub(super) fn write(root: &Path, rustc: &Path) -> std::io::Result<()> {
    std::fs::write(root.join(FILE_NAME), of(rustc)?)
}

/// Whether the compiler that `root` was made with is still installed.
pub(super) fn is_current(root: &Path) -> bool {
    let Ok(stamp) = std::fs::read_to_string(root.join(FILE_NAME)) else {
        return false;
    };
    stamp
        .lines()
        .next()
        .is_some_and(|rustc| of(Path::new(rustc)).is_ok_and(|now| now == stamp))
}

/// The path, and what changes when the package is updated.
fn of(rustc: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(rustc)?;
    let modified = metadata
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    Ok(format!(
        "{}\n{} bytes, modified {modified}, layout {LAYOUT_VERSION}\n",
        rustc.display(),
        metadata.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_compiler() {
        let folder = tempfile::tempdir().unwrap();
        let rustc = folder.path().join("rustc");
        assert!(!is_current(folder.path()));
        assert!(write(folder.path(), &rustc).is_err());
        std::fs::write(&rustc, "1").unwrap();
        write(folder.path(), &rustc).unwrap();
        assert!(is_current(folder.path()));
        std::fs::write(&rustc, "22").unwrap();
        assert!(!is_current(folder.path()));
        std::fs::write(folder.path().join(FILE_NAME), "").unwrap();
        assert!(!is_current(folder.path()));
    }
}
