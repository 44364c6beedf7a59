//! A profile for the Firefox profiler, <https://profiler.firefox.com>, in its "processed" format.
//!
//! Each process becomes a thread. Samples are counted and have no times, so each stack fills the timeline for the total
//! time in which it was seen, the most frequent stack first.

use std::collections::HashMap;
use std::time::SystemTime;

use fxprof_processed_profile::{
    CategoryColor, CategoryHandle, CpuDelta, Frame, FrameFlags, FrameInfo, Profile, SamplingInterval, ThreadHandle,
    Timestamp,
};

/// Converts folded stacks to a profile. Each line holds the process, then functions, the outermost first, separated by
/// `;`, then a count of milliseconds.
pub(super) fn profile(program: &str, folded: &str) -> serde_json::Result<String> {
    let mut profile = Profile::new(program, SystemTime::now().into(), SamplingInterval::from_millis(1));
    let begin = Timestamp::from_millis_since_reference(0.0);
    let all = profile.add_process(program, 1, begin);
    let host = profile.add_category("Host", CategoryColor::Blue);
    let waits = profile.add_category("Waiting", CategoryColor::Gray);
    let category = |function: &str| match function {
        function if function.starts_with("[host]") => host,
        function if function.starts_with("[waits]") => waits,
        _ => CategoryHandle::OTHER,
    };
    let mut threads: HashMap<&str, (ThreadHandle, u64)> = HashMap::new();
    for line in folded.lines() {
        let Some((stack, count)) = line.rsplit_once(' ') else {
            continue;
        };
        let (process, functions) = stack.split_once(';').unwrap_or((stack, ""));
        let count: u64 = count.parse().unwrap_or(0);
        let number = u32::try_from(threads.len()).unwrap_or(u32::MAX);
        let (thread, at) = threads.entry(process).or_insert_with(|| {
            // Not the main thread, which the profiler would show under the name of the program.
            let thread = profile.add_thread(all, number + 1, begin, false);
            profile.set_thread_name(thread, process);
            (thread, 0)
        });
        let frames: Vec<FrameInfo> = functions
            .split(';')
            .filter(|function| !function.is_empty())
            .map(|function| FrameInfo {
                frame: Frame::Label(profile.intern_string(function)),
                category_pair: category(function).into(),
                flags: FrameFlags::empty(),
            })
            .collect();
        let stack = profile.intern_stack_frames(*thread, frames.into_iter());
        let time = Timestamp::from_millis_since_reference(*at as f64);
        let is_wait = functions
            .rsplit(';')
            .next()
            .is_some_and(|last| last.starts_with("[waits]"));
        let spent = CpuDelta::from_millis(if is_wait { 0.0 } else { count as f64 });
        profile.add_sample(*thread, time, stack, spent, i32::try_from(count).unwrap_or(i32::MAX));
        *at += count;
    }
    serde_json::to_string(&profile)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Read as the format is described: tables of indices into others.
    #[test]
    fn each_process_is_a_thread_with_its_stacks() {
        let folded = "#3 shop;main;sum 5\n#4 till;main;[waits] mail 2\n#3 shop;main;[host] channel_receive 1\n";
        let text = profile("shop.wasm", folded).unwrap();
        let profile: Value = serde_json::from_str(&text).unwrap();
        assert!(profile["meta"]["preprocessedProfileVersion"].as_u64().unwrap() > 40);
        assert_eq!(
            (&profile["meta"]["product"], &profile["meta"]["interval"]),
            (&"shop.wasm".into(), &1.0.into())
        );
        let threads = profile["threads"].as_array().unwrap();
        let names: Vec<_> = threads.iter().map(|thread| thread["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["#3 shop", "#4 till"]);
        let samples = &threads[0]["samples"];
        assert_eq!(samples["weight"], serde_json::json!([5, 1]));
        let strings = match &profile["shared"]["stringArray"] {
            Value::Null => &threads[0]["stringArray"],
            shared => shared,
        };
        let number =
            |table: &str, column: &str, at: usize| threads[0][table][column][at].as_u64().map(|at| at as usize);
        let mut found = Vec::new();
        let mut stack = samples["stack"][0].as_u64().map(|at| at as usize);
        while let Some(at) = stack {
            let frame = number("stackTable", "frame", at).unwrap();
            let function = number("frameTable", "func", frame).unwrap();
            let name = number("funcTable", "name", function).unwrap();
            found.push(strings[name].as_str().unwrap());
            stack = number("stackTable", "prefix", at);
        }
        assert_eq!(found, ["sum", "main"]);
        // Waiting takes no time of a processor, and the host has a category of its own.
        assert_eq!(
            threads[0]["samples"]["threadCPUDelta"],
            serde_json::json!([5_000, 1_000])
        );
        assert_eq!(threads[1]["samples"]["threadCPUDelta"], serde_json::json!([0]));
        let categories = profile["meta"]["categories"].as_array().unwrap();
        let place = |name: &str| categories.iter().position(|category| category["name"] == name).unwrap();
        let last = threads[0]["samples"]["stack"][1].as_u64().unwrap() as usize;
        let frame = number("stackTable", "frame", last).unwrap();
        assert_eq!(number("frameTable", "category", frame), Some(place("Host")));
    }
}
