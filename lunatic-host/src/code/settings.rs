//! The settings of an upgrade as text, as the admin door and guests pass them.

use std::time::Duration;

use super::report::{Canary, UpgradeConfig};

/// The longest time that can be set: a day.
const SECONDS_MAX: Duration = Duration::from_secs(86_400);
/// The largest batch that can be set.
const BATCH_MAX: usize = 10_000;

impl UpgradeConfig {
    /// Sets the setting `name` to `value`.
    ///
    /// | name | value | sets |
    /// |---|---|---|
    /// | `rehearse` | `yes` or `no` | [`rehearse_only`](Self::rehearse_only) |
    /// | `partial` | `yes` or `no` | [`is_partial`](Self::is_partial) |
    /// | `canary` | `none`, a number, a number and `%`, or `name:` and a part of a name | [`canary`](Self::canary) |
    /// | `watch`, `limit`, `patience` | seconds, up to 86400; may have a fraction | [`watch`](Self::watch), [`time_limit`](Self::time_limit), [`patience`](Self::patience) |
    /// | `batch` | `auto`, or a number from 1 to 10000 | [`batch`](Self::batch) |
    /// | `restore` | `yes` or `no` | [`restores_saved`](Self::restores_saved) |
    /// | `children-first` | `yes` or `no` | [`children_first`](Self::children_first) |
    ///
    /// # Errors
    ///
    /// A text that says which value is expected.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |expected: &str| format!("`{name}={value}`: give {expected}");
        let yes = || match value {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(wrong("yes or no")),
        };
        let seconds = || {
            let seconds = value.parse().ok();
            let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let allowed = seconds.filter(|seconds| *seconds <= SECONDS_MAX);
            allowed.ok_or_else(|| wrong("a number of seconds, up to 86400"))
        };
        let count = || {
            let count = value.parse().ok();
            let allowed = count.filter(|count| (1..=BATCH_MAX).contains(count));
            allowed.ok_or_else(|| wrong("auto, or a number from 1 to 10000"))
        };
        match name {
            "rehearse" => self.rehearse_only = yes()?,
            "partial" => self.is_partial = yes()?,
            "canary" => self.canary = Canary::read(value).ok_or_else(|| wrong("none, N, N% or name:PART"))?,
            "watch" => self.watch = seconds()?,
            "limit" => self.time_limit = seconds()?,
            "patience" => self.patience = seconds()?,
            "batch" if value == "auto" => self.batch = None,
            "batch" => self.batch = Some(count()?),
            "restore" => self.restores_saved = yes()?,
            "children-first" => self.children_first = yes()?,
            _ => return Err(format!("`{name}` is not a known setting")),
        }
        Ok(())
    }
}

impl Canary {
    fn read(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            _ => match (text.strip_prefix("name:"), text.strip_suffix('%')) {
                (Some(part), _) => Some(Self::Named(part.to_owned())),
                (None, Some(percent)) => {
                    let percent = percent.parse().ok();
                    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
                    Some(Self::Percent(percent?))
                }
                (None, None) => Some(Self::Count(text.parse().ok()?)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_set() {
        let mut read = UpgradeConfig::default();
        for (name, value) in [
            ("rehearse", "yes"),
            ("partial", "yes"),
            ("canary", "name:a b"),
            ("watch", "0.5"),
            ("limit", "2"),
            ("patience", "3"),
            ("batch", "7"),
            ("children-first", "yes"),
            ("restore", "no"),
        ] {
            read.set(name, value).unwrap();
        }
        let mut expected = UpgradeConfig::default();
        (expected.rehearse_only, expected.is_partial, expected.children_first) = (true, true, true);
        expected.canary = Canary::Named("a b".into());
        expected.watch = Duration::from_millis(500);
        (expected.time_limit, expected.patience) = (Duration::from_secs(2), Duration::from_secs(3));
        (expected.batch, expected.restores_saved) = (Some(7), false);
        assert_eq!(read, expected);
        read.set("batch", "auto").unwrap();
        assert_eq!(read.batch, None);
        for (text, expected) in [
            ("none", Canary::None),
            ("3", Canary::Count(3)),
            ("2.5%", Canary::Percent(2.5)),
        ] {
            read.set("canary", text).unwrap();
            assert_eq!(read.canary, expected);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_sets_nothing() {
        let mut config = UpgradeConfig::default();
        for (name, value) in [
            ("canary", ""),
            ("canary", "-1"),
            ("canary", "101%"),
            ("canary", "NaN%"),
            ("watch", "-1"),
            ("watch", "86401"),
            ("limit", "x"),
            ("batch", "many"),
            ("batch", "0"),
            ("batch", "10001"),
            ("partial", "perhaps"),
            ("x", "1"),
        ] {
            let error = config.set(name, value).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
        assert_eq!(config, UpgradeConfig::default());
    }
}
