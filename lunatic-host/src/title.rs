//! What the functions that processes begin with are called where people read it.

/// What is specific of the name of an entry: that of a closure without the function of the SDK that calls it, and of an actor
/// its type.
pub fn short(entry: &str) -> &str {
    let closure = within(entry, "lunatic::process::spawn::enter").unwrap_or(entry);
    let actor = closure.strip_suffix("::{closure#0}").unwrap_or(closure);
    let actor = ["start_linked", "start"].map(|start| within(actor, &format!("lunatic::actor::life::{start}")));
    actor.into_iter().flatten().next().unwrap_or(closure)
}

/// What stands in `<>` behind `function`, with `::` before it or not, if that is all.
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
