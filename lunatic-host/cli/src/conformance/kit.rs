//! The conformance kit: what a guest must do, as text.

/// The kit of this version.
const KIT: &str = include_str!("kit.txt");

/// One case: something that a guest must be able to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// The requirement in words.
    pub(super) must: &'static str,
    /// The lines that the guest must print.
    pub(super) prints: Vec<&'static str>,
    /// How the main process must end, in the words of a report.
    pub(super) ends: &'static str,
}

/// The cases of the kit, in its order.
pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in KIT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        if word == "case" {
            cases.push(Case {
                name: text,
                ends: "ended normally",
                ..Case::default()
            });
        } else if let Some(case) = cases.last_mut() {
            match word {
                "must" => case.must = text,
                "ends" => case.ends = text,
                _ => case.prints.push(text),
            }
        }
    }
    cases
}

impl Case {
    /// The differences between what a guest did and what the case requires; empty if there are none.
    pub(super) fn judge(&self, printed: &str, ended: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let lines: Vec<_> = printed.lines().collect();
        if lines != self.prints {
            let [expected, got] = [&self.prints, &lines].map(|lines| lines.join("\n    "));
            wrong.push(format!("must print\n    {expected}\n  and printed\n    {got}"));
        }
        if ended != self.ends {
            wrong.push(format!("the main process {ended}, where it must have {}", self.ends));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kit_is_read_in_full() {
        let cases = cases();
        assert_eq!(cases.len(), KIT.matches("\ncase ").count());
        let lines: usize = cases.iter().map(|case| case.prints.len()).sum();
        assert_eq!(lines, KIT.matches("\n> ").count());
        for case in &cases {
            assert!(!case.name.contains(' ') && !case.must.is_empty(), "{case:?}");
            let same = cases.iter().filter(|other| other.name == case.name);
            assert_eq!(same.count(), 1, "{case:?}");
        }
        let unknown = KIT.lines().filter(|line| !line.is_empty()).find(|line| {
            !["#", "case ", "must ", "> ", "ends "]
                .iter()
                .any(|word| line.starts_with(word))
        });
        assert_eq!(unknown, None);
    }

    #[test]
    fn a_guest_is_judged_by_what_it_prints_and_how_it_ends() {
        let case = Case {
            name: "two",
            must: "Print two lines.",
            prints: vec!["one", "two"],
            ends: "ended normally",
        };
        let none: [String; 0] = [];
        assert_eq!(case.judge("one\ntwo\n", "ended normally"), none);
        assert_eq!(case.judge("one\ntwo", "ended normally"), none);
        for printed in ["one\n", "two\none\n", "one\ntwo\nthree\n", "one\n two\n", ""] {
            assert_eq!(case.judge(printed, "ended normally").len(), 1, "{printed:?}");
        }
        assert_eq!(case.judge("", "was killed").len(), 2);
    }
}
