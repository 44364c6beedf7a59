//! The innermost frames of stacks that are no places in code: host functions, and reasons for waits.

use std::collections::HashMap;

/// The most distinct labels; further ones are shown as one.
const LABELS_MAX: usize = 4 << 10;
/// What stands for all labels that did not fit.
const OTHER: &str = "[waits] something else";
/// How the labels of waits begin.
const WAITS: &str = "[waits] ";

/// A host function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) namespace: &'static str,
    pub(crate) name: &'static str,
}

impl Call {
    /// Its frame.
    fn label(self) -> String {
        let namespace = self.namespace.strip_prefix("lunatic::").unwrap_or(self.namespace);
        format!("[host] {}_{}", namespace.replace("::", "_"), self.name)
    }
}

/// Labels by number.
#[derive(Default)]
pub(super) struct Labels {
    pub(super) names: Vec<String>,
    numbers: HashMap<String, u32>,
    calls: HashMap<Call, u32>,
}

impl Labels {
    /// The number of the label of a call.
    pub(super) fn of_call(&mut self, call: Call) -> u32 {
        if let Some(number) = self.calls.get(&call) {
            return *number;
        }
        let number = self.of(call.label());
        self.calls.insert(call, number);
        number
    }

    /// The number of the label of a wait for `what`.
    pub(super) fn of_wait(&mut self, what: &str) -> u32 {
        self.of(format!("{WAITS}{what}"))
    }

    fn of(&mut self, mut label: String) -> u32 {
        if self.names.len() >= LABELS_MAX && !self.numbers.contains_key(&label) {
            OTHER.clone_into(&mut label);
        }
        if let Some(number) = self.numbers.get(&label) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.push(label.clone());
        self.numbers.insert(label, number);
        number
    }

    /// Whether a label with this number is of a wait.
    pub(super) fn is_wait(&self, number: u32) -> bool {
        self.names[number as usize].starts_with(WAITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_functions_are_frames() {
        let label = |namespace, name| Call { namespace, name }.label();
        assert_eq!(label("lunatic::channel", "receive"), "[host] channel_receive");
        assert_eq!(
            label("wasi_snapshot_preview1", "fd_write"),
            "[host] wasi_snapshot_preview1_fd_write"
        );
    }

    #[test]
    fn only_so_many_reasons_are_told_from_each_other() {
        let mut labels = Labels::default();
        let receive = Call {
            namespace: "lunatic::channel",
            name: "receive",
        };
        let call = labels.of_call(receive);
        for process in 1..LABELS_MAX as u32 {
            assert_eq!(labels.of_wait(&format!("the end of #{process}")), process);
        }
        let other = labels.of_wait("the end of #100000");
        assert_eq!((other, labels.of_wait("mail")), (LABELS_MAX as u32, other));
        assert_eq!(labels.names[other as usize], OTHER);
        assert_eq!(labels.of_wait("the end of #7"), 7);
        assert_eq!(labels.of_call(receive), call);
        assert!(labels.is_wait(7) && labels.is_wait(other) && !labels.is_wait(call));
    }
}
