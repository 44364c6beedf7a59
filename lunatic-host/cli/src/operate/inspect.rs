//! `lunatic inspect`: one process, the processes that it is related to, and its stack.

use std::fmt::Write as _;

use lunatic_admin::list::ListView;
use lunatic_admin::stack::{FrameView, StackView};
use lunatic_admin::view::{LimitView, ProcessView, RightsView};
use lunatic_host::Id;
use serde::Serialize;

use super::{At, bare, facts, size, time};

/// Everything that is known about a process.
#[derive(Serialize)]
struct Inspected {
    #[serde(flatten)]
    process: ProcessView,
    stack: StackView,
    /// Its oldest unread mail.
    mail: ListView,
}

pub(super) fn run(process: Id, at: &At) -> anyhow::Result<()> {
    let client = at.client()?;
    let path = format!("/v1/processes/{}", bare(process));
    let inspected = Inspected {
        process: client.get(&path)?,
        stack: client.get(&format!("{path}/stack"))?,
        mail: client.get(&format!("{path}/mail?limit={MAIL_SHOWN}"))?,
    };
    at.print(&inspected, || {
        let Inspected {
            process,
            stack: seen,
            mail: unread,
        } = &inspected;
        format!("{}{}\n{}", whole(process), mail(unread), stack(seen))
    })
}

fn whole(view: &ProcessView) -> String {
    let list = |ids: &[String], len: usize| match len {
        0 => "none".to_owned(),
        len if len > ids.len() => format!("{} and {} more", ids.join(" "), len - ids.len()),
        _ => ids.join(" "),
    };
    let relations = view.relations.clone().unwrap_or_default();
    let some = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let state = match &view.waits_for {
        Some(what) => format!("{} for {what}", view.state),
        None => view.state.clone(),
    };
    let ran = match view.stopped_ms {
        Some(ms) => format!("{} ago", time(ms.into())),
        None if view.runs > 0 => "now".to_owned(),
        None => "never".to_owned(),
    };
    let lines = [
        ("process", view.id.clone()),
        ("names", list(&view.names, view.names_len)),
        ("begins in", some(&view.entry)),
        ("parent", view.parent.clone().unwrap_or_else(|| "none".into())),
        (
            "state",
            if view.is_frozen {
                format!("{state}; frozen")
            } else {
                state
            },
        ),
        ("last ran", ran),
        (
            "mailbox",
            format!(
                "{} entries, {}{}; {} have come so far",
                view.mailbox,
                size(view.mailbox_bytes),
                view.oldest_mail_ms
                    .map_or_else(String::new, |age| format!(", the oldest {} old", time(age))),
                view.mail_total
            ),
        ),
        ("memory", size(view.memory_bytes)),
        ("time on a core", format!("{}; {} runs", time(view.cpu_ms), view.runs)),
        ("traps exits", if view.traps_exits { "yes" } else { "no" }.to_owned()),
        ("timers", view.timers.to_string()),
        ("linked to", list(&relations.links, view.links_len)),
        ("monitors", list(&relations.monitors, view.monitors_len)),
        ("monitored by", list(&relations.monitored_by, view.monitored_by_len)),
        (
            "code",
            match view.code_version {
                0 => view.code.clone(),
                version => format!("version {version}: {}", view.code),
            },
        ),
    ];
    facts(&lines) + &view.rights.as_ref().map(rights).unwrap_or_default()
}

/// The rights and limits of the process.
fn rights(rights: &RightsView) -> String {
    let list = |texts: &[String]| match texts {
        [] => "none".to_owned(),
        texts => texts.join(" "),
    };
    let limit = |limit: &LimitView| {
        let amount = |amount: u64| match &*limit.unit {
            "bytes" => size(usize::try_from(amount).unwrap_or(usize::MAX)),
            "ms" => time(amount),
            _ => amount.to_string(),
        };
        let whose = match limit.budget {
            0 => "",
            1 => " of its budget",
            _ => " of a budget around it",
        };
        let text = format!("{} of {}", amount(limit.used), amount(limit.max));
        (format!("{}{whose}", limit.of), text)
    };
    let limits: Vec<_> = rights.limits.iter().map(limit).collect();
    let mut lines = vec![
        ("may", list(&rights.may)),
        ("folders", list(&rights.folders)),
        ("network", list(&rights.net)),
    ];
    lines.extend(limits.iter().map(|(of, text)| (&**of, text.clone())));
    format!("\n{}", facts(&lines))
}

/// The unread mail, the oldest first.
fn mail(list: &ListView) -> String {
    if list.rows.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nunread mail, the oldest first\n");
    for row in &list.rows {
        let field = |name: &str| row[name].as_str();
        let of_type = field("type_name").map_or_else(
            || format!("with tag {}", field("tag").unwrap_or_default()),
            |name| format!("of type {name}"),
        );
        let from = field("from").map_or_else(String::new, |from| format!(" from {from}"));
        let len = size(
            row["len"]
                .as_u64()
                .and_then(|len| usize::try_from(len).ok())
                .unwrap_or_default(),
        );
        let _ = match field("kind") {
            Some("message") => writeln!(text, "  a message{from} {of_type}, {len}"),
            Some("exit") => writeln!(text, "  an exit signal{from}"),
            Some("down") => writeln!(text, "  the end{}", from.replace(" from", " of")),
            _ => writeln!(text, "  an order to change its code"),
        };
    }
    if list.matched > list.rows.len() {
        let _ = writeln!(text, "  and {} more", list.matched - list.rows.len());
    }
    text
}

/// How much of the unread mail is shown.
const MAIL_SHOWN: usize = 8;

/// The stack, as in a crash report.
fn stack(view: &StackView) -> String {
    if let Some(why) = &view.unseen {
        return format!("its stack is not seen: {why}\n");
    }
    let width = view.frames.iter().map(|frame| frame.function.chars().count()).max();
    let width = width.unwrap_or_default().min(NAME_WIDTH_MAX);
    let mut text = String::from("it is in\n");
    for (number, frame) in view.frames.iter().enumerate() {
        let function = &frame.function;
        let _ = match place(frame) {
            Some(place) => writeln!(text, "{number:3}: {function:width$}  {place}"),
            None => writeln!(text, "{number:3}: {function}"),
        };
    }
    if view.is_cut {
        text += "  … the functions that called these are not seen\n";
    }
    text
}

/// Names are padded to at most this many columns, so that the places are aligned.
const NAME_WIDTH_MAX: usize = 48;

fn place(frame: &FrameView) -> Option<String> {
    let parts = [frame.line, frame.column]
        .into_iter()
        .map_while(|part| part.filter(|part| *part > 0));
    let numbers: String = parts.map(|part| format!(":{part}")).collect();
    Some(format!("{}{numbers}", frame.file.as_ref()?))
}
