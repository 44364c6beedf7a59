//! `lunatic list`: channels, names, sockets and other things of a program, as a table.

use lunatic_admin::list::ListView;
use serde_json::Value;

use super::{At, size, table};

/// Which kind of thing is listed.
#[derive(Debug, Clone, clap::Args)]
pub struct List {
    /// What to list: channels with the most messages and modules with the most processes come first, the others in the
    /// order of name or number
    #[arg(value_name = "WHAT", value_parser = ["channels", "names", "groups", "sockets", "modules", "versions", "workers", "nodes"])]
    what: String,

    /// List at most this many, up to 10000
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    /// Skip this many
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: usize,

    #[command(flatten)]
    at: At,
}

impl List {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let path = format!("/v1/{}?limit={}&skip={}", self.what, self.limit, self.skip);
        let view: ListView = self.at.client()?.get(&path)?;
        self.at.print(&view, || text(columns(&self.what), &view, self.skip))
    }
}

/// The fields of a row, in the order of the columns. Numbers are right-aligned.
fn columns(what: &str) -> &'static [&'static str] {
    match what {
        "channels" => &[
            "channel",
            "owner",
            "messages",
            "bytes",
            "oldest_ms",
            "bound",
            "receivers",
            "senders",
        ],
        "names" | "groups" => &["process", "name"],
        "sockets" => &["socket", "owner", "kind", "local", "peer"],
        "versions" => &["version", "processes", "current", "module"],
        "nodes" => &["node", "name", "state", "queued_bytes", "attributes"],
        "modules" => &["processes", "memory_bytes", "module"],
        _ => &["worker", "cpu_ms", "woken", "fresh", "burners", "steals"],
    }
}

fn text(columns: &[&str], view: &ListView, skip: usize) -> String {
    let head = columns.iter().map(|column| head(column).to_uppercase());
    let mut rows = vec![head.collect::<Vec<_>>()];
    rows.extend(
        view.rows
            .iter()
            .map(|row| columns.iter().map(|column| cell(column, &row[*column])).collect()),
    );
    let is_figure = |column: usize| view.rows.iter().any(|row| row[columns[column]].is_number());
    let mut lines = table::lines(&rows, is_figure);
    lines.push(table::part(skip, view.rows.len(), view.matched));
    lines.join("\n")
}

/// The heading of a column.
fn head(column: &str) -> &str {
    match column {
        "memory_bytes" => "memory",
        "queued_bytes" => "queued",
        "cpu_ms" => "time",
        "oldest_ms" => "oldest",
        _ => column,
    }
}

fn cell(column: &str, value: &Value) -> String {
    let number = value.as_u64().unwrap_or_default();
    match (column, value) {
        (_, Value::Null) => "-".to_owned(),
        ("bytes" | "memory_bytes" | "queued_bytes", _) => size(usize::try_from(number).unwrap_or(usize::MAX)),
        ("current", _) => if value == &Value::Bool(true) { "yes" } else { "" }.to_owned(),
        ("cpu_ms" | "oldest_ms", _) => super::time(number),
        (_, Value::String(text)) => text.clone(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_figures_below_each_other_and_say_what_is_left_out() {
        let rows = r##"{"matched": 3, "rows": [
            {"channel": "#1", "owner": "#10", "messages": 1000, "bytes": 2048, "oldest_ms": 1500, "bound": null, "receivers": 0, "senders": 2},
            {"channel": "#20", "owner": "#1", "messages": 7, "bytes": 100, "oldest_ms": null, "bound": 8, "receivers": 0, "senders": 0}]}"##;
        let view = serde_json::from_str(rows).unwrap();
        let expected = "\
CHANNEL  OWNER  MESSAGES    BYTES  OLDEST  BOUND  RECEIVERS  SENDERS
#1       #10        1000  2.0 KiB   1.5 s      -          0        2
#20      #1            7    100 B       -      8          0        0
1 to 2 of 3
";
        assert_eq!(text(columns("channels"), &view, 0), expected);
    }
}
