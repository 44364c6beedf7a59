//! `lunatic profile`: where the processes of a program compute, as a flame graph or as text.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use lunatic_admin::stack::ProfileView;
use lunatic_host::Id;

use super::{At, firefox, flame};

/// So many stacks are printed if they go to no file.
const PRINTED_MAX: usize = 20;

/// Which processes, for how long, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct Profile {
    /// Only this process, such as 17 or 17.2
    process: Option<Id>,

    /// Those whose registered name, or name of the function that they begin with, has this in it
    #[arg(long, value_name = "PART")]
    name: Option<String>,

    /// For so long, up to 60
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    seconds: f64,

    /// Tell the stacks of different processes from each other
    #[arg(long)]
    by_process: bool,

    /// A file for all stacks: a flame graph if it ends in .svg, a profile for profiler.firefox.com if it ends in .json, in
    /// which each process is a thread, else a line for each stack, for tools that make other pictures
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    at: At,
}

impl Profile {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let time = Duration::try_from_secs_f64(self.seconds).context("this is no time")?;
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
        format!("/v1/profile?{}", query.finish())
    }
}

/// How much was seen, and the most frequent stacks, of each the innermost functions.
fn summary(view: &ProfileView, stacks_max: usize) -> String {
    let mut text = format!("{} samples, a millisecond each", view.samples);
    if view.left_out > 0 {
        text += &format!("; {} more were left out", view.left_out);
    }
    text.push('\n');
    for line in view.folded.lines().take(stacks_max) {
        let (stack, count) = line.rsplit_once(' ').unwrap_or((line, ""));
        let inner: Vec<&str> = stack.rsplit(';').take(4).collect();
        text += &format!("{count:>7}  {}\n", inner.join(" < "));
    }
    text
}
