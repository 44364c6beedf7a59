//! SIGHUP: reopens the log, and reads those parts of the configuration again that can change while a program runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lunatic_host::log::{Filter, Level};

use crate::manager::Manager;
use crate::voice::Voice;

/// Reads the configuration again and returns the log filter that it sets, if any.
type Read = dyn Fn() -> anyhow::Result<Option<String>> + Send + Sync;

/// A configuration that can be read again.
#[derive(Clone)]
pub struct Configuration {
    folder: PathBuf,
    read: Arc<Read>,
}

impl Configuration {
    /// `read` is called on each SIGHUP; it reads a file in `folder` and returns the value of `log-level`.
    pub fn new(folder: PathBuf, read: impl Fn() -> anyhow::Result<Option<String>> + Send + Sync + 'static) -> Self {
        let read = Arc::new(read);
        Self { folder, read }
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Configuration")
    }
}

/// The reaction to a SIGHUP.
pub(crate) struct Reload {
    pub(crate) voice: Voice,
    pub(crate) manager: Manager,
    pub(crate) configuration: Option<Configuration>,
}

impl Reload {
    /// The folder that it reads from.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.configuration.as_ref().map(|configuration| &*configuration.folder)
    }

    /// Reloads. Whatever fails is reported, and stays unchanged.
    pub(crate) fn run(&self) {
        self.manager.reloads();
        if let Err(error) = self.voice.log.reopen() {
            // Writing continues to the former file.
            self.voice
                .say(Level::Error, &format!("error: the log cannot be opened again: {error}"));
        }
        if let Err(error) = self.read() {
            self.voice.say(
                Level::Error,
                &format!("error: the configuration is not changed: {error:#}"),
            );
        }
        self.manager.is_ready();
    }

    fn read(&self) -> anyhow::Result<()> {
        let Some(configuration) = &self.configuration else {
            return Ok(());
        };
        if let Some(level) = (configuration.read)()? {
            self.voice.log.set_filter(level.parse::<Filter>()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use lunatic_host::log::{Format, Log};
    use lunatic_host::wasi::Output;

    use super::*;

    #[test]
    fn the_level_is_read_again_and_a_bad_one_changes_nothing() {
        let (stderr, capture) = Output::captured();
        let voice = Voice {
            log: Log::new(stderr.clone(), Format::Text, Filter::default()),
            stderr,
        };
        let turn = AtomicUsize::new(0);
        let answers = move || match turn.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(Some("shop=debug".to_owned())),
            1 => Ok(None),
            2 => Ok(Some("shop=much".to_owned())),
            _ => Err(anyhow::anyhow!("no such file")),
        };
        let reload = Reload {
            voice: voice.clone(),
            manager: Manager::default(),
            configuration: Some(Configuration::new("/folder".into(), answers)),
        };
        assert_eq!(reload.folder(), Some(Path::new("/folder")));
        for said in ["", "", "`shop=much` is not a filter", "no such file"] {
            reload.run();
            assert_eq!(voice.log.filter().to_string(), "shop=debug");
            let text = String::from_utf8(capture.take()).unwrap();
            assert!(text.contains(said) && text.is_empty() == said.is_empty(), "{text}");
        }
    }
}
