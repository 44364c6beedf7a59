//! What the processes of a system count, by name: for the people who run it.
//!
//! A *family* has a name and a kind, a *series* of it values of labels. Series are made when they are first opened, and are there
//! until the system ends, so that counters keep what processes have counted that have ended. What a gauge shows is the sum of
//! what each living process says of it: when one ends, what it has said is taken back.
//!
//! | module | what it is about |
//! |---|---|
//! | `name` | names, as guests write them |

mod name;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_kernel::shares::Group;
use lunatic_kernel::stock::{Portion, Stock};
use lunatic_sys::metrics::{BOUNDS_MAX, SERIES_MAX};
use parking_lot::Mutex;

pub(crate) use self::name::Name;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It sorts values by size.
    Histogram,
}

/// The families of a system.
pub(crate) struct Metrics {
    families: Mutex<BTreeMap<String, Family>>,
    /// How many series there may be, which groups share.
    stock: Arc<Stock>,
    refused: AtomicU64,
}

struct Family {
    kind: Kind,
    bounds: Arc<[f64]>,
    series: BTreeMap<Vec<(String, String)>, Arc<Series>>,
}

/// A series is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The family is of another kind.
    Kind,
    /// There are as many as there may be, or there is no memory left for it.
    TooMany,
}

/// One series; what is counted has a cache line of its own.
#[repr(align(128))]
pub(crate) struct Series {
    value: Value,
    /// Who has it paid for; never given back before the system ends.
    _paid: (Receipt, Portion),
}

enum Value {
    Counter(AtomicU64),
    Gauge(AtomicI64),
    Histogram {
        bounds: Arc<[f64]>,
        /// One more than bounds: the last is for all that is larger.
        buckets: Box<[AtomicU64]>,
        /// The bits of an `f64`.
        sum: AtomicU64,
    },
}

/// About how many bytes a series takes up, beside its name and buckets.
const SERIES_SIZE: usize = 512;

impl Default for Metrics {
    fn default() -> Self {
        Self {
            families: Mutex::default(),
            stock: Stock::new(SERIES_MAX as u64),
            refused: AtomicU64::new(0),
        }
    }
}

/// Whether these can be the bounds of buckets: finite, and each larger than the one before.
pub(crate) fn are_bounds(bounds: &[f64]) -> bool {
    bounds.len() <= BOUNDS_MAX
        && bounds.iter().all(|bound| bound.is_finite())
        && bounds.windows(2).all(|two| two[0] < two[1])
}

impl Metrics {
    /// Opens a series for one of a group, who pays for it if it is new.
    pub(crate) fn open(
        &self,
        kind: Kind,
        name: Name,
        bounds: &[f64],
        group: &Arc<Group>,
        payer: &impl Payer,
    ) -> Result<Arc<Series>, Refused> {
        let mut families = self.families.lock();
        if let Some(family) = families.get(&name.family) {
            if family.kind != kind {
                return Err(Refused::Kind);
            }
            if let Some(series) = family.series.get(&name.labels) {
                return Ok(series.clone());
            }
        }
        let refuse = || {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Refused::TooMany
        };
        let portion = Portion::take(&self.stock, group, 1).ok_or_else(refuse)?;
        let mut receipt = Receipt::new(payer.purse().to_account(), Resource::Extensions);
        let size = SERIES_SIZE + 2 * name.size() + 8 * (BOUNDS_MAX + 1);
        receipt.grow(size).map_err(|_| refuse())?;
        let family = families.entry(name.family).or_insert_with(|| Family {
            kind,
            bounds: bounds.into(),
            series: BTreeMap::new(),
        });
        let series = Arc::new(Series {
            value: Value::new(kind, &family.bounds),
            _paid: (receipt, portion),
        });
        family.series.insert(name.labels, series.clone());
        Ok(series)
    }

    /// What all show, in the order of their names.
    pub(crate) fn read(&self) -> Vec<FamilyView> {
        let families = self.families.lock();
        let view = |(name, family): (&String, &Family)| FamilyView {
            name: name.clone(),
            kind: family.kind,
            bounds: family.bounds.clone(),
            series: family
                .series
                .iter()
                .map(|(labels, series)| series.view(labels.clone()))
                .collect(),
        };
        families.iter().map(view).collect()
    }

    /// How often a series was refused because there were too many.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Value {
    fn new(kind: Kind, bounds: &Arc<[f64]>) -> Self {
        match kind {
            Kind::Counter => Self::Counter(AtomicU64::new(0)),
            Kind::Gauge => Self::Gauge(AtomicI64::new(0)),
            Kind::Histogram => Self::Histogram {
                bounds: bounds.clone(),
                buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
                sum: AtomicU64::new(0),
            },
        }
    }
}

impl Series {
    /// Adds to a counter; false if it is none.
    pub(crate) fn add(&self, by: u64) -> bool {
        let Value::Counter(count) = &self.value else {
            return false;
        };
        count.fetch_add(by, Ordering::Relaxed);
        true
    }

    /// Adds to a gauge; false if it is none.
    pub(crate) fn change(&self, by: i64) -> bool {
        let Value::Gauge(sum) = &self.value else { return false };
        sum.fetch_add(by, Ordering::Relaxed);
        true
    }

    /// Counts a value in a histogram; false if it is none.
    pub(crate) fn observe(&self, value: f64) -> bool {
        let Value::Histogram { bounds, buckets, sum } = &self.value else {
            return false;
        };
        // What is no number is larger than all.
        let bucket = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        true
    }

    fn view(&self, labels: Vec<(String, String)>) -> SeriesView {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let value = match &self.value {
            Value::Counter(count) => ValueView::Counter(load(count)),
            Value::Gauge(sum) => ValueView::Gauge(sum.load(Ordering::Relaxed)),
            Value::Histogram { buckets, sum, .. } => ValueView::Histogram {
                buckets: buckets.iter().map(load).collect(),
                sum: f64::from_bits(load(sum)),
            },
        };
        SeriesView { labels, value }
    }
}

/// The series that a process has opened, and what it says of gauges.
#[derive(Default)]
pub(crate) struct Own(Vec<(Arc<Series>, i64)>);

impl Own {
    /// The number of a series in this process, the same each time.
    pub(crate) fn number(&mut self, series: Arc<Series>) -> i32 {
        let known = self.0.iter().position(|(other, _)| Arc::ptr_eq(other, &series));
        let number = known.unwrap_or_else(|| {
            self.0.push((series, 0));
            self.0.len() - 1
        });
        // There are fewer than a thousand or two.
        i32::try_from(number).unwrap_or(i32::MAX)
    }

    /// The series with this number, if there is one.
    pub(crate) fn get(&self, number: i32) -> Option<&Series> {
        Some(&self.0.get(usize::try_from(number).ok()?)?.0)
    }

    /// Has the process say of a gauge what `to` makes of what it said; false if it is none.
    pub(crate) fn say(&mut self, number: i32, to: impl FnOnce(i64) -> i64) -> bool {
        let place = usize::try_from(number).ok().and_then(|number| self.0.get_mut(number));
        let Some((series, said)) = place else { return false };
        let to = to(*said);
        let is_gauge = series.change(to.wrapping_sub(*said));
        if is_gauge {
            *said = to;
        }
        is_gauge
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for (series, said) in &self.0 {
            if *said != 0 {
                series.change(said.wrapping_neg());
            }
        }
    }
}

/// What a family shows: see [`RunningSystem::metrics`](crate::RunningSystem::metrics).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FamilyView {
    /// Its name, without an ending such as `_total`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The upper bounds of a histogram's buckets.
    pub bounds: Arc<[f64]>,
    /// Its series, one for each combination of values of labels.
    pub series: Vec<SeriesView>,
}

/// What a series shows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SeriesView {
    /// Labels and their values, which may be any text.
    pub labels: Vec<(String, String)>,
    /// What was counted.
    pub value: ValueView,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ValueView {
    /// The sum of all additions.
    Counter(u64),
    /// The sum of what the living processes say.
    Gauge(i64),
    /// How many values were in each bucket and in no lower one, one more than there are bounds; and the sum of all.
    Histogram {
        /// How many.
        buckets: Vec<u64>,
        /// The sum.
        sum: f64,
    },
}

#[cfg(test)]
mod tests;
