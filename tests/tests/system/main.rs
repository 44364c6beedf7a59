//! The system tests. One file a topic; see the library for how they run guests.

/// One test for each scenario of a guest; the scenario asserts what it has to show, and has shown it if the program ends
/// normally. Where a scenario has to be judged from outside, a closure behind its name looks at how it ended.
macro_rules! scenarios {
    ($guest:literal: $($name:ident $(=> $judge:expr)?),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let program = lunatic_tests::guests::program($guest).args([stringify!($name)]);
                $crate::scenarios!(@judge program $(, $judge)?);
            }
        )*

        #[test]
        fn every_scenario_has_a_test() {
            assert_eq!(lunatic_tests::guests::scenarios($guest), [$(stringify!($name)),*]);
        }
    };
    (@judge $program:ident) => {
        $program.run().normal()
    };
    (@judge $program:ident, $judge:expr) => {{
        let judge: fn(lunatic_tests::host::Program<'static>) = $judge;
        judge($program)
    }};
}
use scenarios;

mod alarms;
mod attacks;
mod bad_files;
mod book;
mod c_programs;
mod channels;
mod chat;
mod clusters;
mod command_line;
#[cfg(feature = "compat")]
mod compat;
mod compiling;
mod component_processes;
mod components;
mod confinement;
mod counting;
#[cfg(feature = "compat")]
mod databases;
mod deadlocks;
mod dumps;
mod endings;
mod examples;
mod fuzzed;
mod hibernation;
mod hostile;
mod http;
mod inspecting;
mod logs;
mod long_calls;
use lunatic_tests::imports;
mod memory;
mod monkeys;
mod net;
#[cfg(unix)]
mod nodes;
mod operating;
#[cfg(feature = "otlp")]
mod otlp;
mod processes;
mod published;
mod renovated;
mod sandbox;
mod scarcity;
mod secrets;
#[cfg(unix)]
mod serve;
mod shutdown;
mod signals;
mod signed;
mod stacks;
mod stopping;
mod storms;
#[cfg(unix)]
mod surroundings;
mod systems;
mod todo;
mod traces;
mod tracing;
mod upgrades;
mod wasi_calls;
#[cfg(unix)]
mod watching;
mod world;
