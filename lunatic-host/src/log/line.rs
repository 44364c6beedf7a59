//! Formats records: as a line for people, or as a line of JSON for programs.
//!
//! Whatever a guest wrote stays within its line and its field: line ends, terminal control characters and characters
//! that change the direction of text are escaped.

use std::fmt::{self, Display, Write as _};
use std::time::SystemTime;

use humantime::format_rfc3339_micros;
use lunatic_sys::record::{Span, Value};
use lunatic_sys::trace::Context;

use crate::report::untrusted;

/// The format of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object on a line.
    Json,
}

/// A record, with what the host knows about it.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// When it was made.
    pub time: SystemTime,
    /// The level, from 1 (error) to 5 (trace).
    pub level: i32,
    /// The part of the program that it is about.
    pub target: &'a str,
    /// The id and name of its process; the host's own records have none.
    pub process: Option<(&'a str, &'a str)>,
    /// The text for people.
    pub message: &'a str,
    /// Further data, by name.
    pub fields: &'a [(&'a str, Value<'a>)],
    /// The spans in which the process was, the outermost first.
    pub spans: &'a [Span<'a>],
    /// The trace that the process was working for.
    pub context: Option<&'a Context>,
}

impl Line<'_> {
    /// Formats the line, including its newline.
    pub(crate) fn to_text(&self, format: Format) -> String {
        let mut out = String::with_capacity(128 + self.message.len());
        let written = match format {
            Format::Text => self.text(&mut out),
            Format::Json => self.json(&mut out),
        };
        written.expect("a text takes all");
        out.push('\n');
        out
    }

    fn level(&self) -> &'static str {
        ["OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"][self.level.clamp(0, 5) as usize]
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        write!(out, "{} {:>5} ", format_rfc3339_micros(self.time), self.level())?;
        if let Some((id, name)) = self.process {
            let space = if name.is_empty() { "" } else { " " };
            write!(out, "[{id}{space}{}] ", untrusted::line(name))?;
        }
        write!(out, "{}: ", untrusted::line(self.target))?;
        for (at, span) in self.spans.iter().enumerate() {
            let before = if at == 0 { "" } else { ":" };
            write!(out, "{before}{}", untrusted::line(span.name))?;
            if !span.fields.is_empty() {
                out.write_char('{')?;
                text_fields(out, &span.fields, "")?;
                out.write_char('}')?;
            }
        }
        if !self.spans.is_empty() {
            out.write_str(": ")?;
        }
        write!(out, "{}", untrusted::line(self.message))?;
        let before = if self.message.is_empty() { "" } else { " " };
        text_fields(out, self.fields, before)
    }

    fn json(&self, out: &mut String) -> fmt::Result {
        write!(
            out,
            r#"{{"time":"{}","level":"{}","target":{}"#,
            format_rfc3339_micros(self.time),
            self.level(),
            Quoted(self.target)
        )?;
        if let Some((id, name)) = self.process {
            write!(out, r#","process":{},"name":{}"#, Quoted(id), Quoted(name))?;
        }
        write!(out, r#","message":{}"#, Quoted(self.message))?;
        if !self.fields.is_empty() {
            out.write_str(r#","fields":"#)?;
            json_fields(out, self.fields)?;
        }
        for (at, span) in self.spans.iter().enumerate() {
            let before = if at == 0 { r#","spans":["# } else { "," };
            write!(out, r#"{before}{{"name":{},"fields":"#, Quoted(span.name))?;
            json_fields(out, &span.fields)?;
            out.write_char('}')?;
        }
        out.write_str(if self.spans.is_empty() { "" } else { "]" })?;
        if let Some(context) = self.context {
            let (trace, span) = (u128::from_be_bytes(context.trace), u64::from_be_bytes(context.span));
            write!(out, r#","trace_id":"{trace:032x}","span_id":"{span:016x}""#)?;
        }
        out.write_char('}')
    }
}

/// `before` is written before the first field.
fn text_fields(out: &mut String, fields: &[(&str, Value<'_>)], mut before: &str) -> fmt::Result {
    for (name, value) in fields {
        write!(out, "{before}{}=", untrusted::line(name))?;
        before = " ";
        match value {
            // Text that would not look like one value.
            Value::Text(text) if text.is_empty() || text.contains([' ', '=', '"', '{', '}']) => {
                write!(
                    out,
                    "{}",
                    untrusted::line(format_args!("\"{}\"", text.replace('"', "\\\"")))
                )?;
            }
            Value::Text(text) => write!(out, "{}", untrusted::line(text))?,
            value => number(out, value)?,
        }
    }
    Ok(())
}

fn json_fields(out: &mut String, fields: &[(&str, Value<'_>)]) -> fmt::Result {
    for (at, (name, value)) in fields.iter().enumerate() {
        write!(out, "{}{}:", if at == 0 { "{" } else { "," }, Quoted(name))?;
        match value {
            Value::Text(text) => write!(out, "{}", Quoted(text))?,
            Value::Float(value) if !value.is_finite() => write!(out, r#""{value}""#)?,
            value => number(out, value)?,
        }
    }
    out.write_str(if fields.is_empty() { "{}" } else { "}" })
}

fn number(out: &mut String, value: &Value<'_>) -> fmt::Result {
    match value {
        Value::Signed(value) => write!(out, "{value}"),
        Value::Unsigned(value) => write!(out, "{value}"),
        // With all digits that a decimal number needs, and a point: `1.0`, `1e300`.
        Value::Float(value) => write!(out, "{value:?}"),
        Value::Bool(value) => write!(out, "{value}"),
        _ => Ok(()),
    }
}

/// A JSON string without terminal control characters.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut rest = self.0;
        while let Some(at) = rest.find(|c| matches!(c, '"' | '\\') || untrusted::does_something(c)) {
            let (before, found) = rest.split_at(at);
            f.write_str(before)?;
            let mut chars = found.chars();
            match chars.next() {
                Some('\n') => f.write_str("\\n")?,
                Some('\t') => f.write_str("\\t")?,
                Some(c @ ('"' | '\\')) => write!(f, "\\{c}")?,
                // All of these have four digits.
                Some(c) => write!(f, "\\u{:04x}", u32::from(c))?,
                None => {}
            }
            rest = chars.as_str();
        }
        f.write_str(rest)?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn line<'a>(message: &'a str, fields: &'a [(&'a str, Value<'a>)], spans: &'a [Span<'a>]) -> Line<'a> {
        Line {
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001),
            level: 3,
            target: "shop::stock",
            process: Some(("#3", "shop::Stock")),
            message,
            fields,
            spans,
            context: None,
        }
    }

    fn fields() -> Vec<(&'static str, Value<'static>)> {
        vec![
            ("item", Value::Text("umbrella".into())),
            ("why", Value::Text("a \"b\"".into())),
            ("left", Value::Signed(-2)),
            ("share", Value::Float(0.5)),
            ("odd", Value::Float(f64::NAN)),
            ("all", Value::Bool(true)),
        ]
    }

    fn spans() -> [Span<'static>; 2] {
        [
            Span {
                name: "order",
                fields: vec![("id", Value::Unsigned(7))],
            },
            Span {
                name: "pack",
                fields: Vec::new(),
            },
        ]
    }

    #[test]
    fn people_get_a_line() {
        assert_eq!(
            line("sold", &fields(), &spans()).to_text(Format::Text),
            "2023-11-14T22:13:20.000001Z  INFO [#3 shop::Stock] shop::stock: order{id=7}:pack: sold item=umbrella \
             why=\"a \\\"b\\\"\" left=-2 share=0.5 odd=NaN all=true\n"
        );
        let own = Line {
            process: None,
            level: 2,
            ..line("", &[("n", Value::Unsigned(1))], &[])
        };
        assert_eq!(
            own.to_text(Format::Text),
            "2023-11-14T22:13:20.000001Z  WARN shop::stock: n=1\n"
        );
    }

    #[test]
    fn programs_get_json() {
        assert_eq!(
            line("a \"b\"\\\n\u{1b}\u{202e}", &fields(), &spans()).to_text(Format::Json),
            concat!(
                r##"{"time":"2023-11-14T22:13:20.000001Z","level":"INFO","target":"shop::stock","process":"#3","name":"shop::Stock","##,
                r#""message":"a \"b\"\\\n\u001b\u202e","fields":{"item":"umbrella","why":"a \"b\"","left":-2,"share":0.5,"#,
                r#""odd":"NaN","all":true},"spans":[{"name":"order","fields":{"id":7}},{"name":"pack","fields":{}}]}"#,
                "\n"
            )
        );
        let own = Line {
            process: None,
            ..line("", &[], &[])
        };
        let expected = r#"{"time":"2023-11-14T22:13:20.000001Z","level":"INFO","target":"shop::stock","message":""}"#;
        assert_eq!(own.to_text(Format::Json), format!("{expected}\n"));
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = Context::parse(parent, "").unwrap();
        let traced = Line {
            context: Some(&context),
            ..own
        };
        assert!(traced.to_text(Format::Json).ends_with(concat!(
            r#","message":"","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}"#,
            "\n"
        )));
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_line(texts in prop::collection::vec(any::<String>(), 7)) {
            let [target, id, name, message, field, value, span] = &texts[..] else { unreachable!() };
            let fields = [(field.as_str(), Value::Text(value.into()))];
            let spans = [Span { name: span, fields: fields.to_vec() }];
            let line = Line { target, process: Some((id, name)), ..line(message, &fields, &spans) };
            for format in [Format::Text, Format::Json] {
                // Ids are the host's, and may be anything here only in JSON.
                let line = Line { process: Some(("#1", name)), ..line };
                let text = line.to_text(format);
                let text = text.strip_suffix('\n').unwrap();
                prop_assert!(!text.contains(untrusted::does_something), "{:?}", text);
            }
        }
    }
}
