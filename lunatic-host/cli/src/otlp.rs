//! Exports traces, logs and metrics of a program to an OpenTelemetry collector, if the feature `otlp` is on.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lunatic_host::log::Level;
use lunatic_host::trace::Tracer;
use lunatic_host::{RunningSystem, Runtime, SystemConfig};
use lunatic_otlp::{Config, Exporter, Exporting};

use crate::voice::Voice;

/// The options of the export on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct OtlpArgs {
    /// Send spans, records and metrics of the program to an OpenTelemetry collector, by OTLP over HTTP, such as
    /// http://localhost:4318 [default: OTEL_EXPORTER_OTLP_ENDPOINT, or none]
    #[arg(id = "otlp", long = "otlp", value_name = "ENDPOINT", help_heading = "Host options")]
    pub endpoint: Option<String>,
}

/// How long the program stays after its end to send what remains.
const PATIENCE: Duration = Duration::from_secs(5);

/// An export that is prepared and has not started.
pub(crate) struct Otlp(Exporter);

/// An export that has started.
pub(crate) struct Sending {
    exporting: Exporting,
    voice: Voice,
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

impl OtlpArgs {
    /// Prepares the export for the program in `file`: attaches to its log, which is open, and adds a tracer to its
    /// configuration. `None` if nothing should be exported.
    pub(crate) fn prepare(&self, file: &Path, config: &mut SystemConfig) -> anyhow::Result<Option<Otlp>> {
        let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let endpoint = self.endpoint.clone();
        let Some(endpoint) = endpoint.or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|_| !is_off)) else {
            return Ok(None);
        };
        let name = file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy();
        let sent = Config::new(&endpoint, &name, variable).context("--otlp")?;
        let tracer = Tracer::new(ratio(
            variable("OTEL_TRACES_SAMPLER").as_deref(),
            variable("OTEL_TRACES_SAMPLER_ARG").as_deref(),
        )?);
        let exporter = Exporter::new(sent, &tracer, config.log.as_ref()).context("--otlp")?;
        config.tracer = Some(tracer);
        Ok(Some(Otlp(exporter)))
    }
}

/// The fraction of traces that is recorded, of those that begin here.
fn ratio(sampler: Option<&str>, argument: Option<&str>) -> anyhow::Result<f64> {
    match sampler {
        None | Some("always_on" | "parentbased_always_on") => Ok(1.0),
        Some("always_off" | "parentbased_always_off") => Ok(0.0),
        Some("traceidratio" | "parentbased_traceidratio") => {
            let argument = argument.unwrap_or("1");
            match argument.parse() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
                _ => bail!("OTEL_TRACES_SAMPLER_ARG: `{argument}` is not a number from 0 to 1"),
            }
        }
        Some(other) => bail!(
            "OTEL_TRACES_SAMPLER: `{other}` is not known: always_on, always_off and traceidratio are, and the same with \
             `parentbased_` before them, which they all are"
        ),
    }
}

impl Otlp {
    /// Starts the export.
    pub(crate) fn start(
        self,
        runtime: &Arc<Runtime>,
        system: &Arc<RunningSystem>,
        voice: &Voice,
    ) -> anyhow::Result<Sending> {
        let said = voice.clone();
        let say = move |text: &str| said.say(Level::Warn, &format!("--otlp: {text}"));
        let exporting = self.0.start(runtime, system, say).context("--otlp")?;
        Ok(Sending {
            exporting,
            voice: voice.clone(),
        })
    }
}

impl Sending {
    /// Waits for a while, after the program has ended, until the rest is sent.
    pub(crate) fn finish(self) {
        if !self.exporting.finish(PATIENCE) {
            let text = format!("--otlp: the collector has not taken all within {PATIENCE:?}");
            self.voice.say(Level::Warn, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_are_read() {
        assert_eq!(ratio(None, Some("0.5")).unwrap(), 1.0);
        assert_eq!(ratio(Some("always_off"), None).unwrap(), 0.0);
        assert_eq!(ratio(Some("parentbased_traceidratio"), Some("0.25")).unwrap(), 0.25);
        for (sampler, argument) in [("traceidratio", "2"), ("traceidratio", "x"), ("xray", "1")] {
            let error = ratio(Some(sampler), Some(argument)).unwrap_err().to_string();
            assert!(error.starts_with("OTEL_TRACES_SAMPLER"), "{error}");
        }
    }
}
