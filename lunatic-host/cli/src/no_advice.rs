//! Stands in for `advice` where the numbers of errors are not those of Unix.

/// The text of an error that ends a command.
pub(crate) fn explained(error: &anyhow::Error) -> String {
    format!("{error:#}")
}
