//! Where rights are written down and the table cannot be used: the SDK, which is guest code, and the documents. Each is
//! read as text and compared with the table, and each difference is told by a sentence.

use std::collections::BTreeSet;
use std::path::Path;

use lunatic_rights::table::{self, Entry, GENERAL, RIGHTS, Unasked};

const SDK: &str = "lunatic/src/rights.rs";
const ABI: &str = "docs/abi.md";
const SECURITY: &str = "docs/security.md";

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with all differences that `check` finds in the file.
#[track_caller]
fn holds(file: &str, check: impl Fn(&str) -> Vec<String>) {
    let differences = check(&read(file));
    assert!(differences.is_empty(), "{file}:\n{}", differences.join("\n"));
}

/// A check that never fails shows nothing: with `from` in place of `to`, it has to say `part`.
#[track_caller]
fn finds(file: &str, check: impl Fn(&str) -> Vec<String>, from: &str, to: &str, part: &str) {
    let text = read(file);
    assert!(text.contains(from), "{file} does not say {from:?} any more");
    let differences = check(&text.replace(from, to)).join("\n");
    assert!(differences.contains(part), "{from:?} as {to:?} gives: {differences:?}");
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The cells of the rows of the first table under a heading, without its head.
fn rows<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let lines = text.lines().skip_while(move |line| *line != heading);
    let table = lines
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &'a str| line.trim_matches('|').split('|').map(str::trim).collect();
    table.skip(2).map(cells).collect()
}

/// Each method of `ProcessConfig` with the key that it writes.
fn methods(source: &str) -> BTreeSet<(&str, &str)> {
    let (code, _) = source.split_once("#[cfg(test)]").expect("the SDK's tests come last");
    let functions = code.split("pub fn ").skip(1);
    let method = |function| {
        let function: &str = function;
        let (_, written) = function
            .split_once("self.entry(\"")
            .or_else(|| function.split_once("Self::of(\""))?;
        Some((function.split_once('(')?.0, written.split_once('"')?.0))
    };
    functions.filter_map(method).collect()
}

fn check_methods(source: &str) -> Vec<String> {
    let written = methods(source);
    let meant: BTreeSet<_> = table::entries()
        .flat_map(|entry| entry.calls.iter().map(|call| (*call, entry.key)))
        .collect();
    let missing = meant
        .difference(&written)
        .map(|(call, key)| format!("`{call}` is no method that writes an entry `{key}`, as the table says"));
    // Without an entry there would be no configuration: `new` writes one that changes nothing.
    let unknown = written
        .difference(&meant)
        .filter(|(call, key)| (*call, *key) != ("new", "no-dirs"))
        .map(|(call, key)| format!("the method `{call}` writes an entry `{key}`, which the table does not say"));
    missing.chain(unknown).collect()
}

/// The variants of `Right` and their words: `Self::Spawn => "spawn"`.
fn check_words(source: &str) -> Vec<String> {
    let arms = source.split("Self::").filter_map(|arm| arm.split_once(" => \""));
    let written: BTreeSet<_> = arms
        .filter_map(|(name, word)| Some((name.to_lowercase(), word.split_once('"')?.0)))
        .collect();
    let meant: BTreeSet<_> = table::words().map(|word| (word.to_owned(), word)).collect();
    let differing = meant.symmetric_difference(&written);
    let tell =
        |(name, word): &(String, &str)| format!("`{name}` with the word \"{word}\" is in `Right` or in the table only");
    differing.map(tell).collect()
}

/// An entry's key has to be somewhere in the table, and each form of its value, if any is there.
fn check_entry(entry: &Entry, known: &BTreeSet<&str>) -> Vec<String> {
    let key = entry.key;
    if known.contains(key) {
        return Vec::new();
    }
    let forms = entry.forms.iter().map(|form| format!("{key}={form}"));
    let missing = forms.filter(|form| !known.contains(&**form));
    let mut missing: Vec<_> = missing.map(|form| format!("the entry `{form}` is missing")).collect();
    if entry.forms.is_empty() {
        missing.push(format!("the entry `{key}` is missing"));
    }
    missing
}

fn check_configurations(text: &str) -> Vec<String> {
    let rows = rows(text, "### Configurations");
    let known: BTreeSet<_> = rows.iter().flatten().flat_map(|cell| quoted(cell)).collect();
    let missing = table::entries().flat_map(|entry| check_entry(entry, &known));
    let words = table::words()
        .chain([table::ALL])
        .filter(|word| !known.contains(word))
        .map(|word| format!("`{word}`, which can be allowed, is missing"));
    let keys = rows.iter().flat_map(|row| quoted(row[0]));
    let unknown = keys
        .map(|entry| entry.split_once('=').map_or(entry, |(key, _)| key))
        .filter(|key| table::entries().all(|entry| entry.key != *key))
        .map(|key| format!("the table has no entry `{key}`"));
    missing.chain(words).chain(unknown).collect()
}

/// The questions of `allows`: words, and then what `lunatic_rights::net` answers.
fn check_questions(text: &str) -> Vec<String> {
    let rows = rows(text, "## `lunatic::rights`");
    let allows = rows.iter().find(|row| row[0].starts_with("`allows("));
    let known = allows.map(|row| quoted(row[1])).unwrap_or_default();
    let known: BTreeSet<_> = known.into_iter().filter(|question| !question.contains(':')).collect();
    let differing = table::words().collect::<BTreeSet<_>>();
    let differing = differing.symmetric_difference(&known);
    let tell = |word: &&str| format!("the question `{word}` is in the document or in the table only");
    differing.map(tell).collect()
}

fn check_security(text: &str) -> Vec<String> {
    let rows = rows(text, "## Rights");
    let mut differences: Vec<_> = rows
        .iter()
        .filter(|row| RIGHTS.iter().all(|right| right.name != row[0]))
        .map(|row| format!("the table has no right called {:?}", row[0]))
        .collect();
    for right in RIGHTS {
        let name = right.name;
        let Some(row) = rows.iter().find(|row| row[0] == name) else {
            differences.push(format!("there is no row for {name:?}"));
            continue;
        };
        let flag = right.flag.map(|flag| format!("`--{} {}`", flag.name, flag.value));
        let unasked = match right.unasked {
            Unasked::Nothing => &["none", "nothing", "no"][..],
            Unasked::Parents => &["the parent's"],
        };
        let calls: Vec<String> = match right.word() {
            Some(word) => {
                let variant = word[..1].to_uppercase() + &word[1..];
                vec![format!("allow(Right::{variant})"), "deny".to_owned()]
            }
            None => right
                .entries()
                .iter()
                .flat_map(|entry| entry.calls)
                .map(|call| (*call).to_owned())
                .collect(),
        };
        let told = [
            ("flag", row[2] == flag.unwrap_or_default(), row[2]),
            ("new", unasked.contains(&row[3]), row[3]),
            ("SDK", quoted(row[4]) == calls, row[4]),
        ];
        let wrong = told.iter().filter(|(_, is_right, _)| !is_right);
        differences
            .extend(wrong.map(|(column, _, cell)| format!("{name:?} has {cell:?} under {column:?}, the table not")));
    }
    differences
}

#[test]
fn the_sdk_writes_what_the_table_says() {
    holds(SDK, check_methods);
    holds(SDK, check_words);
    let general: Vec<_> = GENERAL.iter().flat_map(|entry| entry.calls).collect();
    assert_eq!(general, [&"inherit", &"allow", &"deny"], "`new` is the only other one");
}

#[test]
fn a_difference_in_the_sdk_is_found() {
    finds(
        SDK,
        check_methods,
        "\"max-files\"",
        "\"files-max\"",
        "the method `max_files` writes an entry `files-max`",
    );
    finds(
        SDK,
        check_methods,
        "pub fn no_env",
        "pub fn without_env",
        "`no_env` is no method that writes an entry `no-env`",
    );
    finds(
        SDK,
        check_words,
        "\"names\"",
        "\"name\"",
        "`names` with the word \"name\"",
    );
}

#[test]
fn the_interface_is_written_down() {
    holds(ABI, check_configurations);
    holds(ABI, check_questions);
}

#[test]
fn a_difference_in_the_interface_is_found() {
    finds(
        ABI,
        check_configurations,
        "`no-env`",
        "no-env",
        "the entry `no-env` is missing",
    );
    finds(
        ABI,
        check_configurations,
        "`env=NAME`",
        "",
        "the entry `env=NAME` is missing",
    );
    finds(
        ABI,
        check_configurations,
        "`cpu-share=PERCENT`",
        "`share=PERCENT`",
        "the table has no entry `share`",
    );
    finds(
        ABI,
        check_configurations,
        "`names` (",
        "names (",
        "`names`, which can be allowed, is missing",
    );
    finds(ABI, check_questions, "may `spawn`,", "may", "the question `spawn`");
}

#[test]
fn the_promises_are_written_down() {
    holds(SECURITY, check_security);
}

#[test]
fn a_difference_in_the_promises_is_found() {
    let missing = "there is no row for \"mailbox of a process\"";
    finds(
        SECURITY,
        check_security,
        "| mailbox of a process |",
        "| mailbox |",
        missing,
    );
    finds(
        SECURITY,
        check_security,
        "`--max-files N`",
        "`--files N`",
        "`--files N`",
    );
    finds(SECURITY, check_security, "`tree_sockets`", "`sockets`", "under \"SDK\"");
    finds(
        SECURITY,
        check_security,
        "| real | | the parent's |",
        "| real | | none |",
        "\"clocks\" has \"none\"",
    );
}
