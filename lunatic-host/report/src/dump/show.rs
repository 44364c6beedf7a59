//! Formats a dump for people.

use std::fmt::{self, Write as _};

use super::read::Core;
use super::{Entry, Rights};
use crate::untrusted::{line, lines};

/// The most items of a list that are shown.
const SHOWN_MAX: usize = 20;
/// Bytes of the memory per line.
const ROW: usize = 16;

impl fmt::Display for Core<'_> {
    /// Formats everything except the bytes of the memory, some of which [`hex`](Core::hex) shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = &self.about;
        if about.report.is_empty() {
            writeln!(f, "process {}", line(&about.process))?;
        } else {
            write!(f, "{}", lines(about.report.trim_end()))?;
            writeln!(f)?;
        }
        writeln!(f)?;
        self.write_facts(f)?;
        write_mailbox(f, &about.mailbox, about.mailbox_len)?;
        write_rights(f, &about.rights)
    }
}

impl Core<'_> {
    fn write_facts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = &self.about;
        let mut fact = |name: &str, value: &dyn fmt::Display| {
            let value = line(value).to_string();
            if value.is_empty() {
                Ok(())
            } else {
                writeln!(f, "{name:14} {value}")
            }
        };
        fact("program", &self.program)?;
        fact("written", &format_args!("{}, by {}", Time(about.time_ms), about.host))?;
        fact("process", &about.process)?;
        fact("names", &about.names.join(" "))?;
        fact("begins in", &about.entry.as_deref().unwrap_or_default())?;
        fact("code", &about.code)?;
        fact("parent", &about.parent.as_deref().unwrap_or("none"))?;
        fact("ended", &about.reason)?;
        fact("waits for", &about.waits_for)?;
        fact(
            "time on a core",
            &format_args!("{} ms; {} runs", about.cpu_ms, about.runs),
        )?;
        fact("timers", &about.timers)?;
        fact("traps exits", &if about.traps_exits { "yes" } else { "no" })?;
        fact("linked to", &list(&about.links, about.links_len))?;
        fact("monitors", &list(&about.monitors, about.monitors.len()))?;
        fact("monitored by", &list(&about.monitored_by, about.monitored_by.len()))?;
        fact("left out", &about.without.join(", "))?;
        if about.crashes_left_out > 0 {
            let count = about.crashes_left_out;
            fact("before it", &format_args!("{count} crashes that were not dumped"))?;
        }
        fact("memory", &self.memory_in_words())?;
        fact(
            "mailbox",
            &format_args!("{} entries, {} bytes", about.mailbox_len, about.mailbox_bytes),
        )
    }

    fn memory_in_words(&self) -> String {
        let (written, pieces) = self.written();
        let mut words = format!("{} bytes; {written} of them here, in {pieces} pieces", self.memory_len);
        if self.about.memory_missing > 0 {
            let _ = write!(words, "; {} had no room", self.about.memory_missing);
        }
        words
    }

    /// Returns bytes of the memory from `address` on, as hexadecimal digits and as text; `None` if they are not all
    /// inside the memory.
    pub fn hex(&self, address: u64, len: u64) -> Option<String> {
        let bytes = self.bytes(address..address.checked_add(len)?)?;
        let mut text = String::new();
        for (row, bytes) in bytes.chunks(ROW).enumerate() {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
            let _ = writeln!(
                text,
                "{:08x}  {digits:48} {}",
                address + (row * ROW) as u64,
                printable(bytes)
            );
        }
        Some(text)
    }
}

fn printable(bytes: &[u8]) -> String {
    let shown = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '.',
    };
    bytes.iter().map(shown).collect()
}

fn list(ids: &[String], len: usize) -> String {
    let shown = ids.len().min(SHOWN_MAX);
    let mut text = ids[..shown].join(" ");
    if len > shown {
        let _ = write!(text, " and {} more", len - shown);
    }
    text
}

fn write_mailbox(f: &mut fmt::Formatter<'_>, entries: &[Entry], len: usize) -> fmt::Result {
    for entry in entries.iter().take(SHOWN_MAX) {
        let Entry {
            kind, tag, len, start, ..
        } = entry;
        let from = entry
            .from
            .as_ref()
            .map(|from| format!(" of {from}"))
            .unwrap_or_default();
        let text = printable(&bytes(start));
        writeln!(
            f,
            "{}",
            line(format_args!(
                "    {kind}{from}, tag {tag}, {len} bytes: {start}  {text}"
            ))
        )?;
    }
    match len.saturating_sub(entries.len().min(SHOWN_MAX)) {
        0 => Ok(()),
        more => writeln!(f, "    … {more} more"),
    }
}

/// The bytes for hexadecimal digits; empty for others.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().as_chunks::<2>().0.iter();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    pairs.map_while(byte).collect()
}

fn write_rights(f: &mut fmt::Formatter<'_>, rights: &Rights) -> fmt::Result {
    let mut right = |name: &str, values: &[String]| match values.is_empty() {
        true => writeln!(f, "{name:14} none"),
        false => writeln!(f, "{name:14} {}", line(list(values, values.len()))),
    };
    right("may", &rights.may)?;
    right("folders", &rights.dirs)?;
    right("variables", &rights.env)?;
    right("network", &rights.net)?;
    let mailbox = rights
        .max_mailbox
        .map_or_else(|| "any".to_owned(), |max| max.to_string());
    writeln!(
        f,
        "{:14} {} bytes of memory, {} files, {mailbox} messages{}",
        "at most",
        rights.max_memory,
        rights.max_files,
        if rights.has_budget { ", and a budget" } else { "" }
    )
}

/// A time in milliseconds since 1970, as a date.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 86_400;
        let seconds = self.0 / 1000;
        // Years begin in March, and leap days come last: 146,097 days are 400 years.
        let days = seconds / DAY + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = 400 * era + year + next;
        let (hours, minutes) = (seconds % DAY / 3600, seconds % 3600 / 60);
        write!(
            f,
            "{year}-{month:02}-{day:02} {hours:02}:{minutes:02}:{:02} UTC",
            seconds % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_735_689_600, "2025-01-01 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(Time(seconds * 1000).to_string(), date);
        }
    }
}
