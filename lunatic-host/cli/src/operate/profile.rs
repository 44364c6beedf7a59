//! `lunatic profile`: where the processes of a program spend their time, as a flame graph or as text.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use lunatic_admin::stack::ProfileView;
use lunatic_host::Id;

use super::{At, firefox, flame, time};

/// The most stacks that are printed if no file is given.
const PRINTED_MAX: usize = 20;

/// Which processes, for how long, and the file to write.
#[derive(Debug, Clone, clap::Args)]
pub struct Profile {
    /// Only this process, such as 17 or 17.2 [default: all]
    process: Option<Id>,

    /// Only processes with PART in a registered name or in the name of their entry function
    #[arg(long, value_name = "PART")]
    name: Option<String>,

    /// For how many seconds, up to 60
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    seconds: f64,

    /// Keep the stacks of different processes apart
    #[arg(long)]
    by_process: bool,

    /// Include processes that wait, with what they wait for, for as long as they wait
    #[arg(long)]
    waiting: bool,

    /// Write all stacks to a file: a flame graph if its name ends in .svg; a profile for profiler.firefox.com, with a
    /// thread for each process, if it ends in .json; otherwise one line per stack, which other tools can draw
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    at: At,
}

impl Profile {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let time =
            Duration::try_from_secs_f64(self.seconds).context("--seconds: give a number of seconds, such as 10")?;
        let view: ProfileView = self.at.client()?.post_long(&self.path(), time)?;
        let Some(file) = &self.output else {
            return self.at.print(&view, || summary(&view, PRINTED_MAX));
        };
        let text = match self.extension() {
            Some("svg") => flame::graph(&view.folded),
            Some("json") => firefox::profile("lunatic", &view.folded)?,
            _ => view.folded.clone(),
        };
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        self.at.print(&view, || summary(&view, 0))
    }

    fn extension(&self) -> Option<&str> {
        self.output.as_ref()?.extension()?.to_str()
    }

    fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("seconds", &self.seconds.to_string());
        if let Some(process) = self.process {
            query.append_pair("id", &process.to_string());
        }
        if let Some(name) = &self.name {
            query.append_pair("name", name);
        }
        if self.by_process || self.extension() == Some("json") {
            query.append_pair("by", "process");
        }
        if self.waiting {
            query.append_pair("waiting", "yes");
        }
        format!("/v1/profile?{}", query.finish())
    }
}

/// The number of samples, and the most frequent stacks with the innermost functions of each.
fn summary(view: &ProfileView, stacks_max: usize) -> String {
    let mut text = format!("{} samples, a millisecond each", view.samples);
    if view.left_out > 0 {
        text += &format!("; {} more were left out", view.left_out);
    }
    if view.waited_ms > 0 {
        text += &format!("; {} of waiting", time(view.waited_ms));
    }
    text.push('\n');
    for line in view.folded.lines().take(stacks_max) {
        let (stack, count) = line.rsplit_once(' ').unwrap_or((line, ""));
        let inner: Vec<&str> = stack.rsplit(';').take(4).collect();
        text += &format!("{count:>7}  {}\n", inner.join(" < "));
    }
    text
}
