//! The flags of the host: a program's rights, limits and workers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Confine, DumpArgs, LogArgs, OtlpArgs};
use anyhow::{Context as _, bail};
use lunatic_host::budget::Caps;
use lunatic_host::signature::TrustedKeys;
use lunatic_host::wasi::flags;
use lunatic_host::{CompileHelper, Runtime, RuntimeBuilder, SystemConfig, parse_size};
use lunatic_rights::table::{ENVIRONMENT, FILES, MEMORY, NETWORK, OPEN_FILES, TREE_MEMORY, TREE_PROCESSES, TREE_TIME};

/// The host's options on the command line, which precede the module and its arguments. The flags that grant rights take
/// their help from the table of rights.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct HostArgs {
    /// Folders: `HOST` or `HOST::GUEST`, with an optional `:ro`.
    #[arg(long = "dir", value_name = FILES.value_name(), help = FILES.help(), help_heading = "Host options")]
    pub dirs: Vec<String>,

    /// Environment variables: `NAME=VALUE`, or `NAME` to pass the caller's on.
    #[arg(long, value_name = ENVIRONMENT.value_name(), help = ENVIRONMENT.help(), help_heading = "Host options")]
    pub env: Vec<String>,

    /// Rules for the network.
    #[arg(long, value_name = NETWORK.value_name(), help = NETWORK.help(), help_heading = "Host options")]
    pub allow_net: Vec<String>,

    /// The most files that one process has open at a time; also the most sockets.
    #[arg(long, value_name = OPEN_FILES.value_name(), help = OPEN_FILES.help(), help_heading = "Host options")]
    pub max_files: Option<u32>,

    /// The most processes that are alive at a time.
    #[arg(long, value_name = TREE_PROCESSES.value_name(), help = TREE_PROCESSES.help(), help_heading = "Host options")]
    pub max_processes: Option<u64>,

    /// Memory of all processes together.
    #[arg(long, value_name = TREE_MEMORY.value_name(), help = TREE_MEMORY.help(), help_heading = "Host options")]
    pub max_total_memory: Option<String>,

    /// Time on a core for all processes together, in seconds.
    #[arg(long, value_name = TREE_TIME.value_name(), help = TREE_TIME.help(), help_heading = "Host options")]
    pub max_cpu: Option<f64>,

    /// Log each denied operation to standard error, with the flag that would allow it
    #[arg(long, help_heading = "Host options")]
    pub log_denials: bool,

    /// The program's log.
    #[command(flatten)]
    pub log: LogArgs,

    /// The OpenTelemetry collector that receives spans, records and metrics.
    #[command(flatten)]
    pub otlp: OtlpArgs,

    /// The configuration that is read again on SIGHUP.
    #[cfg(unix)]
    #[arg(skip)]
    pub configuration: Option<crate::Configuration>,

    /// The cluster to join.
    #[cfg(unix)]
    #[arg(skip)]
    pub node: Option<crate::NodeArgs>,

    /// How to answer HTTP requests, if the program does.
    #[arg(skip)]
    pub serve: Option<crate::ServeArgs>,

    /// The largest memory of one process.
    #[arg(long, value_name = MEMORY.value_name(), help = MEMORY.help(), help_heading = "Host options")]
    pub max_memory: Option<String>,

    /// Give the program the rights of a native one: the current folder, all environment variables and the network
    #[arg(long, help_heading = "Host options")]
    pub trust: bool,

    /// Run only modules that are signed by a key in this file, or in a file of this folder: see `lunatic sign`
    #[arg(long, value_name = "PATH", help_heading = "Host options")]
    pub trusted_keys: Option<PathBuf>,

    /// Drop those of your rights that the host itself does not need
    #[arg(long, value_enum, default_value_t, value_name = "HOW", help_heading = "Host options")]
    pub confine: Confine,

    /// When a program of Lunatic 0.13 ends, print the metrics that it has counted with `lunatic::metrics`
    #[arg(long, help_heading = "Host options")]
    pub metrics: bool,

    /// Let `lunatic ps` and the related commands inspect and control the program, through a socket that only you can
    /// open: at PATH, or where these commands look for it
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "auto",
        help_heading = "Host options")]
    pub admin: Option<PathBuf>,

    /// Show the program in a browser, at ADDRESS, which only this machine can reach [default: 127.0.0.1:4040]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
        default_missing_value = "127.0.0.1:4040", help_heading = "Host options")]
    pub dashboard: Option<SocketAddr>,

    /// Read the token that the dashboard requires from the first line of this file, which only you can read [default:
    /// a new token each time]
    #[arg(long, value_name = "PATH", requires = "dashboard", help_heading = "Host options")]
    pub admin_token_file: Option<PathBuf>,

    /// Show the program to other machines as well, at ADDRESS, over TLS, to clients with a certificate
    #[arg(long, value_name = "ADDRESS", requires_all = ["admin_cert", "admin_key", "admin_client_ca"],
        help_heading = "Host options")]
    pub admin_tcp: Option<SocketAddr>,

    /// With `--admin-tcp`: the certificate of the dashboard, in PEM, with the intermediate certificates that lead to
    /// its root
    #[arg(long, value_name = "PATH", requires = "admin_tcp", help_heading = "Host options")]
    pub admin_cert: Option<PathBuf>,

    /// With `--admin-tcp`: the private key of that certificate
    #[arg(long, value_name = "PATH", requires = "admin_tcp", help_heading = "Host options")]
    pub admin_key: Option<PathBuf>,

    /// With `--admin-tcp`: the certificate authority that issues the certificates of clients
    #[arg(long, value_name = "PATH", requires = "admin_tcp", help_heading = "Host options")]
    pub admin_client_ca: Option<PathBuf>,

    /// How many seconds the program may take to stop after Ctrl-C or SIGTERM; after that, its remaining processes are
    /// killed [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = "Host options")]
    pub shutdown_timeout: Option<Duration>,

    /// Do not watch for likely problems: growing mailboxes, endless loops, lack of memory, repeated crashes, processes
    /// that wait for each other
    #[arg(long, help_heading = "Host options")]
    pub no_alarms: bool,

    /// Core dumps.
    #[command(flatten)]
    pub dumps: DumpArgs,

    /// Once the host holds more memory than this, such as 200M, pack every waiting process, not only those that have
    /// waited for five seconds [default: a tenth of the machine's memory]
    #[arg(long, value_name = "SIZE", help_heading = "Host options")]
    pub max_resident: Option<String>,

    /// Number of worker threads [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Host options")]
    pub workers: Option<usize>,
}

impl HostArgs {
    /// Configures a runtime with these flags, and reads the files that they name. The caller builds it.
    pub(crate) fn runtime(&self) -> anyhow::Result<RuntimeBuilder> {
        // The programs that have these flags use mimalloc, which asks for huge pages.
        lunatic_host::forbid_huge_pages();
        let mut builder = crate::compat::add(Runtime::builder()).compile_helper(CompileHelper::this_program());
        if let Some(size) = &self.max_resident {
            builder = builder.resident_max(parse_size(size).with_context(|| format!("--max-resident {size}"))?);
        }
        if let Some(path) = &self.trusted_keys {
            let keys = TrustedKeys::read(path).with_context(|| format!("--trusted-keys {}", path.display()))?;
            builder = builder.trusted_keys(keys);
        }
        match self.workers {
            Some(0) => bail!("--workers 0: no process could run; give at least 1"),
            Some(workers) => Ok(builder.workers(workers)),
            None => Ok(builder),
        }
    }

    /// Whether the flags grant the program no folder, no variable and no network.
    pub(crate) fn grants_nothing(&self) -> bool {
        self.dirs.is_empty() && self.env.is_empty() && self.allow_net.is_empty()
    }

    /// Configures a system with these flags, except for its arguments and standard streams.
    pub(crate) fn system(&self) -> anyhow::Result<SystemConfig> {
        let mut config = SystemConfig::default();
        for dir in &self.dirs {
            config.wasi.dirs.push(flags::parse_dir(dir)?);
        }
        for env in &self.env {
            if let Some((name, value)) = flags::parse_env(env, |name| std::env::var_os(name))? {
                flags::set_env(&mut config.wasi.env, name, value);
            }
        }
        if let Some(size) = &self.max_memory {
            config.max_memory = parse_size(size)?;
        }
        for rule in &self.allow_net {
            config
                .net
                .push(rule.parse().with_context(|| format!("--allow-net {rule}"))?);
        }
        if let Some(files) = self.max_files {
            config.max_files = files;
        }
        config.caps = self.caps()?;
        config.log_denials = self.log_denials;
        Ok(config)
    }

    /// The limits for all processes of the system together, if these flags set any.
    fn caps(&self) -> anyhow::Result<Option<Caps>> {
        let cpu = match self.max_cpu {
            Some(seconds) => Some(
                Duration::try_from_secs_f64(seconds)
                    .with_context(|| format!("--max-cpu {seconds}: give a number of seconds, such as 2.5"))?,
            ),
            None => None,
        };
        let caps = Caps {
            processes: self.max_processes,
            memory: match &self.max_total_memory {
                Some(size) => Some(parse_size(size)? as u64),
                None => None,
            },
            cpu,
            ..Caps::default()
        };
        Ok((caps != Caps::default()).then_some(caps))
    }
}

/// A number of seconds, such as `2.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::try_from_secs_f64);
    let wrong = || "give a number of seconds, such as 2.5".to_owned();
    seconds.and_then(Result::ok).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_all_rights_are_those_of_the_table() {
        let command = <HostArgs as clap::Args>::augment_args(clap::Command::new("lunatic"));
        for right in lunatic_rights::table::RIGHTS {
            let Some(flag) = right.flag else { continue };
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag.name));
            let arg =
                arg.unwrap_or_else(|| panic!("there is no `--{}`, which gives the right: {}", flag.name, right.name));
            let value = arg.get_value_names().map(|names| names[0].to_string());
            assert_eq!(value.as_deref(), Some(flag.value), "--{}", flag.name);
            let help = arg.get_help().map(|help| help.to_string());
            assert_eq!(help.as_deref(), Some(flag.help), "--{}", flag.name);
        }
    }
}
