//! `lunatic trace`: what processes of a program do, one line per event, as it happens.

use std::io::{self, Write as _};
use std::ops::ControlFlow;

use lunatic_admin::view::EventView;

use super::{At, size};

/// Which processes and events, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub struct Trace {
    /// The process, such as 17 or 17.2 [default: all]
    process: Option<lunatic_host::Id>,

    /// Only processes with PART in a registered name or in the name of their entry function
    #[arg(long, value_name = "PART")]
    name: Option<String>,

    /// Which events to show, separated by commas
    #[arg(
        long,
        value_name = "KINDS",
        default_value = "spawned,ended,sent,received,waits,runs,alarm"
    )]
    kinds: String,

    /// Stop after this many events
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,

    /// Stop after this many seconds
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,

    #[command(flatten)]
    at: At,
}

impl Trace {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let mut failed = Ok(());
        self.at.client()?.follow(&self.path(), |event: EventView| {
            let line = match self.at.json {
                true => serde_json::to_string(&event).expect("views have no keys but texts"),
                false => line(&event),
            };
            if line.is_empty() {
                return ControlFlow::Continue(());
            }
            match writeln!(io::stdout(), "{line}") {
                Ok(()) => ControlFlow::Continue(()),
                // The reader, such as `head`, has read enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ControlFlow::Break(()),
                Err(error) => {
                    failed = Err(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        Ok(failed?)
    }

    fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("kinds", &self.kinds)
            .append_pair("limit", &self.limit.to_string())
            .append_pair("seconds", &self.seconds.to_string());
        if let Some(process) = self.process {
            query.append_pair("process", &process.to_string());
        }
        if let Some(name) = &self.name {
            query.append_pair("name", name);
        }
        format!("/v1/events?{}", query.finish())
    }
}

/// An event in words; empty for the end of the stream.
fn line(event: &EventView) -> String {
    let named = |id: &str, title: &str| match title {
        "" => id.to_owned(),
        title => format!("{id} {title}"),
    };
    let other = event.other.as_deref().map(|id| named(id, &event.other_title));
    let other = other.unwrap_or_else(|| "nobody".into());
    let message = format!(
        "{} with tag {}",
        size(event.len.unwrap_or_default()),
        event.tag.as_deref().unwrap_or("none")
    );
    let what = match &*event.event {
        "spawned" => format!("was spawned by {other}"),
        "ended" => event.reason_text.clone().unwrap_or_default(),
        "sent" => format!("sends {message} to {other}"),
        "received" => format!("receives {message}"),
        "waits" => format!("waits for {}", event.waits_for.as_deref().unwrap_or("something")),
        "runs" => "runs".to_owned(),
        "alarm" => {
            let alarm = event.alarm.clone().unwrap_or_default();
            return format!(
                "{:12.6}  alarm: {}; {}",
                event.at_us as f64 / 1e6,
                alarm.text,
                alarm.advice
            );
        }
        "lost" => {
            return format!(
                "note: {} events were left out, because there were too many: select one process, or fewer kinds of events",
                event.lost.unwrap_or_default()
            );
        }
        _ => return String::new(),
    };
    let seconds = event.at_us as f64 / 1e6;
    format!("{seconds:12.6}  {}: {what}", named(&event.process, &event.title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines() {
        let event = |json: &str| line(&serde_json::from_str(json).unwrap());
        assert_eq!(
            event(
                r##"{"event":"sent","at_us":1500000,"process":"#3","title":"main","other":"#4","tag":"0f","len":2048}"##
            ),
            "    1.500000  #3 main: sends 2.0 KiB with tag 0f to #4"
        );
        assert_eq!(
            event(r##"{"event":"ended","at_us":1,"process":"#3","reason":"panic","reason_text":"panicked: no"}"##),
            "    0.000001  #3: panicked: no"
        );
        assert!(event(r#"{"event":"lost","lost":7}"#).starts_with("note: 7 events"));
        assert_eq!(event(r#"{"event":"end"}"#), "");
    }
}
