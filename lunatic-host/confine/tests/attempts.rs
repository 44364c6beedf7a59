//! What a confined program still can do, and what not: each attempt is made by this program again, as a process of its own.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::{ExitStatusExt as _, parent_id};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio, exit};
use std::thread;

use lunatic_confine::{Confined, Extent, Paths, helper, host};

/// Names the attempt to make, and what it is to be made with.
const ATTEMPT: &str = "LUNATIC_CONFINE_ATTEMPT";
const FOLDER: &str = "LUNATIC_CONFINE_FOLDER";

/// Exit codes of attempts.
const SUCCEEDED: i32 = 10;
const DENIED: i32 = 11;
const OTHER_ERROR: i32 = 12;

/// What the attempts below are made by; nothing if it is run as a test.
#[test]
fn attempt() {
    let Ok(name) = std::env::var(ATTEMPT) else { return };
    let folder = std::env::var(FOLDER).unwrap_or_default();
    exit(match make(&name, Path::new(&folder)) {
        Ok(()) => SUCCEEDED,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => DENIED,
        Err(_) => OTHER_ERROR,
    });
}

fn make(name: &str, folder: &Path) -> io::Result<()> {
    let (who, what) = name.split_once(' ').unwrap();
    match who {
        "helper" => assert!(helper().calls),
        "host" => {
            // What is run is found in these folders, and what it loads.
            let execute = ["/bin", "/usr", "/lib", "/lib64"].map(Into::into).to_vec();
            let confined = host(&Paths {
                read: vec![folder.join("read"), folder.join("missing"), "/proc".into()],
                write: vec![folder.join("write")],
                append: vec![folder.join("append")],
                execute,
            });
            assert!(confined.no_new_privileges);
        }
        _ => {}
    }
    match what {
        "compute" => drop(vec![1_u8; 100 << 20]),
        "print" => io::stdout().write_all(b"printed")?,
        "panic" => std::panic::catch_unwind(|| panic!("as it does")).unwrap_or(()),
        "open" => drop(File::open("/dev/null")?),
        "listen" => drop(TcpListener::bind("127.0.0.1:0")?),
        "pair" => drop(UnixStream::pair()?),
        "socket" => drop(UnixDatagram::unbound()?),
        "thread" => thread::spawn(|| ()).join().unwrap(),
        "run" => drop(Command::new("/bin/true").status()?),
        "read inside" => drop(fs::read(folder.join("read/file"))?),
        "read outside" => drop(fs::read(folder.join("other/file"))?),
        "list outside" => drop(fs::read_dir(folder.join("other"))?),
        "signal the parent" => {
            // 0 only tries whether it could be sent.
            let done = Command::new("/bin/sh")
                .args(["-c", &format!("kill -0 {}", parent_id())])
                .stderr(Stdio::null())
                .status()?;
            return done
                .success()
                .then_some(())
                .ok_or(io::ErrorKind::PermissionDenied.into());
        }
        "write what is to be read" => fs::write(folder.join("read/file"), "new")?,
        "write inside" => {
            fs::write(folder.join("write/new"), "new")?;
            fs::create_dir(folder.join("write/folder"))?;
            fs::rename(folder.join("write/new"), folder.join("write/folder/new"))?;
            fs::remove_dir_all(folder.join("write/folder"))?;
        }
        "append inside" => {
            for name in ["file", "new"] {
                File::options()
                    .append(true)
                    .create(true)
                    .open(folder.join("append").join(name))?
                    .write_all(b"more")?;
            }
        }
        "read what is appended to" => drop(fs::read(folder.join("append/file"))?),
        "remove what is appended to" => {
            fs::copy(folder.join("read/file"), folder.join("append/gone"))?;
            fs::remove_file(folder.join("append/gone"))?;
        }
        "write outside" => fs::write(folder.join("other/new"), "new")?,
        "run inside" => drop(Command::new(folder.join("write/program")).status()?),
        "advise itself" => advise(-10001)?,
        "advise others" => advise(-1)?,
        "unshare" => {
            let done = Command::new("unshare")
                .args(["--user", "true"])
                .stderr(Stdio::null())
                .status()?;
            return done
                .success()
                .then_some(())
                .ok_or(io::ErrorKind::PermissionDenied.into());
        }
        _ => unreachable!("no such attempt: {what}"),
    }
    Ok(())
}

/// Gives back no pages of the process that `pidfd` is a descriptor of.
fn advise(pidfd: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::iovec>();
    // SAFETY: a list of no ranges is never read, and names no memory.
    let done = unsafe { libc::syscall(libc::SYS_process_madvise, pidfd, none, 0, libc::MADV_DONTNEED, 0) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes an attempt, and says how the process ended and what it printed.
fn ended(attempt: &str, folder: &Path) -> (ExitStatus, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "attempt", "--nocapture"])
        .env(ATTEMPT, attempt)
        .env(FOLDER, folder)
        // As in a helper, which has no environment: a backtrace would read files.
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    (child.wait().unwrap(), text)
}

#[track_caller]
fn check(attempt: &str, folder: &Path, code: i32) {
    let (status, text) = ended(attempt, folder);
    assert_eq!(status.code(), Some(code), "{attempt}: {status}, {text}");
}

/// What this system can enforce: not the same on every architecture, and in every container.
fn offered() -> Confined {
    thread::spawn(|| host(&Paths::default())).join().unwrap()
}

/// A folder with files to try.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["read", "write", "append", "other"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("file"), name).unwrap();
    }
    fs::copy("/bin/true", folder.path().join("write/program")).unwrap();
    folder
}

#[test]
fn a_helper_computes_and_uses_what_is_open() {
    if !offered().calls {
        return;
    }
    for attempt in ["helper compute", "helper panic"] {
        check(attempt, Path::new(""), SUCCEEDED);
    }
    let (status, text) = ended("helper print", Path::new(""));
    assert_eq!(status.code(), Some(SUCCEEDED));
    assert!(text.contains("printed"), "{text}");
}

#[test]
fn a_helper_that_wants_anything_else_is_killed() {
    if !offered().calls {
        return;
    }
    for what in ["open", "listen", "pair", "socket", "thread", "run"] {
        check(&format!("nobody {what}"), Path::new(""), SUCCEEDED);
        let (status, text) = ended(&format!("helper {what}"), Path::new(""));
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{what}: {status}, {text}");
    }
}

#[test]
fn a_host_reaches_its_files_and_no_others() {
    let folder = folder();
    let check = |attempt: &str, code| check(attempt, folder.path(), code);
    for what in [
        "read inside",
        "write inside",
        "append inside",
        "run",
        "listen",
        "pair",
        "thread",
    ] {
        check(&format!("host {what}"), SUCCEEDED);
    }
    let beyond = [
        "read outside",
        "list outside",
        "write outside",
        "write what is to be read",
        "read what is appended to",
        "remove what is appended to",
        "run inside",
    ];
    // A system without Landlock refuses nothing, and the host goes on.
    let confined = if offered().files != Extent::None {
        DENIED
    } else {
        SUCCEEDED
    };
    for what in beyond {
        check(&format!("nobody {what}"), SUCCEEDED);
        check(&format!("host {what}"), confined);
    }
}

#[test]
fn a_host_signals_no_other_process() {
    let folder = folder();
    let code = if offered().files == Extent::Full {
        DENIED
    } else {
        SUCCEEDED
    };
    check("nobody signal the parent", folder.path(), SUCCEEDED);
    check("host signal the parent", folder.path(), code);
}

#[test]
fn a_host_makes_no_namespaces() {
    if !offered().calls || ended("nobody unshare", Path::new("")).0.code() != Some(SUCCEEDED) {
        return;
    }
    check("host unshare", Path::new(""), DENIED);
}

#[test]
fn a_host_advises_itself_about_memory_and_nobody_else() {
    let before = ended("nobody advise itself", Path::new("")).0.code();
    check("host advise itself", Path::new(""), before.unwrap());
    assert_ne!(before, Some(DENIED));
    check("nobody advise others", Path::new(""), OTHER_ERROR);
    check(
        "host advise others",
        Path::new(""),
        if offered().calls { DENIED } else { OTHER_ERROR },
    );
}

/// What it says is compared with what the kernel says of the thread.
#[test]
fn what_is_given_up_is_told() {
    let paths = Paths {
        read: vec!["/proc".into()],
        ..Paths::default()
    };
    let confined = move || (host(&paths), fs::read_to_string("/proc/thread-self/status").unwrap());
    let (told, status) = thread::spawn(confined).join().unwrap();
    assert_eq!(told.no_new_privileges, status.contains("NoNewPrivs:\t1\n"), "{told:?}");
    assert_eq!(told.calls, status.contains("Seccomp:\t2\n"), "{told:?}");
    assert_eq!(told.files == Extent::None, told.landlock.is_none(), "{told:?}");
    assert_eq!(told.files == Extent::Full, told.landlock >= Some(6), "{told:?}");
    // The same without files to read.
    assert_eq!(offered(), told);
}
