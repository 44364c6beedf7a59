//! Folders that are given to guests, and files beside them.

use std::path::Path;

/// Makes `data`, with `given.txt` ("from outside") and `link`, a symbolic link to `secret.txt` outside; and `ro`, with
/// `only.txt`. Checks that nothing outside the folders and nothing in `ro` has changed, whatever `judge` lets guests do
/// with them.
pub fn with_folders(judge: impl FnOnce(&Path, &Path)) {
    let temp = tempfile::tempdir().unwrap();
    let (data, ro) = (temp.path().join("data"), temp.path().join("ro"));
    std::fs::create_dir(&data).unwrap();
    std::fs::create_dir(&ro).unwrap();
    std::fs::write(data.join("given.txt"), "from outside").unwrap();
    std::fs::write(ro.join("only.txt"), "only").unwrap();
    std::fs::write(temp.path().join("secret.txt"), "not for guests").unwrap();
    std::os::unix::fs::symlink("../secret.txt", data.join("link")).unwrap();
    judge(&data, &ro);
    let count = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!((count(temp.path()), count(&ro)), (3, 1), "something was made outside");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&temp.path().join("secret.txt")), "not for guests");
    assert_eq!(read(&ro.join("only.txt")), "only");
}
