//! `lunatic upgrade`: upgrades a running program to another version of its code.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use lunatic_admin::Client;
use lunatic_admin::upgrade::UpgradeView;

use super::At;
use crate::run::read;

/// How often the progress is requested.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// The timeout of the first request: the program compiles the new version before it answers.
const COMPILE_TIME: Duration = Duration::from_secs(300);

/// Which version, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct Upgrade {
    /// The new version of the program
    #[arg(required_unless_present = "cancel")]
    file: Option<PathBuf>,

    /// Change nothing: the new version reads the state of one process of each kind, and the outcome is shown
    #[arg(long, conflicts_with = "cancel")]
    dry_run: bool,

    /// Which processes change first: `none`, a number of processes, a share such as 5%, or `name:PART` for those with
    /// PART in their name
    #[arg(long, value_name = "WHICH", default_value = "1")]
    canary: String,

    /// For how many seconds to watch these before the others change
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    watch: f64,

    /// Continue even if some kinds of processes cannot change: they stay in their version
    #[arg(long)]
    partial: bool,

    /// How many seconds an instance may take to read the state of one process
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    limit: f64,

    /// How many seconds to wait for processes to reach their point of change
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    patience: f64,

    /// Change children before their parents
    #[arg(long)]
    children_first: bool,

    /// When rolling back, leave a process in the new version if the former version cannot read its state; without this
    /// flag, the process continues with the state that it had when it left the former version
    #[arg(long)]
    no_restore: bool,

    /// Roll back the upgrade that is in progress
    #[arg(long)]
    cancel: bool,

    #[command(flatten)]
    at: At,
}

impl Upgrade {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let client = self.at.client()?;
        let begun: UpgradeView = match &self.file {
            Some(file) if !self.cancel => client.post_body(&self.path(), read(file)?, COMPILE_TIME)?,
            _ => client.post("/v1/upgrade/cancel")?,
        };
        let view = self.follow(&client, begun)?;
        self.at.print(&view, || summary(&view))?;
        match view.phase.as_str() {
            "refused" => bail!(
                "the upgrade was refused, and nothing has changed: {}",
                view.why.unwrap_or_default()
            ),
            "rehearsed" => match view.kinds.iter().filter(|kind| kind.misfit.is_some()).count() {
                0 => Ok(()),
                misfits => bail!("{misfits} of {} kinds of processes cannot change", view.kinds.len()),
            },
            "rolled back" if !self.cancel => {
                bail!("the upgrade was undone: {}", view.why.unwrap_or_default())
            }
            _ => Ok(()),
        }
    }

    /// Reports the progress until the upgrade is over.
    fn follow(&self, client: &Client, mut view: UpgradeView) -> anyhow::Result<UpgradeView> {
        let mut said = String::new();
        while !view.is_over {
            if !self.at.json && view.phase != said {
                eprintln!("{}", progress(&view));
                said.clone_from(&view.phase);
            }
            thread::sleep(ASK_EVERY);
            view = client.get("/v1/upgrade")?;
        }
        Ok(view)
    }

    fn path(&self) -> String {
        let yes = |is: bool| if is { "yes" } else { "no" };
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("rehearse", yes(self.dry_run))
            .append_pair("partial", yes(self.partial))
            .append_pair("children-first", yes(self.children_first))
            .append_pair("restore", yes(!self.no_restore))
            .append_pair("canary", &self.canary)
            .append_pair("watch", &self.watch.to_string())
            .append_pair("limit", &self.limit.to_string())
            .append_pair("patience", &self.patience.to_string())
            .finish();
        format!("/v1/upgrade?{query}")
    }
}

fn progress(view: &UpgradeView) -> String {
    match view.phase.as_str() {
        "checking" => format!("version {}, {}: checking", view.to, view.code),
        "canary" => "changing the first processes".into(),
        "watching" => format!("watching {} that changed first", count(view.changed)),
        "changing" => "changing the others".into(),
        other => other.into(),
    }
}

fn summary(view: &UpgradeView) -> String {
    let mut text = String::new();
    for kind in &view.kinds {
        let verdict = match (&kind.misfit, kind.is_tried) {
            (Some(why), _) => format!("cannot change: {why}"),
            (None, true) => "can change; one was tried".into(),
            (None, false) => "can change; none was free to be tried".into(),
        };
        text += &format!("{:>9}  {}  {verdict}\n", kind.processes, kind.entry);
    }
    if view.without_point > 0 {
        text += &format!(
            "{:>9}  without a point of change: they stay in their version\n",
            view.without_point
        );
    }
    if view.phase == "rehearsed" || view.phase == "refused" {
        return text;
    }
    text += &format!(
        "{} of version {} in {}",
        count(view.changed),
        view.to,
        super::time(view.ms)
    );
    if view.changed > 0 {
        text += &format!(
            "; each stood still for {} at the median, {} at the 99th percentile, {} at most",
            micros(view.pause_p50_us),
            micros(view.pause_p99_us),
            micros(view.pause_max_us)
        );
    }
    text.push('\n');
    if view.waiting > 0 {
        text += &format!("{} more when they come to their point of change\n", count(view.waiting));
    }
    if view.kept > 0 {
        text += &format!("{} tried, and stayed as they were:\n", count(view.kept));
        for refusal in &view.refusals {
            text += &format!("{:>9}  {}\n", refusal.process, refusal.why);
        }
    }
    text
}

fn count(processes: usize) -> String {
    match processes {
        1 => "1 process".into(),
        many => format!("{many} processes"),
    }
}

fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        _ => format!("{:.1} ms", us as f64 / 1e3),
    }
}
