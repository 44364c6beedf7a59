//! Hosts and ports that a process may use.
//!
//! A [`Rule`] is written `[connect:|bind:|resolve:]TARGET[:PORTS]`. `TARGET` is an address, a range of addresses
//! (`10.0.0.0/8`, `[fd00::]/8`), a host name, all names under a domain (`*.example.com`), or `*`. `PORTS` is a port, a
//! range such as `8000-8099`, or `*`, which is the default. A rule without a verb allows connections, and look-ups of a
//! host name that it contains. `*` alone allows everything.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// An operation on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Connect to it, or send to it.
    Connect,
    /// Listen or receive on an address of this machine.
    Bind,
    /// Look up its addresses.
    Resolve,
}

/// A rule of an allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    verb: Option<Verb>,
    target: Target,
    ports: (u16, u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Any,
    /// Addresses that begin with this many bits of this one.
    Range(IpAddr, u8),
    /// In lower case, without a trailing dot.
    Name(String),
    /// All names that end with a dot and this.
    Under(String),
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError(String);

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no network rule: write `HOST`, `HOST:PORT`, `10.0.0.0/8:8000-8099`, `*.example.com:443` or `*`, with \
             `bind:` or `resolve:` before it if that is meant",
            self.0
        )
    }
}

impl std::error::Error for RuleError {}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        Self::parse(text).ok_or_else(|| RuleError(text.into()))
    }
}

/// Formats the rule as in a configuration.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.verb {
            None => "",
            Some(Verb::Connect) => "connect:",
            Some(Verb::Bind) => "bind:",
            Some(Verb::Resolve) => "resolve:",
        })?;
        match &self.target {
            Target::Any => f.write_str("*")?,
            Target::Range(IpAddr::V4(ip), 32) => write!(f, "{ip}")?,
            Target::Range(IpAddr::V6(ip), 128) => write!(f, "[{ip}]")?,
            Target::Range(IpAddr::V4(ip), bits) => write!(f, "{ip}/{bits}")?,
            Target::Range(IpAddr::V6(ip), bits) => write!(f, "[{ip}]/{bits}")?,
            Target::Name(name) => f.write_str(name)?,
            Target::Under(domain) => write!(f, "*.{domain}")?,
        }
        match self.ports {
            (0, u16::MAX) => Ok(()),
            (first, last) if first == last => write!(f, ":{first}"),
            (first, last) => write!(f, ":{first}-{last}"),
        }
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let verbs = [
            ("connect:", Verb::Connect),
            ("bind:", Verb::Bind),
            ("resolve:", Verb::Resolve),
        ];
        let verb = verbs
            .iter()
            .find_map(|(word, verb)| Some((text.strip_prefix(word)?, *verb)));
        let (rest, verb) = verb.map_or((text, None), |(rest, verb)| (rest, Some(verb)));
        let (target, ports) = split_ports(rest)?;
        Some(Self {
            verb,
            target: Target::parse(target)?,
            ports: ports.map_or(Some((0, u16::MAX)), parse_ports)?,
        })
    }

    fn is_about(&self, verb: Verb) -> bool {
        match self.verb {
            Some(own) => own == verb,
            None => match self.target {
                Target::Any => true,
                Target::Range(..) => verb == Verb::Connect,
                Target::Name(_) | Target::Under(_) => verb != Verb::Bind,
            },
        }
    }

    /// Returns whether the rule allows this. `name` is the name from which the address was looked up.
    pub fn allows(&self, verb: Verb, name: Option<&str>, address: Option<SocketAddr>) -> bool {
        self.allows_normal(verb, name.map(normal).as_deref(), address)
    }

    /// [`allows`](Self::allows) for a name in its [normal] form.
    fn allows_normal(&self, verb: Verb, name: Option<&str>, address: Option<SocketAddr>) -> bool {
        let (first, last) = self.ports;
        self.is_about(verb)
            && address.is_none_or(|address| (first..=last).contains(&address.port()))
            && match (&self.target, name, address) {
                (Target::Any, ..) => true,
                (Target::Range(base, bits), _, Some(address)) => in_range(address.ip(), *base, *bits),
                (Target::Name(own), Some(name), _) => name == own,
                (Target::Under(domain), Some(name), _) => name
                    .strip_suffix(&**domain)
                    .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
                _ => false,
            }
    }
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(address).parse::<IpAddr>() {
            let width = if ip.is_ipv4() { 32 } else { 128 };
            let bits: u8 = bits.map_or(Some(width), |bits| bits.parse().ok())?;
            return match plain(ip) {
                _ if bits > width => None,
                IpAddr::V4(v4) if ip.is_ipv6() => Some(Self::Range(v4.into(), bits.checked_sub(96)?)),
                _ => Some(Self::Range(ip, bits)),
            };
        }
        let is_name = |name: &str| {
            let ok = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
            let all_digits = name.chars().all(|c| c.is_ascii_digit() || c == '.');
            !all_digits && name.len() <= 253 && name.split('.').all(|label| !label.is_empty() && label.chars().all(ok))
        };
        if bits.is_some() {
            return None;
        }
        let name = normal(text);
        match name.strip_prefix("*.") {
            Some(domain) => is_name(domain).then(|| Self::Under(domain.into())),
            None => is_name(&name).then_some(Self::Name(name)),
        }
    }
}

/// Splits `HOST[:PORTS]`; an IPv6 address may be in brackets or on its own.
fn split_ports(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(end) = text.starts_with('[').then(|| text.find(']')).flatten() {
        let after = text[end..].find(':').map(|colon| end + colon);
        return Some(after.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..]))));
    }
    match text.matches(':').count() {
        0 => Some((text, None)),
        1 => text.split_once(':').map(|(host, ports)| (host, Some(ports))),
        _ => Some((text, None)),
    }
}

fn parse_ports(text: &str) -> Option<(u16, u16)> {
    if text == "*" {
        return Some((0, u16::MAX));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

/// An IPv6-mapped IPv4 address counts as the IPv4 address, so that it cannot bypass a rule.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

fn in_range(ip: IpAddr, base: IpAddr, bits: u8) -> bool {
    let bits_of = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let ((ip, ip_width), (base, base_width)) = (bits_of(plain(ip)), bits_of(base));
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    ip_width == base_width && ip & mask == base & mask
}

/// Returns a name of a host in the form in which [`Net::allows_normal`] takes it: in lower case, without a trailing dot.
pub fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// The network access of a process: its own rules, and those that its ancestors are subject to.
#[derive(Debug, Default)]
pub struct Net {
    rules: Vec<Rule>,
    parent: Option<Arc<Net>>,
    /// The number of rule sets of ancestors that apply to it.
    depth: u32,
    /// The number of its rules, with those of these ancestors.
    all_len: usize,
}

/// The most rule sets that narrow each other: each check goes through all of them.
pub const DEPTH_MAX: u32 = 64;
/// The most rules of all these sets together: a check may look at each of them.
pub const RULES_MAX: usize = 4096;

impl Net {
    /// Allows what these rules allow, and nothing else.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self {
            all_len: rules.len(),
            rules,
            parent: None,
            depth: 0,
        }
    }

    /// Allows what both `parent` and these rules allow; `None` if that would exceed [`DEPTH_MAX`] rule sets, or
    /// [`RULES_MAX`] rules.
    pub fn narrowed(parent: &Arc<Net>, rules: Vec<Rule>) -> Option<Arc<Self>> {
        // An empty set allows nothing, so chains do not grow below a process without network access.
        let parent = (!rules.is_empty()).then(|| parent.clone());
        let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
        let all_len = rules.len() + parent.as_ref().map_or(0, |parent| parent.all_len);
        (depth < DEPTH_MAX && all_len <= RULES_MAX).then(|| {
            Arc::new(Self {
                rules,
                parent,
                depth,
                all_len,
            })
        })
    }

    /// Returns the rules as text: its own, followed by those of each ancestor, which also apply.
    pub fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.rules.iter().map(Rule::to_string).collect();
        let outer = std::iter::successors(self.parent.as_deref(), |net| net.parent.as_deref());
        texts.extend(outer.map(|net| {
            let rules: Vec<String> = net.rules.iter().map(Rule::to_string).collect();
            format!("within({})", rules.join(" "))
        }));
        texts
    }

    /// Returns the rule sets as text, its own first: all of them apply.
    pub fn sets(&self) -> Vec<Vec<String>> {
        let sets = std::iter::successors(Some(self), |net| net.parent.as_deref());
        sets.map(|net| net.rules.iter().map(Rule::to_string).collect())
            .collect()
    }

    /// Returns the approximate bytes that its own rules take up.
    pub fn size(&self) -> usize {
        let name = |rule: &Rule| match &rule.target {
            Target::Name(name) | Target::Under(name) => name.len(),
            Target::Any | Target::Range(..) => 0,
        };
        size_of::<Self>()
            + self
                .rules
                .iter()
                .map(|rule| size_of::<Rule>() + name(rule))
                .sum::<usize>()
    }

    /// Returns whether `verb` is allowed for the address, which was looked up from `name`, or for the name itself.
    pub fn allows(&self, verb: Verb, name: Option<&str>, address: Option<SocketAddr>) -> bool {
        self.allows_normal(verb, name.map(normal).as_deref(), address)
    }

    /// [`allows`](Self::allows) for a name in its [`normal`] form, for callers that ask often.
    pub fn allows_normal(&self, verb: Verb, name: Option<&str>, address: Option<SocketAddr>) -> bool {
        let mut net = Some(self);
        while let Some(own) = net {
            if !own.rules.iter().any(|rule| rule.allows_normal(verb, name, address)) {
                return false;
            }
            net = own.parent.as_deref();
        }
        true
    }

    /// Returns whether the operation that a rule describes is allowed: `connect:127.0.0.1:80`, `bind:[::]:0`,
    /// `resolve:example.com`. `None` if the text does not describe a single operation.
    pub fn answers(&self, question: &str) -> Option<bool> {
        let Rule { verb, target, ports } = question.parse().ok()?;
        let verb = verb?;
        let (name, ip) = match &target {
            Target::Name(name) => (Some(&**name), None),
            Target::Range(ip, bits) if *bits == if ip.is_ipv4() { 32 } else { 128 } => (None, Some(*ip)),
            _ => return None,
        };
        let port = (ports.0 == ports.1).then_some(ports.0);
        let address = match (ip, port, verb) {
            (_, None, Verb::Connect | Verb::Bind) => return None,
            (None, Some(_), Verb::Bind) => return None,
            (ip, Some(port), _) => Some(SocketAddr::new(ip.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), port)),
            (_, None, Verb::Resolve) => None,
        };
        Some(self.allows(verb, name, address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(rules: &[&str]) -> Net {
        Net::new(rules.iter().map(|rule| rule.parse().unwrap()).collect())
    }

    #[track_caller]
    fn check(rules: &[&str], allowed: &[&str], denied: &[&str]) {
        let net = net(rules);
        for question in allowed {
            assert_eq!(net.answers(question), Some(true), "{rules:?} must allow {question}");
        }
        for question in denied {
            assert_eq!(net.answers(question), Some(false), "{rules:?} must deny {question}");
        }
    }

    #[test]
    fn rules_are_shown_as_they_are_written() {
        for rule in [
            "*",
            "bind:*",
            "10.0.0.0/8:8000-8099",
            "bind:127.0.0.1:80",
            "[fd00::]/8",
            "connect:[::1]:443",
            "resolve:example.com",
            "*.example.com:443",
        ] {
            assert_eq!(rule.parse::<Rule>().unwrap().to_string(), rule);
        }
    }

    #[test]
    fn nothing_is_allowed_without_a_rule() {
        check(
            &[],
            &[],
            &["connect:127.0.0.1:80", "bind:127.0.0.1:0", "resolve:localhost"],
        );
    }

    #[test]
    fn addresses_ranges_and_ports() {
        check(
            &["127.0.0.1:80"],
            &["connect:127.0.0.1:80", "connect:[::ffff:127.0.0.1]:80"],
            &[
                "connect:127.0.0.1:81",
                "connect:127.0.0.2:80",
                "bind:127.0.0.1:80",
                "connect:[::1]:80",
            ],
        );
        check(
            &["10.0.0.0/8:8000-8099", "[fd00::]/8"],
            &[
                "connect:10.255.0.1:8000",
                "connect:10.0.0.0:8099",
                "connect:[fdff::1]:9",
            ],
            &[
                "connect:11.0.0.0:8000",
                "connect:10.0.0.0:8100",
                "connect:[fe00::1]:9",
                "connect:0.0.0.0:8000",
            ],
        );
        check(
            &["0.0.0.0/0"],
            &["connect:1.2.3.4:5"],
            &["connect:[::1]:5", "resolve:a.b"],
        );
        check(&["::1"], &["connect:[::1]:5"], &["connect:[::2]:5"]);
        check(
            &["bind:127.0.0.1:0"],
            &["bind:127.0.0.1:0"],
            &["bind:127.0.0.1:1", "bind:0.0.0.0:0", "connect:127.0.0.1:0"],
        );
    }

    #[test]
    fn names() {
        check(
            &["Example.com:443"],
            &["connect:example.COM.:443", "resolve:example.com"],
            &[
                "connect:example.com:80",
                "connect:www.example.com:443",
                "connect:1.2.3.4:443",
            ],
        );
        check(
            &["*.example.com"],
            &["connect:a.b.example.com:1", "resolve:a.example.com"],
            &[
                "resolve:example.com",
                "resolve:badexample.com",
                "connect:example.com.evil.org:1",
            ],
        );
        check(&["resolve:*"], &["resolve:a.b"], &["connect:a.b:1"]);
        check(
            &["*"],
            &["resolve:a.b", "connect:a.b:1", "bind:0.0.0.0:80", "connect:[::1]:1"],
            &[],
        );
    }

    #[test]
    fn texts_that_are_no_rules() {
        for text in [
            "",
            ":",
            ":80",
            "a:",
            "a:b",
            "a:80-",
            "a:90-80",
            "a:65536",
            "10.0.0.0/33",
            "10.0.0/8",
            "a/8",
            "a..b",
            "*.",
            "a b",
            "*.*",
            "bind:",
            "300.1.1.1",
            "[::1",
            "[::1]]:80",
            "listen:a:80:90",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn rules_narrow_each_other_only_so_deep() {
        let all = || vec!["*".parse::<Rule>().unwrap()];
        let mut net = Arc::new(Net::new(all()));
        for _ in 1..DEPTH_MAX {
            net = Net::narrowed(&net, all()).unwrap();
        }
        assert_eq!(net.answers("bind:127.0.0.1:1"), Some(true));
        assert!(Net::narrowed(&net, all()).is_none());
        let half = || vec!["*".parse().unwrap(); RULES_MAX / 2];
        let full = Net::narrowed(&Arc::new(Net::new(half())), half()).unwrap();
        assert!(Net::narrowed(&full, all()).is_none(), "there are too many rules");
        assert!(
            Net::narrowed(&net, Vec::new()).is_some(),
            "nothing is narrowed no further"
        );
    }

    fn rule() -> impl Strategy<Value = String> {
        let verb = prop::sample::select(vec!["", "connect:", "bind:", "resolve:"]);
        let target = prop::sample::select(vec![
            "*",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3",
            "::1",
            "a.com",
            "*.a.com",
        ]);
        let ports = prop::sample::select(vec!["", ":80", ":1-100", ":*"]);
        (verb, target, ports).prop_map(|(verb, target, ports)| {
            let target = if target == "::1" { "[::1]" } else { target };
            format!("{verb}{target}{ports}")
        })
    }

    #[test]
    fn rules_are_told_with_those_that_they_are_within() {
        let outer = Arc::new(net(&["fe80::/10", "10.0.0.0/8:80-90"]));
        let inner = Net::narrowed(&outer, vec!["bind:[::1]:8080".parse().unwrap()]).unwrap();
        assert_eq!(
            inner.texts(),
            ["bind:[::1]:8080", "within([fe80::]/10 10.0.0.0/8:80-90)"]
        );
    }

    proptest! {
        #[test]
        fn a_rule_is_written_as_it_is_read(text in rule()) {
            let rule: Rule = text.parse().unwrap();
            prop_assert_eq!(rule.to_string().parse(), Ok(rule));
        }

        /// However a tree of configurations is made, a child may do what each of its ancestors may, and nothing else.
        #[test]
        fn a_chain_allows_what_all_its_links_allow(
            links in prop::collection::vec(prop::collection::vec(rule(), 0..4), 1..6),
        ) {
            let questions = [
                "connect:10.1.2.3:80", "connect:10.9.9.9:80", "connect:10.1.2.3:101", "bind:10.1.2.3:80", "connect:[::1]:80",
                "resolve:a.com", "resolve:b.a.com", "connect:a.com:80", "connect:x.org:80", "resolve:x.org",
            ];
            let parse = |rules: &[String]| rules.iter().map(|rule| rule.parse().unwrap()).collect::<Vec<Rule>>();
            let mut chain = Arc::new(Net::new(parse(&links[0])));
            for rules in &links[1..] {
                chain = Net::narrowed(&chain, parse(rules)).unwrap();
            }
            for question in questions {
                let each = links.iter().all(|rules| Net::new(parse(rules)).answers(question).unwrap());
                prop_assert_eq!(chain.answers(question), Some(each), "{}", question);
            }
        }

        #[test]
        fn no_text_panics(text in "[a-z0-9:.*/\\[\\]-]{0,20}") {
            if let Ok(rule) = text.parse::<Rule>() {
                prop_assert_eq!(rule.to_string().parse(), Ok(rule.clone()));
                let _ = Net::new(vec![rule]).answers(&text);
            }
        }
    }
}
