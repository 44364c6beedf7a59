//! `lunatic log-level`: shows which records of a running program are logged, or changes that.

use lunatic_admin::view::LogLevelView;

use super::At;

/// Which records are logged.
#[derive(Debug, Clone, clap::Args)]
pub struct LogLevel {
    /// A level (off, error, warn, info, debug, trace), and other levels for some targets, such as
    /// `info,shop::stock=debug` [default: change nothing]
    filter: Option<String>,

    #[command(flatten)]
    at: At,
}

impl LogLevel {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        const PATH: &str = "/v1/log-level";
        let client = self.at.client()?;
        let view: LogLevelView = match &self.filter {
            None => client.get(PATH)?,
            Some(filter) => {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("filter", filter)
                    .finish();
                client.put(&format!("{PATH}?{query}"))?
            }
        };
        self.at.print(&view, || format!("{}\n", view.filter))
    }
}
