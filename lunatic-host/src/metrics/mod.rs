//! Metrics that the processes of a system count, by name, for the people who run it.
//!
//! A *family* has a name and a kind, and a *series* of it has values of labels. A series is created when it is first
//! opened, and exists until the system ends, so that counters keep what processes have counted that have ended. A gauge
//! shows the sum of the values that the living processes have set; when a process ends, its values are removed.
//!
//! | module | purpose |
//! |---|---|
//! | `name` | parses names that guests write |

mod name;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_kernel::shares::Group;
use lunatic_kernel::stock::{Portion, Stock};
use lunatic_sys::metrics::{BOUNDS_MAX, SERIES_MAX};
use parking_lot::Mutex;

pub(crate) use self::name::Name;
use crate::states::Merge;

/// The kind of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

/// The families of a system.
pub(crate) struct Metrics {
    families: Mutex<BTreeMap<String, Family>>,
    /// The series that may exist, which groups share.
    stock: Arc<Stock>,
    refused: AtomicU64,
}

struct Family {
    kind: Kind,
    bounds: Arc<[f64]>,
    series: BTreeMap<Vec<(String, String)>, Arc<Series>>,
}

/// Why a series was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The family is of another kind.
    Kind,
    /// The limit has been reached, or there is no memory left for it.
    TooMany,
}

/// One series. The counts have a cache line of their own.
#[repr(align(128))]
pub(crate) struct Series {
    value: Value,
    /// The charge to the process that created it; only given back when the system ends.
    _paid: (Receipt, Portion),
}

enum Value {
    Counter(AtomicU64),
    Gauge(AtomicI64),
    Histogram {
        bounds: Arc<[f64]>,
        /// One more than there are bounds: the last is for all larger values.
        buckets: Box<[AtomicU64]>,
        /// The bits of an `f64`.
        sum: AtomicU64,
    },
}

/// Approximate bytes of a series, in addition to its name and buckets.
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

/// Whether these are valid bounds of buckets: finite, and each larger than the one before.
pub(crate) fn are_bounds(bounds: &[f64]) -> bool {
    bounds.len() <= BOUNDS_MAX
        && bounds.iter().all(|bound| bound.is_finite())
        && bounds.windows(2).all(|two| two[0] < two[1])
}

impl Metrics {
    /// Opens a series for a process of a group, which pays for it if it is new.
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

    /// Reads all families, ordered by name.
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
    /// Adds to a counter; false if this is not one.
    pub(crate) fn add(&self, by: u64) -> bool {
        let Value::Counter(count) = &self.value else {
            return false;
        };
        count.fetch_add(by, Ordering::Relaxed);
        true
    }

    /// Adds to a gauge; false if this is not one.
    pub(crate) fn change(&self, by: i64) -> bool {
        let Value::Gauge(sum) = &self.value else { return false };
        sum.fetch_add(by, Ordering::Relaxed);
        true
    }

    /// Counts a value in a histogram; false if this is not one.
    pub(crate) fn observe(&self, value: f64) -> bool {
        let Value::Histogram { bounds, buckets, sum } = &self.value else {
            return false;
        };
        // NaN counts as larger than all bounds.
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

/// The series that a process has opened, and its values of gauges.
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
        // There are at most a few thousand.
        i32::try_from(number).unwrap_or(i32::MAX)
    }

    /// The series with this number, if there is one.
    pub(crate) fn get(&self, number: i32) -> Option<&Series> {
        Some(&self.0.get(usize::try_from(number).ok()?)?.0)
    }

    /// Replaces the process's value of a gauge by `to` of the former value; false if this is not a gauge.
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

/// The numbers of the own series keep their meaning.
impl Merge for Own {
    fn merge(&mut self, mut former: Self) {
        let own = self.0.iter().enumerate();
        let places: HashMap<usize, usize> = own
            .map(|(place, (series, _))| (Arc::as_ptr(series).addr(), place))
            .collect();
        // Taken out, because a dropped value takes its gauges back.
        for (series, said) in std::mem::take(&mut former.0) {
            match places.get(&Arc::as_ptr(&series).addr()) {
                Some(place) => self.0[*place].1 = self.0[*place].1.wrapping_add(said),
                None => self.0.push((series, said)),
            }
        }
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

/// A family and its series: see [`RunningSystem::metrics`](crate::RunningSystem::metrics).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FamilyView {
    /// The name, without an ending such as `_total`.
    pub name: String,
    /// The kind.
    pub kind: Kind,
    /// The upper bounds of a histogram's buckets.
    pub bounds: Arc<[f64]>,
    /// The series, one for each combination of label values.
    pub series: Vec<SeriesView>,
}

/// A series and its value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SeriesView {
    /// Labels and their values, which can be any text.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: ValueView,
}

/// The value of a series.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ValueView {
    /// The sum of all additions.
    Counter(u64),
    /// The sum of the values that the living processes have set.
    Gauge(i64),
    /// The number of values in each bucket, and their sum. There is one bucket more than there are bounds, and each
    /// value is counted in a single bucket.
    Histogram {
        /// The number of values in each bucket.
        buckets: Vec<u64>,
        /// The sum of all values.
        sum: f64,
    },
}

#[cfg(test)]
mod tests;
