//! The helper: an operating-system process that compiles one module, and its protocol with the host.
//!
//! The host writes a [`Head`] and the file to the helper's standard input, and closes it. The helper answers with a
//! byte for the kind of the answer, its length, and an artifact or the text of an error. Then it exits. It inherits no
//! other descriptor of the host, and nothing of its environment. Before it reads the file, it gives up all of the
//! user's rights that the operating system lets it give up ([`lunatic_confine::helper`]).

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, exit};

use rustix::process::{Resource, Rlimit, nice, setrlimit};

use crate::engine::{self, Layout};
use crate::module::{LoadError, artifact};

/// The argument that makes a program a helper.
const ARGUMENT: &str = "lunatic-compile-helper";
/// The nice value of a helper, which gives it less of a contended core than a worker.
const NICE: i32 = 5;

/// The program that compiles the modules that guests bring along, in a process of its own: see
/// [`RuntimeBuilder::compile_helper`](crate::RuntimeBuilder::compile_helper).
///
/// # Examples
///
/// ```no_run
/// use lunatic_host::{CompileHelper, Runtime};
///
/// fn main() -> anyhow::Result<()> {
///     // Must come first: if the program was started as a helper, this does not return.
///     let helper = CompileHelper::this_program();
///     let runtime = Runtime::builder().compile_helper(helper).build()?;
///     # drop(runtime);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct CompileHelper(PathBuf);

impl CompileHelper {
    /// Uses this program as its own helper. Call this at the beginning of `main`, before anything with side effects: in
    /// a process that was started as a helper, it compiles the module and exits.
    pub fn this_program() -> Self {
        let mut args = env::args_os().skip(1);
        if args.next() == Some(OsString::from(ARGUMENT)) && args.next().is_none() {
            exit(i32::from(serve().is_err()));
        }
        // On Linux, this path leads to this program even if its file has been replaced by another version.
        let path = if cfg!(target_os = "linux") {
            Ok(PathBuf::from("/proc/self/exe"))
        } else {
            env::current_exe()
        };
        Self(path.unwrap_or_default())
    }

    /// Uses another program, such as `lunatic`, which must call [`this_program`](Self::this_program) and be built with
    /// the same version of this crate.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self(program.into())
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.arg(ARGUMENT).env_clear();
        // The allocator of `lunatic` would reserve 1 GiB, which counts as memory of the helper.
        command.env("MIMALLOC_ARENA_RESERVE", "32MiB");
        command
    }
}

/// What the host sends before the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) layout: Layout,
    /// The settings of the engine for which to compile.
    pub(super) settings: u64,
    /// Seconds of CPU time after which the operating system ends the helper, in case the host does not.
    pub(super) seconds: u64,
    /// Bytes of memory that the helper may use.
    pub(super) memory: u64,
}

impl Head {
    const SIZE: usize = 25;

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        let Self {
            layout,
            settings,
            seconds,
            memory,
        } = self;
        let mut bytes = [layout as u8; Self::SIZE];
        for (place, number) in bytes[1..].chunks_exact_mut(8).zip([settings, seconds, memory]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes[at..at + 8].try_into().ok()?));
        Some(Self {
            layout: *Layout::ALL.get(usize::from(bytes[0]))?,
            settings: number(1)?,
            seconds: number(9)?,
            memory: number(17)?,
        })
    }
}

/// The length of the head of an answer: a byte for its kind, and its length.
pub(super) const ANSWER_HEAD: usize = 9;

/// Kinds of answers.
const ARTIFACT: u8 = 1;
const INVALID: u8 = 2;
const FAILED: u8 = 3;

/// The length of an answer with this head; `None` if the head is invalid.
pub(super) fn answer_len(head: &[u8; ANSWER_HEAD]) -> Option<u64> {
    let [ARTIFACT..=FAILED, len @ ..] = head else {
        return None;
    };
    Some(u64::from_le_bytes(*len))
}

/// Decodes a complete answer.
pub(super) fn answer(kind: u8, bytes: Vec<u8>) -> Result<Vec<u8>, LoadError> {
    if kind == ARTIFACT {
        return Ok(bytes);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Err(match kind {
        INVALID => LoadError::Invalid(text),
        _ => LoadError::Compile(text),
    })
}

/// The work of the helper.
fn serve() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut head = [0; Head::SIZE];
    input.read_exact(&mut head)?;
    let head = Head::from_bytes(&head).ok_or(io::ErrorKind::InvalidData)?;
    limit(&head);
    // This may examine the processor and the machine, so it comes before confinement.
    let compiler = compiler(&head);
    // If the operating system cannot confine it, the limits still hold.
    lunatic_confine::helper();
    let mut file = Vec::new();
    input.read_to_end(&mut file)?;
    let (kind, bytes) = match compiler.and_then(|compile| compile(&file)) {
        Ok(artifact) => (ARTIFACT, artifact),
        Err(LoadError::Invalid(text)) => (INVALID, text.into_bytes()),
        Err(LoadError::Compile(text)) => (FAILED, text.into_bytes()),
        Err(other) => (FAILED, other.to_string().into_bytes()),
    };
    let mut output = io::stdout().lock();
    output.write_all(&[kind])?;
    output.write_all(&(bytes.len() as u64).to_le_bytes())?;
    output.write_all(&bytes)?;
    output.flush()
}

/// Sets limits in the operating system. Where it does not support them, the host's own limits remain.
fn limit(head: &Head) {
    let limit = |resource, max| {
        let max = Some(max);
        let _ = setrlimit(
            resource,
            Rlimit {
                current: max,
                maximum: max,
            },
        );
    };
    limit(Resource::Cpu, head.seconds);
    // The limit includes the memory that it has used from the start.
    let begun = lunatic_memory::data_memory().unwrap_or(0) as u64;
    limit(Resource::Data, head.memory.saturating_add(begun));
    // It writes no files, not even a core dump.
    limit(Resource::Fsize, 0);
    limit(Resource::Core, 0);
    let _ = nice(NICE);
    // It must not outlive the host.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// Prepares a compiler with the settings of the host.
fn compiler(head: &Head) -> Result<impl FnOnce(&[u8]) -> Result<Vec<u8>, LoadError> + use<>, LoadError> {
    let engine = engine::for_compiling(head.layout).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
    if artifact::settings(&engine) != head.settings {
        let text = "the program that compiles for the host was built with another version of Lunatic than the host";
        return Err(LoadError::Compile(text.into()));
    }
    Ok(move |file: &[u8]| artifact::make(&engine, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_out_as_it_went_in() {
        let head = Head {
            layout: Layout::Metered,
            settings: u64::MAX - 1,
            seconds: 11,
            memory: 1 << 40,
        };
        let mut bytes = head.to_bytes();
        assert_eq!(Head::from_bytes(&bytes), Some(head));
        bytes[0] = 3;
        assert_eq!(Head::from_bytes(&bytes), None);
    }
}
