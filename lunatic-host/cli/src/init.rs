//! `lunatic init`: configures cargo to build for WebAssembly and to run the result with Lunatic.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

const TARGET: &str = "wasm32-wasip1";
const RUNNER: &str = "lunatic run";

/// Writes the target and the runner into `.cargo/config.toml` in `folder`, and returns the path of that file. Leaves a
/// file that has both as it is.
///
/// # Errors
///
/// If the file cannot be read or written, or sets another target or runner.
pub fn init(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join(".cargo").join("config.toml");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("could not read {}", path.display())),
    };
    let changed = with_runner(&text).with_context(|| format!("cannot change {}", path.display()))?;
    if changed != text {
        let written = std::fs::create_dir_all(folder.join(".cargo")).and_then(|()| std::fs::write(&path, changed));
        written.with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(path)
}

/// The configuration with target and runner set; everything else, including comments, is unchanged.
fn with_runner(text: &str) -> anyhow::Result<String> {
    let table: toml::Table = text.parse().context("it is not valid TOML")?;
    let mut text = text.to_owned();
    let runner_table = format!("target.{TARGET}");
    for (header, key, value) in [("build", "target", TARGET), (&runner_table, "runner", RUNNER)] {
        let mut found = Some(&table);
        for name in header.split('.') {
            found = found.and_then(|table| table.get(name)?.as_table());
        }
        match found.and_then(|table| table.get(key)) {
            Some(toml::Value::String(set)) if set == value || (key == "runner" && set == "lunatic") => {}
            Some(set) => bail!("{header}.{key} is {set} already: set it to {value:?}, or leave it"),
            None => set(&mut text, header, key, value)?,
        }
    }
    Ok(text)
}

/// Adds a key to a table; adds the table, too, if it is missing.
fn set(text: &mut String, header: &str, key: &str, value: &str) -> anyhow::Result<()> {
    let line = format!("{key} = {value:?}\n");
    let table = format!("[{header}]");
    let own_line = text
        .match_indices(&table)
        .find(|(at, _)| *at == 0 || text[..*at].ends_with('\n'));
    match own_line {
        Some((at, _)) => {
            let end = text[at..].find('\n').map_or(text.len(), |len| at + len + 1);
            if !text[..end].ends_with('\n') {
                text.push('\n');
                return set(text, header, key, value);
            }
            text.insert_str(end, &line);
        }
        None => {
            if !text.is_empty() {
                text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
            }
            text.push_str(&format!("{table}\n{line}"));
        }
    }
    // The table may be written in another form, such as `build.jobs = 1`; a second one is then invalid.
    let check: Result<toml::Table, _> = text.parse();
    check.with_context(|| format!("add `{}` to {table} yourself", line.trim()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_and_what_is_missing_comes() {
        let both = "[build]\ntarget = \"wasm32-wasip1\"\n\n[target.wasm32-wasip1]\nrunner = \"lunatic run\"\n";
        assert_eq!(with_runner("").unwrap(), both);
        assert_eq!(with_runner(both).unwrap(), both);
        assert_eq!(
            with_runner("# mine\n[build] # jobs\njobs = 1").unwrap(),
            "# mine\n[build] # jobs\ntarget = \"wasm32-wasip1\"\njobs = 1\n\n[target.wasm32-wasip1]\nrunner = \"lunatic run\"\n"
        );
        let older = both.replace("lunatic run", "lunatic");
        assert_eq!(with_runner(&older).unwrap(), older);
    }

    #[test]
    fn another_target_or_runner_is_not_overwritten() {
        for text in [
            "[build]\ntarget = \"wasm32-wasi\"\n",
            "[target.wasm32-wasip1]\nrunner = \"wasmtime\"\n",
            "[build]\ntarget = [\"a\", \"b\"]\n",
            "build.jobs = 1\n",
            "[build\n",
        ] {
            assert!(with_runner(text).is_err(), "{text}");
        }
    }
}
