//! What other nodes have not been told of the names and groups of this node: states, not changes.
//!
//! Each row of this node has the number of its last change, and each line remembers up to which number its node has been
//! told. A row that changes often is told once in its last state, so what a program does to names costs no memory for each
//! node. A row that is gone is remembered for as long as some node still has to be told of that.
//!
//! A node is told of all rows that are gone before it is told of one that was added, so it never has more rows of this
//! node than this node itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::names::ROWS_MAX;

/// The kind of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    Name,
    Membership,
}

/// Identifies a row of this node: the name, or the group and the member. The process of a name is 0.
pub(crate) type RowKey = (Row, Arc<[u8]>, u64);

/// How many rows that are gone may be remembered. A node for which more would have to be has taken nothing for long.
const GONE_MAX: usize = 2 * ROWS_MAX;
/// How many rows that are gone are remembered without looking whether they must be.
const GONE_MIN: usize = 1024;

/// Up to which changes another node has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Progress {
    gone: u64,
    added: u64,
}

#[derive(Debug, Clone, Copy)]
struct Change {
    /// Nodes that have been told of fewer additions have never been told of this row.
    since: u64,
    number: u64,
}

pub(crate) struct News {
    last: u64,
    /// The last change of each row that is there, or that some node may have to be told is gone.
    rows: BTreeMap<RowKey, Change>,
    added: BTreeMap<u64, RowKey>,
    gone: BTreeMap<u64, RowKey>,
    /// How many rows that are gone are remembered before they are looked through.
    gone_max: usize,
}

impl Default for News {
    fn default() -> Self {
        Self {
            last: 0,
            rows: BTreeMap::new(),
            added: BTreeMap::new(),
            gone: BTreeMap::new(),
            gone_max: GONE_MIN,
        }
    }
}

impl News {
    /// A row was added, or is another one than before.
    pub(crate) fn add(&mut self, row: Row, key: &[u8], process: u64) {
        let (row, number, since) = self.change(row, key, process);
        self.rows.insert(row.clone(), Change { since, number });
        self.added.insert(number, row);
    }

    /// A row is gone.
    pub(crate) fn remove(&mut self, row: Row, key: &[u8], process: u64) {
        let (row, number, since) = self.change(row, key, process);
        self.rows.insert(row.clone(), Change { since, number });
        self.gone.insert(number, row);
    }

    fn change(&mut self, row: Row, key: &[u8], process: u64) -> (RowKey, u64, u64) {
        self.last += 1;
        let row = (row, key.into(), process);
        let mut since = self.last;
        if let Some(former) = self.rows.get(&row) {
            since = former.since;
            self.added.remove(&former.number);
            self.gone.remove(&former.number);
        }
        (row, self.last, since)
    }

    /// What a node has been told that has just been connected.
    pub(crate) fn begin(&self) -> Progress {
        Progress {
            added: 0,
            gone: self.last,
        }
    }

    /// The next row to tell a node of, and whether it is there.
    pub(crate) fn next(&self, told: &mut Progress) -> Option<(&RowKey, bool)> {
        for (number, row) in self.gone.range(told.gone + 1..) {
            told.gone = *number;
            if self.rows[row].since <= told.added {
                return Some((row, false));
            }
        }
        let (number, row) = self.added.range(told.added + 1..).next()?;
        told.added = *number;
        Some((row, true))
    }

    /// Whether so many rows that are gone are remembered that it must be seen which of them [are needed](Self::forget).
    pub(crate) fn is_long(&self) -> bool {
        self.gone.len() > self.gone_max
    }

    /// Forgets the rows that are gone of which no node has to be told any more. Returns whether too many remain.
    pub(crate) fn forget(&mut self, told: &[Progress]) -> bool {
        let rows = &mut self.rows;
        self.gone.retain(|number, row| {
            let since = rows[row].since;
            let is_needed = told.iter().any(|told| since <= told.added && told.gone < *number);
            if !is_needed {
                rows.remove(row);
            }
            is_needed
        });
        self.gone_max = (2 * self.gone.len()).clamp(GONE_MIN, GONE_MAX);
        self.gone.len() > GONE_MAX
    }

    /// How many rows are remembered, among them those that are gone.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::Random;

    /// What another node knows.
    #[derive(Default)]
    struct Other {
        told: Progress,
        rows: BTreeSet<(Vec<u8>, u64)>,
    }

    impl Other {
        fn hear(&mut self, news: &News, own: usize, count: u64) {
            for _ in 0..count {
                let Some(((_, key, process), is_there)) = news.next(&mut self.told) else {
                    return;
                };
                let row = (key.to_vec(), *process);
                if is_there {
                    self.rows.insert(row);
                    assert!(self.rows.len() <= own, "it never has more rows than this node");
                } else {
                    self.rows.remove(&row);
                }
            }
        }
    }

    /// Rows come and go while nodes hear of them at different speeds, or not at all for long.
    fn check(seed: u64) {
        let mut random = Random(seed);
        let (mut news, mut own) = (News::default(), BTreeSet::new());
        let mut others: Vec<Other> = (0..3).map(|_| Other::default()).collect();
        for _ in 0..2000 {
            let row = (vec![random.below(20) as u8], random.below(2));
            // Usually as many as there may be.
            let is_there = own.contains(&row);
            if !is_there && own.len() < 10 {
                news.add(Row::Membership, &row.0, row.1);
                own.insert(row);
            } else if is_there {
                news.remove(Row::Membership, &row.0, row.1);
                own.remove(&row);
            }
            let other = random.below(3) as usize;
            if random.once_in(200) {
                let told = news.begin();
                others[other] = Other {
                    told,
                    ..Other::default()
                };
            } else if random.once_in(1 + 50 * other as u64) {
                others[other].hear(&news, own.len(), 1 + random.below(10));
            }
            if random.once_in(20) {
                let told: Vec<_> = others.iter().map(|other| other.told).collect();
                assert!(!news.forget(&told));
            }
        }
        for other in &mut others {
            other.hear(&news, own.len(), u64::MAX);
            assert_eq!(other.rows, own, "seed {seed}");
        }
        let told: Vec<_> = others.iter().map(|other| other.told).collect();
        assert!(!news.forget(&told));
        assert_eq!(
            (news.len(), news.gone.len(), news.added.len()),
            (own.len(), 0, own.len())
        );
    }

    #[test]
    fn all_nodes_hear_the_same_in_the_end() {
        for seed in 0..200 {
            check(seed);
        }
    }

    #[test]
    fn rows_that_come_and_go_take_no_room_for_a_node_that_takes_nothing() {
        let mut news = News::default();
        let (slow, mut fast) = (news.begin(), Other::default());
        for number in 0..100_000_u32 {
            let key = number.to_le_bytes();
            news.add(Row::Name, &key, 0);
            fast.hear(&news, 1, u64::MAX);
            news.remove(Row::Name, &key, 0);
            if news.is_long() {
                assert!(!news.forget(&[slow, fast.told]));
            }
            assert!(news.len() <= GONE_MIN + 2);
        }
    }
}
