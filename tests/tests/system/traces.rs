//! Traces: contexts that travel, and spans as the host records them. The programs are in `guests/traced.rs`.

use lunatic_host::trace::{Context, Kind, Span, Tracer, Value, WAITING_MAX};
use lunatic_tests::host::Program;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

crate::scenarios! { "traced":
    contexts_travel,
    open_spans_stay_current => |program| {
        // Those that were open are recorded whoever is told of them later.
        let spans = traced(program);
        assert_eq!(names(&spans), ["inner", "around", "server"]);
    },
    nested => |program| {
        let spans = traced(program);
        assert_eq!(names(&spans), ["child", "work", "root", "request"]);
        let [child, work, root, request] = &spans[..] else { unreachable!() };
        assert_eq!(request.parent.map(u64::from_be_bytes), Some(0x00f0_67aa_0ba9_02b7));
        assert_eq!((work.parent, child.parent), (Some(request.context.span), Some(work.context.span)));
        for span in [child, work, request] {
            assert_eq!(trace_of(&span.context), TRACE);
            assert_eq!(&*span.context.state, "a=1");
            assert!(span.end >= span.start && span.failure.is_none(), "{span:?}");
        }
        assert_eq!((root.parent, request.kind, work.kind), (None, Kind::Server, Kind::Internal));
        assert_ne!(trace_of(&root.context), TRACE);
        assert!(request.start <= work.start && work.start <= child.start && work.end >= child.end);
        assert!(request.process.0 != work.process.0 && work.process.1.contains("nested"), "{work:?}");
    },
    fields => |program| {
        let spans = traced(program);
        let [told, full, named, long] = &spans[..] else { panic!("{spans:?}") };
        let expected = [
            ("early", Value::Text("yes".into())),
            ("count", Value::Signed(4)),
            ("share", Value::Float(0.5)),
        ];
        assert_eq!(told.fields, expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!((told.name.as_str(), told.failure.as_deref()), ("renamed", Some("as it should")));
        assert_eq!((full.fields.len(), full.fields_dropped), (64, 36));
        assert_eq!(named.name.len(), 255);
        assert_eq!((long.fields.len(), long.fields_dropped), (2, 3));
    },
    cut_off => |program| {
        let spans = traced(program);
        assert_eq!(names(&spans), ["panics", "killed"]);
        assert!(spans.iter().all(|span| span.failure.as_deref() == Some("the process ended before the span did")), "{spans:?}");
    },
    sandboxed => |program| {
        let spans = traced(program);
        assert_eq!(names(&spans), ["sandboxed"]);
        assert_eq!(trace_of(&spans[0].context), TRACE);
    },
    too_many => |program| {
        let tracer = Tracer::new(1.0);
        program.tracer(&tracer).run().normal();
        assert_eq!(tracer.dropped(), 2000 - 1024);
        assert_eq!(tracer.take(usize::MAX).len(), 1025);
    },
    flood => |program| {
        let tracer = Tracer::new(1.0);
        program.tracer(&tracer).run().normal();
        let spans = tracer.take(usize::MAX);
        let flood = spans.iter().filter(|span| span.name == "flood").count();
        // A sandbox gets a part of the places, and what comes after it finds one.
        assert!((100..WAITING_MAX).contains(&flood), "{flood}");
        assert_eq!(tracer.dropped(), 20_000 - flood as u64);
        assert_eq!(spans.last().unwrap().name, "after");
        // What was taken has given its place back.
        assert!(tracer.take(usize::MAX).is_empty());
    },
    long_states_are_paid_for,
}

/// The spans of a program, in the order of their ends.
#[track_caller]
fn traced(program: Program<'_>) -> Vec<Span> {
    let tracer = Tracer::new(1.0);
    program.tracer(&tracer).run().normal();
    assert_eq!(tracer.dropped(), 0);
    tracer.take(usize::MAX)
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

fn trace_of(context: &Context) -> String {
    context.to_string()[3..35].to_owned()
}

/// Of the traces that begin here a part is recorded; those that began elsewhere are as they were begun.
#[test]
fn a_part_of_the_traces_is_recorded() {
    let program = || lunatic_tests::guests::program("traced");
    let none = Tracer::new(0.0);
    program().args(["nested"]).tracer(&none).run().normal();
    assert_eq!(names(&none.take(usize::MAX)), ["child", "work", "request"]);
    let half = Tracer::new(0.5);
    program().args(["flood"]).tracer(&half).run().normal();
    // 20,001 throws of a coin: half of them but for ten times their deviation.
    let recorded = half.take(usize::MAX).len() as u64 + half.dropped();
    assert!((9_200..10_800).contains(&recorded), "{recorded}");
}

/// Spans of the crate `tracing` are spans of traces, whatever order they are left in, and records say where they were made.
#[test]
fn spans_of_tracing_become_spans() {
    let tracer = Tracer::new(1.0);
    let program = lunatic_tests::guests::program("logs").args(["traced"]).tracer(&tracer);
    program.run().normal();
    let spans = tracer.take(usize::MAX);
    assert_eq!(names(&spans), ["inner", "apart", "child", "outer"]);
    let [inner, apart, child, outer] = &spans[..] else {
        unreachable!()
    };
    assert_eq!((outer.parent, apart.parent), (None, None));
    assert_ne!(apart.context.trace, outer.context.trace);
    for (span, around) in [(inner, outer), (child, outer)] {
        assert_eq!(
            (span.parent, span.context.trace),
            (Some(around.context.span), around.context.trace)
        );
    }
    assert_eq!(
        inner.fields,
        [("id".to_owned(), Value::Signed(7)), ("late".into(), Value::Bool(true))]
    );
}
