//! The endpoint of the collector, and attributes of the program. The variables are those of OpenTelemetry's
//! specification.

use std::fmt;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Uri, uri};

/// The endpoint of the collector, and attributes of the program.
#[derive(Debug, Clone)]
pub struct Config {
    /// The collector; `/v1/traces` and so on are appended to its path.
    pub endpoint: Uri,
    /// Headers of each request, such as keys.
    pub headers: HeaderMap,
    /// The name of the program.
    pub service: String,
    /// Further attributes of the program.
    pub attributes: Vec<(String, String)>,
    /// How long a request may take. By default 10 seconds.
    pub timeout: Duration,
    /// How often metrics are sent. By default every 60 seconds.
    pub interval: Duration,
}

/// A setting is invalid; says which, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Returns a configuration for this collector, such as `http://localhost:4318`, and a program with this name.
    /// Everything else comes from the variables that `variable` reads: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT` and `OTEL_METRIC_EXPORT_INTERVAL` (both in
    /// milliseconds).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the invalid setting.
    pub fn new(endpoint: &str, program: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let said = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut attributes = match said("OTEL_RESOURCE_ATTRIBUTES") {
            Some(list) => pairs("OTEL_RESOURCE_ATTRIBUTES", &list)?,
            None => Vec::new(),
        };
        let named = attributes.iter().position(|(name, _)| name == "service.name");
        let named = named.map(|at| attributes.remove(at).1);
        let time = |name: &str, default: Duration| match said(name) {
            Some(text) => {
                let ms = text.trim().parse().ok().filter(|ms| *ms > 0);
                let ms = ms.ok_or_else(|| ConfigError(format!("{name} is not a number of milliseconds: {text}")))?;
                Ok(Duration::from_millis(ms))
            }
            None => Ok(default),
        };
        Ok(Self {
            endpoint: read_endpoint(endpoint)?,
            headers: match said("OTEL_EXPORTER_OTLP_HEADERS") {
                Some(list) => read_headers(&list)?,
                None => HeaderMap::new(),
            },
            service: said("OTEL_SERVICE_NAME")
                .or(named)
                .unwrap_or_else(|| program.to_owned()),
            attributes,
            timeout: time("OTEL_EXPORTER_OTLP_TIMEOUT", Duration::from_secs(10))?,
            interval: time("OTEL_METRIC_EXPORT_INTERVAL", Duration::from_secs(60))?,
        })
    }

    /// The address for one signal: `traces`, `logs` or `metrics`.
    pub(crate) fn address(&self, what: &str) -> Uri {
        let path = self.endpoint.path().trim_end_matches('/');
        let mut parts = uri::Parts::from(self.endpoint.clone());
        // A path with this suffix is a valid path.
        parts.path_and_query = format!("{path}/v1/{what}").parse().ok();
        Uri::from_parts(parts).unwrap_or_else(|_| self.endpoint.clone())
    }
}

fn read_endpoint(text: &str) -> Result<Uri, ConfigError> {
    let wrong = |why: &str| ConfigError(format!("`{text}` is not the address of a collector: {why}"));
    let uri: Uri = text.parse().map_err(|_| wrong("it is not a URL"))?;
    let is_known = [&Scheme::HTTP, &Scheme::HTTPS].map(Some).contains(&uri.scheme());
    match uri.host() {
        Some(host) if is_known && !host.is_empty() => Ok(uri),
        _ => Err(wrong("it does not begin with http:// or https:// and a host")),
    }
}

/// Parses a list of `KEY=VALUE`, in which separators are percent-encoded.
fn pairs(name: &str, list: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let pair = |text: &str| {
        let (key, value) = text.split_once('=')?;
        let key = key.trim();
        (!key.is_empty()).then(|| Some((key.to_owned(), decode(value.trim())?)))?
    };
    let texts = list.split(',').filter(|text| !text.trim().is_empty());
    let wrong = |text: &str| ConfigError(format!("{name} has `{text}` where KEY=VALUE is expected"));
    texts.map(|text| pair(text).ok_or_else(|| wrong(text))).collect()
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn read_headers(list: &str) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs("OTEL_EXPORTER_OTLP_HEADERS", list)? {
        // The invalid value is not shown, because it may be a secret.
        let wrong = || ConfigError(format!("OTEL_EXPORTER_OTLP_HEADERS has `{name}`, which cannot be sent"));
        let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.append(HeaderName::try_from(&name).map_err(|_| wrong())?, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoint: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::new(endpoint, "shop.wasm", |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_are_honoured() {
        let plain = config("http://localhost:4318", &[]).unwrap();
        assert_eq!(plain.address("traces"), "http://localhost:4318/v1/traces");
        assert_eq!((plain.service.as_str(), plain.timeout.as_secs()), ("shop.wasm", 10));
        let full = config(
            "https://collector/otlp/",
            &[
                (
                    "OTEL_RESOURCE_ATTRIBUTES",
                    "service.name=other,region=eu%2Cwest, tier = 1",
                ),
                ("OTEL_SERVICE_NAME", "shop"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
                ("OTEL_METRIC_EXPORT_INTERVAL", ""),
            ],
        )
        .unwrap();
        assert_eq!(full.address("logs"), "https://collector/otlp/v1/logs");
        let expected = [("region", "eu,west"), ("tier", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!((full.service.as_str(), full.attributes), ("shop", expected.to_vec()));
        assert_eq!(
            (full.headers["api-key"].as_bytes(), full.timeout.as_millis()),
            (&b"secret"[..], 250)
        );
        assert_eq!(full.interval.as_secs(), 60);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (endpoint, variable, part) in [
            ("localhost:4318", ("", ""), "is not the address of a collector"),
            ("ftp://host", ("", ""), "http:// or https://"),
            ("http://a", ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b"), "has `b` where"),
            (
                "http://a",
                ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
                "`a b`, which cannot be sent",
            ),
            (
                "http://a",
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
                "not a number of milliseconds",
            ),
        ] {
            let error = config(endpoint, &[variable]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
