//! Results of the host that are larger than a number, in the layout of the canonical ABI.

/// Where the host writes a result that is larger than a number.
#[repr(C, align(8))]
pub(super) struct Area(pub(super) [u8; 64]);

impl Area {
    /// Calls a function that writes a result.
    pub(super) fn of(call: impl FnOnce(*mut Self)) -> Self {
        let mut area = Self([0; 64]);
        call(&raw mut area);
        area
    }

    fn part<const LEN: usize>(&self, at: usize) -> [u8; LEN] {
        *self.0[at..].first_chunk().expect("it is in the area")
    }

    pub(super) fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.part(at))
    }

    pub(super) fn long(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.part(at))
    }

    /// Takes over bytes that the host has allocated.
    pub(super) fn bytes(&self, at: usize) -> Vec<u8> {
        let (start, len) = (self.number(at) as usize, self.number(at + 4) as usize);
        if len == 0 {
            return Vec::new();
        }
        // SAFETY: `cabi_realloc` has allocated them, and nothing else takes them over.
        unsafe { Vec::from_raw_parts(std::ptr::with_exposed_provenance_mut(start), len, len) }
    }

    fn text(&self, at: usize) -> String {
        String::from_utf8(self.bytes(at)).expect("the host writes UTF-8")
    }

    /// The list of addresses that is the result.
    pub(super) fn addresses(&self) -> Vec<Address> {
        let (start, len) = (self.number(0) as usize, self.number(4) as usize);
        if len == 0 {
            return Vec::new();
        }
        // SAFETY: `cabi_realloc` has allocated them with this layout, and nothing else takes them over.
        let list: Vec<[u64; 2]> =
            unsafe { Vec::from_raw_parts(std::ptr::with_exposed_provenance_mut(start), len, len) };
        list.into_iter().map(|[id, key]| (id, key)).collect()
    }

    pub(super) fn address(&self, at: usize) -> Address {
        (self.long(at), self.long(at + 8))
    }

    /// A refusal at this place, if there is one.
    pub(super) fn refused(&self, at: usize) -> Result<(), Refusal> {
        match self.0[0] {
            0 => Ok(()),
            _ => Err(match self.0[at] {
                0 => Refusal::Closed,
                1 => Refusal::Full,
                2 => Refusal::NameTaken,
                3 => Refusal::Limit(self.text(at + 4)),
                4 => Refusal::BadConfig(self.text(at + 4)),
                _ => Refusal::Denied(self.text(at + 4)),
            }),
        }
    }

    /// An exit reason in the order of the WIT file, as text.
    pub(super) fn reason(&self, at: usize) -> String {
        const KINDS: [&str; 14] = [
            "normal",
            "exit",
            "panic",
            "trap",
            "killed",
            "forgotten",
            "shutdown",
            "error",
            "out-of-memory",
            "out-of-budget",
            "deadlock",
            "no-process",
            "node-gone",
            "host-bug",
        ];
        let kind = KINDS[usize::from(self.0[at])];
        match kind {
            "exit" => format!("exit {}", self.number(at + 4)),
            "trap" => format!("trap {} {}", self.0[at + 4], self.text(at + 8)),
            "panic" | "error" | "out-of-memory" | "deadlock" => format!("{kind} {}", self.text(at + 4)),
            kind => kind.to_owned(),
        }
    }
}

pub(super) type Address = (u64, u64);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Closed,
    Full,
    NameTaken,
    Limit(String),
    BadConfig(String),
    Denied(String),
}

/// An entry of the mailbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mail {
    Message {
        tag: u64,
        body: Vec<u8>,
        more: u64,
    },
    Exit {
        sender: Address,
        reason: String,
    },
    Down {
        process: Address,
        reference: u64,
        tag: u64,
        reason: String,
    },
}
