//! What to do if the operating system refuses something that the host needs.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// The text of an error that ends a command: what happened and why, and what to do if the operating system refused something.
pub(crate) fn explained(error: &anyhow::Error) -> String {
    let advice = error
        .chain()
        .find_map(|cause| advice(cause.downcast_ref::<io::Error>()?));
    match advice {
        Some(advice) => format!("{error:#}: {advice}"),
        None => format!("{error:#}"),
    }
}

fn advice(error: &io::Error) -> Option<String> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => {
            let max = getrlimit(Resource::Nofile).maximum;
            let max = max.map_or_else(|| "so many".to_owned(), |max| max.to_string());
            Some(format!(
                "this program may have only {max} files and sockets open: raise the limit (`ulimit -Hn`)"
            ))
        }
        Errno::NFILE => {
            Some("the machine has no room for another open file: close other programs, or raise `fs.file-max`".into())
        }
        Errno::AGAIN => Some(
            "the machine refuses another thread: raise the limit of threads (`ulimit -u`; `pids.max` of a container) or that of \
             the address space (`ulimit -v`)"
                .into(),
        ),
        Errno::NOMEM => Some(
            "the machine has no memory left for this program: free some, or raise the limit of the address space (`ulimit -v`)"
                .into(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_error_of_the_machine_says_what_to_do() {
        for (errno, advice) in [
            (Errno::MFILE, "`ulimit -Hn`"),
            (Errno::NFILE, "`fs.file-max`"),
            (Errno::AGAIN, "`ulimit -u`"),
            (Errno::NOMEM, "`ulimit -v`"),
        ] {
            let error = Err::<(), _>(io::Error::from(errno))
                .context("cannot start")
                .unwrap_err();
            let text = explained(&error);
            assert!(text.starts_with("cannot start: ") && text.contains(advice), "{text}");
        }
        let error = Err::<(), _>(io::Error::from(Errno::NOENT))
            .context("cannot read")
            .unwrap_err();
        assert_eq!(explained(&error), format!("{error:#}"));
    }
}
