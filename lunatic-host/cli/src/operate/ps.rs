//! `lunatic ps`: the processes of a program, as a table.

use lunatic_admin::view::{PageView, ProcessView};

use super::{At, size, time, width};

/// Which processes, and in which order.
#[derive(Debug, Clone, clap::Args)]
pub struct Ps {
    /// Sort by this: the smallest id first, the oldest mail first, or the largest of any other value
    #[arg(long, value_name = "WHAT", default_value = "id",
        value_parser = ORDERS)]
    sort: String,

    /// List at most this many, up to 10000
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    /// Skip this many
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: usize,

    /// Only processes with PART in a registered name or in the name of their entry function
    #[arg(long, value_name = "PART")]
    name: Option<String>,

    /// Only processes in this state
    #[arg(long, value_parser = ["running", "ready", "waiting"])]
    state: Option<String>,

    /// Only processes that this process spawned
    #[arg(long, value_name = "PROCESS")]
    parent: Option<lunatic_host::Id>,

    #[command(flatten)]
    at: At,
}

impl Ps {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let parent = self.parent.map(|parent| parent.to_string());
        let filters = [
            ("name", self.name.as_deref()),
            ("state", self.state.as_deref()),
            ("parent", parent.as_deref()),
        ];
        let path = path(&self.sort, self.limit, self.skip, &filters);
        let view: PageView = self.at.client()?.get(&path)?;
        self.at.print(&view, || table(&view, self.skip, width()))
    }
}

/// The orders of a list.
pub(super) const ORDERS: [&str; 6] = ["id", "mailbox", "mailbox-bytes", "memory", "time", "oldest"];

/// The URL path of a page.
pub(super) fn path(order: &str, limit: usize, skip: usize, filters: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("order", order)
        .append_pair("limit", &limit.to_string())
        .append_pair("skip", &skip.to_string());
    for (name, value) in filters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("/v1/processes?{}", query.finish())
}

const HEAD: [&str; 9] = [
    "PROCESS", "PARENT", "STATE", "MAILBOX", "BYTES", "OLDEST", "MEMORY", "TIME", "NAME",
];

/// Lines of at most `width` characters; the last column is cut if necessary.
pub(super) fn table(page: &PageView, skip: usize, width: Option<usize>) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(page.processes.iter().map(row));
    let mut text = String::new();
    // Numbers are right-aligned.
    for line in super::table::lines(&rows, |column| (3..=7).contains(&column)) {
        text.extend(line.chars().take(width.unwrap_or(usize::MAX)));
        text.push('\n');
    }
    text + &super::table::part(skip, page.processes.len(), page.matched)
}

fn row(process: &ProcessView) -> [String; 9] {
    let state = match &process.waits_for {
        Some(what) if process.is_frozen => format!("frozen: {what}"),
        Some(what) => format!("waits: {what}"),
        None => process.state.clone(),
    };
    [
        process.id.clone(),
        process.parent.clone().unwrap_or_else(|| "-".into()),
        state,
        process.mailbox.to_string(),
        size(process.mailbox_bytes),
        process.oldest_mail_ms.map_or_else(|| "-".to_owned(), time),
        size(process.memory_bytes),
        time(process.cpu_ms),
        process.title.clone(),
    ]
}
