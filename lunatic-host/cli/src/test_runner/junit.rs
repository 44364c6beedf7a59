//! Writes results to a file in the format of JUnit, which services for continuous integration read.
//!
//! There is no standard. This writes what they have in common: `testsuites`, a `testsuite` for each test program,
//! `testcase`, `failure`, `skipped` and `system-out`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::discover::Test;
use super::execute::Outcome;
use super::report::Reporter;
use super::verdict::Verdict;

/// The most bytes of one test's output in the file; of a longer one, the end is kept.
const OUTPUT_LEN_MAX: usize = 1 << 20;

/// A file with the results of one or several test programs. A clone is another handle of the same file.
///
/// After each program, the file holds the results of all programs so far.
#[derive(Debug, Clone)]
pub struct Junit(Arc<Mutex<Written>>);

#[derive(Debug)]
struct Written {
    file: File,
    suites: String,
    sums: Sums,
}

/// What the attributes of a suite count.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    tests: usize,
    failures: usize,
    skipped: usize,
    time: Duration,
}

impl Junit {
    /// Creates the file, or empties it. Its folder must exist.
    ///
    /// # Errors
    ///
    /// Errors of the file system.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Written {
            file: File::create(path)?,
            suites: String::new(),
            sums: Sums::default(),
        }))))
    }

    /// Adds the results of a test program.
    pub(super) fn add(&self, suite: &Suite) -> io::Result<()> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.add(suite);
        let text = written.to_xml();
        written.file.rewind()?;
        written.file.set_len(0)?;
        written.file.write_all(text.as_bytes())
    }
}

impl Written {
    fn add(&mut self, suite: &Suite) {
        let Suite { name, cases, sums } = suite;
        let attributes = sums.attributes();
        // Writing to a `String` does not fail.
        let _ = writeln!(self.suites, "  <testsuite name=\"{}\" {attributes}>", escaped(name));
        self.suites += cases;
        self.suites += "  </testsuite>\n";
        self.sums.tests += sums.tests;
        self.sums.failures += sums.failures;
        self.sums.skipped += sums.skipped;
        self.sums.time += sums.time;
    }

    fn to_xml(&self) -> String {
        let (attributes, suites) = (self.sums.attributes(), &self.suites);
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"lunatic\" {attributes}>\n{suites}</testsuites>\n"
        )
    }
}

impl Sums {
    fn attributes(&self) -> String {
        let Self {
            tests,
            failures,
            skipped,
            time,
        } = self;
        let time = time.as_secs_f64();
        format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{time:.3}\"")
    }
}

/// The results of one test program.
#[derive(Debug, Default)]
pub(super) struct Suite {
    name: String,
    cases: String,
    sums: Sums,
}

impl Suite {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a test that failed, if it did, for this reason, and with this output.
    fn add(&mut self, name: &str, time: Duration, result: &str) {
        let (name, class, time) = (escaped(name), escaped(&self.name), time.as_secs_f64());
        let _ = write!(
            self.cases,
            "    <testcase name=\"{name}\" classname=\"{class}\" time=\"{time:.3}\""
        );
        match result.is_empty() {
            true => self.cases += "/>\n",
            false => _ = write!(self.cases, ">\n{result}    </testcase>\n"),
        }
        self.sums.tests += 1;
    }

    /// Adds a test program that has no tests that it lists, and ended this way.
    pub(super) fn add_main(&mut self, code: i32, time: Duration) {
        let result = match code {
            0 => String::new(),
            code => failure(&format!("it ended with exit code {code}"), ""),
        };
        self.sums.failures += usize::from(code != 0);
        self.sums.time += time;
        self.add("main", time, &result);
    }
}

impl Reporter for Suite {
    fn test_ended(&mut self, test: &Test, outcome: &Outcome, time: Duration) {
        let result = match &outcome.verdict {
            Verdict::Passed => String::new(),
            Verdict::Failed(why) => {
                self.sums.failures += 1;
                let start = outcome.output.len().saturating_sub(OUTPUT_LEN_MAX);
                let output = String::from_utf8_lossy(&outcome.output[start..]);
                failure(why.as_deref().unwrap_or("the test failed: see its output"), &output)
            }
            Verdict::Ignored(why) => {
                self.sums.skipped += 1;
                match why {
                    Some(why) => format!("      <skipped message=\"{}\"/>\n", escaped(why)),
                    None => "      <skipped/>\n".to_owned(),
                }
            }
        };
        self.add(&test.name, time, &result);
    }

    fn end(&mut self, _: usize, time: Duration) {
        self.sums.time = time;
    }
}

fn failure(why: &str, output: &str) -> String {
    let mut text = format!("      <failure message=\"{}\" type=\"failure\"/>\n", escaped(why));
    if !output.is_empty() {
        let _ = writeln!(text, "      <system-out>{}</system-out>", escaped(output));
    }
    text
}

/// Escapes text for XML, which forbids some characters in every form: these become replacement characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' | '\r' | ' '..='\u{fffd}' | '\u{10000}'.. => out.push(char),
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::report::samples;
    use super::*;

    #[test]
    fn results_of_all_programs_are_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("junit.xml");
        let junit = Junit::create(&path).unwrap();
        let mut suite = Suite::new("shop");
        samples::run(&mut suite);
        junit.clone().add(&suite).unwrap();
        let mut main = Suite::new("own");
        main.add_main(3, Duration::from_millis(500));
        junit.add(&main).unwrap();
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites name=\"lunatic\" tests=\"4\" failures=\"2\" errors=\"0\" skipped=\"1\" time=\"2.500\">
  <testsuite name=\"shop\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"2.000\">
    <testcase name=\"a\" classname=\"shop\" time=\"0.250\"/>
    <testcase name=\"b&lt;&quot;&amp;&gt;\" classname=\"shop\" time=\"1.500\">
      <failure message=\"timed out\" type=\"failure\"/>
      <system-out>said \u{fffd}[31m]]&gt;&#10;</system-out>
    </testcase>
    <testcase name=\"c\" classname=\"shop\" time=\"0.000\">
      <skipped message=\"slow\"/>
    </testcase>
  </testsuite>
  <testsuite name=\"own\" tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"0.500\">
    <testcase name=\"main\" classname=\"own\" time=\"0.500\">
      <failure message=\"it ended with exit code 3\" type=\"failure\"/>
    </testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(Junit::create(Path::new("/no/such/folder/junit.xml")).is_err());
    }

    #[test]
    fn no_text_breaks_the_file() {
        assert_eq!(escaped("\0\u{b}\u{fffe}\u{ffff}"), "\u{fffd}".repeat(4));
        assert_eq!(escaped("é\u{1f600}\t'"), "é\u{1f600}\t'");
    }
}
