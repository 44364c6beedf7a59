//! `lunatic tree`: the processes of a program, each below the process that spawned it.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use lunatic_admin::view::{PageView, ProcessView};

use super::At;

/// The most processes that are shown.
const PROCESSES_MAX: usize = 10_000;
/// The most children of one process with the same entry function that are shown; the rest is only counted.
const ALIKE_MAX: usize = 5;

pub(super) fn run(at: &At) -> anyhow::Result<()> {
    let page: PageView = at.client()?.get(&format!("/v1/processes?limit={PROCESSES_MAX}"))?;
    at.print(&page, || tree(&page))
}

fn tree(page: &PageView) -> String {
    let living: HashSet<&str> = page.processes.iter().map(|process| &*process.id).collect();
    let mut children = BTreeMap::<Option<&str>, Vec<&ProcessView>>::new();
    for process in &page.processes {
        // A process whose parent has ended is shown at the root.
        let parent = process.parent.as_deref().filter(|parent| living.contains(parent));
        children.entry(parent).or_default().push(process);
    }
    let mut text = String::new();
    branch(&children, None, "", &mut text);
    if page.processes.len() < page.matched {
        let _ = writeln!(text, "… and {} more processes", page.matched - page.processes.len());
    }
    text
}

/// What a line shows: a process, or how many more there are like the last one.
enum Line<'a> {
    Process(&'a ProcessView),
    More(usize, String),
}

fn branch(children: &BTreeMap<Option<&str>, Vec<&ProcessView>>, of: Option<&str>, indent: &str, text: &mut String) {
    let lines = lines(children, of);
    for (number, line) in lines.iter().enumerate() {
        let is_last = number + 1 == lines.len();
        let (mark, below) = match (of, is_last) {
            (None, _) => ("", ""),
            (_, false) => ("├─ ", "│  "),
            (_, true) => ("└─ ", "   "),
        };
        let _ = match line {
            Line::More(count, name) => writeln!(text, "{indent}{mark}… and {count} more: {name}"),
            Line::Process(process) => {
                let what = process.waits_for.as_ref().map(|what| format!("  waits for {what}"));
                let what = what.unwrap_or_else(|| format!("  {}", process.state));
                let written = writeln!(text, "{indent}{mark}{} {}{what}", process.id, process.title);
                branch(children, Some(&process.id), &format!("{indent}{below}"), text);
                written
            }
        };
    }
}

/// The children of a process. Of many childless ones that are alike, some are shown and the rest is counted.
fn lines<'a>(children: &BTreeMap<Option<&str>, Vec<&'a ProcessView>>, of: Option<&str>) -> Vec<Line<'a>> {
    let mut alike = BTreeMap::<String, usize>::new();
    let mut lines = Vec::new();
    for process in children.get(&of).into_iter().flatten() {
        let count = alike.entry(process.title.clone()).or_default();
        *count += 1;
        if *count <= ALIKE_MAX || children.contains_key(&Some(&*process.id)) {
            lines.push(Line::Process(process));
            if *count > ALIKE_MAX {
                *count -= 1;
            }
        }
    }
    let more = alike.into_iter().filter(|(_, count)| *count > ALIKE_MAX);
    lines.extend(more.map(|(name, count)| Line::More(count - ALIKE_MAX, name)));
    lines
}
