//! The spans of a process, and those that it has entered.

use lunatic_sys::record::Fields;
use tracing_core::Metadata;
use tracing_core::span::Id;

use crate::host::trace;

/// A span, which exists as long as something holds it.
struct Span {
    metadata: &'static Metadata<'static>,
    fields: Fields,
    /// Its number among the spans of traces, if it is recorded.
    traced: i32,
    /// The parent, which this span holds.
    parent: Option<Id>,
    holders: usize,
}

/// All spans. The id of a span is its index plus 1.
pub(super) struct Spans {
    spans: Vec<Option<Span>>,
    /// Free indices.
    free: Vec<usize>,
    /// The spans that were entered and not left, the latest last.
    entered: Vec<Id>,
}

fn place(id: &Id) -> usize {
    // Ids are indices of a list in a memory of 4 GiB.
    id.into_u64() as usize - 1
}

impl Spans {
    pub(super) const fn new() -> Self {
        Self {
            spans: Vec::new(),
            free: Vec::new(),
            entered: Vec::new(),
        }
    }

    /// Adds a span, held by the caller.
    pub(super) fn add(&mut self, metadata: &'static Metadata<'static>, fields: Fields, parent: Option<Id>) -> Id {
        if let Some(parent) = &parent {
            self.hold(parent);
        }
        let span = Span {
            metadata,
            fields,
            traced: trace::NONE,
            parent,
            holders: 1,
        };
        let at = self.free.pop().unwrap_or_else(|| {
            self.spans.push(None);
            self.spans.len() - 1
        });
        self.spans[at] = Some(span);
        Id::from_u64(at as u64 + 1)
    }

    fn get(&self, id: &Id) -> Option<&Span> {
        self.spans.get(place(id))?.as_ref()
    }

    fn get_mut(&mut self, id: &Id) -> Option<&mut Span> {
        self.spans.get_mut(place(id))?.as_mut()
    }

    /// The metadata of a span.
    pub(super) fn metadata(&self, id: &Id) -> Option<&'static Metadata<'static>> {
        self.get(id).map(|span| span.metadata)
    }

    /// The number of a span among the spans of traces.
    pub(super) fn traced(&self, id: &Id) -> i32 {
        self.get(id).map_or(trace::NONE, |span| span.traced)
    }

    /// Sets the number of a span among the spans of traces.
    pub(super) fn set_traced(&mut self, id: &Id, number: i32) {
        if let Some(span) = self.get_mut(id) {
            span.traced = number;
        }
    }

    /// Adds fields to a span.
    pub(super) fn record(&mut self, id: &Id, fields: &Fields) {
        if let Some(span) = self.get_mut(id) {
            span.fields.extend(fields);
        }
    }

    /// The span that was entered last.
    pub(super) fn current(&self) -> Option<Id> {
        self.entered.last().cloned()
    }

    /// Enters a span.
    pub(super) fn enter(&mut self, id: &Id) {
        self.hold(id);
        self.entered.push(id.clone());
    }

    /// Leaves a span, which need not be the one that was entered last.
    pub(super) fn exit(&mut self, id: &Id) {
        if let Some(at) = self.entered.iter().rposition(|entered| entered == id) {
            self.entered.remove(at);
            self.release(id);
        }
    }

    /// Adds a holder of a span.
    pub(super) fn hold(&mut self, id: &Id) {
        if let Some(span) = self.get_mut(id) {
            span.holders += 1;
        }
    }

    /// Removes a holder of a span; true if it was the last one.
    pub(super) fn release(&mut self, id: &Id) -> bool {
        let Some(span) = self.get_mut(id) else { return false };
        span.holders -= 1;
        if span.holders > 0 {
            return false;
        }
        // The spans around it may be removed with it. A loop, because there may be many.
        let mut gone = Some(id.clone());
        while let Some(id) = gone.take() {
            let gone_span = self.spans[place(&id)].take();
            trace::close(gone_span.as_ref().map_or(trace::NONE, |span| span.traced));
            let parent = gone_span.and_then(|span| span.parent);
            self.free.push(place(&id));
            if let Some(parent) = parent
                && let Some(span) = self.get_mut(&parent)
            {
                span.holders -= 1;
                gone = (span.holders == 0).then_some(parent);
            }
        }
        true
    }

    /// The names and fields of a span and those around it, the outermost first.
    pub(super) fn around(&self, inner: Option<Id>) -> impl Iterator<Item = (&str, &Fields)> {
        let mut around = Vec::new();
        let mut next = inner;
        while let Some(span) = next.as_ref().and_then(|id| self.get(id)) {
            around.push((span.metadata.name(), &span.fields));
            next.clone_from(&span.parent);
        }
        around.into_iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use tracing_core::callsite::DefaultCallsite;
    use tracing_core::field::FieldSet;
    use tracing_core::{Kind, Level, identify_callsite};

    use super::*;

    static CALLSITE: DefaultCallsite = DefaultCallsite::new(&METADATA);
    static METADATA: Metadata<'static> = Metadata::new(
        "span",
        "target",
        Level::INFO,
        None,
        None,
        None,
        FieldSet::new(&[], identify_callsite!(&CALLSITE)),
        Kind::SPAN,
    );

    #[test]
    fn a_span_lives_as_long_as_those_in_it() {
        let mut spans = Spans::new();
        let outer = spans.add(&METADATA, Fields::default(), None);
        let inner = spans.add(&METADATA, Fields::default(), Some(outer.clone()));
        assert!(!spans.release(&outer));
        assert_eq!(spans.around(Some(inner.clone())).count(), 2);
        assert!(spans.release(&inner));
        assert!(spans.metadata(&outer).is_none() && spans.metadata(&inner).is_none());
        let (one, other) = (
            spans.add(&METADATA, Fields::default(), None),
            spans.add(&METADATA, Fields::default(), None),
        );
        assert!(
            one != other && place(&one).max(place(&other)) < 2,
            "places are used again"
        );
    }

    #[test]
    fn spans_may_be_left_in_any_order() {
        let mut spans = Spans::new();
        let [one, other] = [(); 2].map(|()| spans.add(&METADATA, Fields::default(), None));
        spans.enter(&one);
        spans.enter(&other);
        spans.enter(&one);
        spans.exit(&other);
        assert_eq!(spans.current(), Some(one.clone()));
        spans.exit(&one);
        spans.exit(&one);
        spans.exit(&one);
        assert_eq!(spans.current(), None);
        assert!(spans.release(&one) && spans.release(&other));
    }

    #[test]
    fn a_million_spans_in_each_other_end_without_a_million_calls() {
        let mut spans = Spans::new();
        let mut last = None;
        for _ in 0..1_000_000 {
            let span = spans.add(&METADATA, Fields::default(), last.clone());
            if let Some(last) = &last {
                spans.release(last);
            }
            last = Some(span);
        }
        assert!(spans.release(&last.unwrap()));
        assert_eq!(spans.free.len(), 1_000_000);
    }
}
