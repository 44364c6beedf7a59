//! Readable names of the functions with which processes begin.

/// The specific part of an entry's name: for a closure, without the SDK function that calls it; for an actor, its type.
pub fn short(entry: &str) -> &str {
    let closure = within(entry, "lunatic::process::spawn::enter").unwrap_or(entry);
    let actor = closure.strip_suffix("::{closure#0}").unwrap_or(closure);
    let actor = ["start_linked", "start"].map(|start| within(actor, &format!("lunatic::actor::life::{start}")));
    actor.into_iter().flatten().next().unwrap_or(closure)
}

/// The part within `<>` after `function`, with or without `::` before it, if nothing else follows.
fn within<'a>(name: &'a str, function: &str) -> Option<&'a str> {
    let generics = name.strip_prefix(function)?;
    let generics = generics.strip_prefix("::").unwrap_or(generics);
    generics.strip_prefix('<')?.strip_suffix('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_short_names() {
        for (entry, expected) in [
            ("_start", "_start"),
            (
                "lunatic::process::spawn::enter::<app::main::{closure#2}>",
                "app::main::{closure#2}",
            ),
            (
                "lunatic::process::spawn::enter::<lunatic::actor::life::start_linked<app::Worker>::{closure#0}>",
                "app::Worker",
            ),
            (
                "lunatic::process::spawn::enter::<lunatic::actor::life::start_linked<lunatic::supervisor::Supervisor<app::Tree>>\
                 ::{closure#0}>",
                "lunatic::supervisor::Supervisor<app::Tree>",
            ),
            ("lunatic::process::spawn::enter", "lunatic::process::spawn::enter"),
        ] {
            assert_eq!(short(entry), expected);
        }
    }
}
