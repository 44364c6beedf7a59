//! The examples do what their first lines say, compiled either way.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lunatic_host::WaitFor;
use lunatic_host::inspect::Query;
use lunatic_tests::guests::{PROFILES, Profile, bytes};
use lunatic_tests::host::{Ended, Host, PATIENCE, Program};

fn example(name: &str, profile: Profile) -> Program<'static> {
    Host::shared().program(&bytes(name, profile))
}

#[track_caller]
fn run(name: &str, profile: Profile) -> Ended {
    example(name, profile).run().normal()
}

#[test]
fn power_prints_100_000_lines_each_number_once_and_each_square_right() {
    for profile in PROFILES {
        let ended = run("power", profile);
        let mut seen = vec![false; 100_000];
        for line in ended.stdout.lines() {
            let numbers = line.strip_prefix("Power of ").and_then(|line| line.split_once(" is "));
            let (number, power) = numbers.unwrap_or_else(|| panic!("a torn line: {line:?}"));
            let (number, power): (u64, u64) = (number.parse().unwrap(), power.parse().unwrap());
            assert_eq!(power, number * number);
            assert!(!std::mem::replace(&mut seen[number as usize], true), "{number} twice");
        }
        assert!(seen.iter().all(|seen| *seen), "a number is missing");
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn of_a_thousand_processes_a_third_panics_a_third_traps_and_the_rest_is_heard() {
    for profile in PROFILES {
        let ended = run("isolation", profile);
        assert_eq!(
            ended.stdout,
            "334 panicked\n333 trapped\n333 of 333 finished and were heard\n"
        );
        let reports: BTreeSet<&str> = ended
            .stderr
            .lines()
            .filter(|line| line.starts_with("process #"))
            .map(|line| line.split_whitespace().nth(1).expect("the number follows"))
            .collect();
        // Of so many at once, some are only counted.
        let counts = ended.stderr.lines().filter_map(|line| {
            let (count, _) = line.split_once(" more crash")?;
            count.replace(',', "").parse::<usize>().ok()
        });
        assert!(reports.len() >= 256, "{ended}");
        assert_eq!(reports.len() + counts.sum::<usize>(), 667, "{ended}");
    }
}

#[test]
fn a_process_ticks_on_beside_twice_as_many_endless_loops_as_cores() {
    let cores = std::thread::available_parallelism().unwrap().to_string();
    for profile in PROFILES {
        // It ends when it has ticked so often, and all loops are still there: how late it was is not judged here.
        let ended = example("fairness", profile).args([cores.as_str(), "50"]).run().normal();
        assert_eq!(ended.stdout.matches("50 ticks: ").count(), 3, "{ended}");
    }
}

/// The works check their results themselves.
#[test]
fn the_works_of_the_benchmark_have_the_right_results_at_any_size() {
    let works = [
        "send",
        "skynet",
        "fork-join",
        "big",
        "bank",
        "philosophers",
        "sieve",
        "selective",
        "broadcast",
    ];
    let bench = Host::shared().load(&bytes("bench", Profile::Release)).unwrap();
    for work in works {
        for n in ["1", "7", "777"] {
            let ended = Host::shared().loaded(&bench).args([work, n]).run().normal();
            let start = format!(r#"{{"system":"lunatic","work":"{work}","n":{n},"ns_per_op":"#);
            assert!(ended.stdout.starts_with(&start), "{ended}");
        }
    }
}

#[test]
fn two_processes_play_ping_pong() {
    for profile in PROFILES {
        let ended = run("ping_pong", profile);
        let lines: Vec<_> = ended
            .stdout
            .lines()
            .map(|line| line.split_once(' ').expect("two words").1)
            .collect();
        let played: Vec<_> = lines.iter().filter(|line| line.starts_with("played it back")).collect();
        let got: Vec<_> = lines.iter().filter(|line| line.starts_with("got it")).collect();
        assert_eq!(
            played,
            (1..=10)
                .map(|n| format!("played it back at {n}"))
                .collect::<Vec<_>>()
                .iter()
                .collect::<Vec<_>>()
        );
        assert_eq!(
            got,
            (0..10)
                .map(|n| format!("got it at {n}"))
                .collect::<Vec<_>>()
                .iter()
                .collect::<Vec<_>>()
        );
        assert_eq!(lines.last(), Some(&"then it ended normally"), "{ended}");
    }
}

#[test]
fn a_process_keeps_the_sum_for_others() {
    for profile in PROFILES {
        assert_eq!(run("counter", profile).stdout, "1 + 2 + … + 100 = 5050\n");
    }
}

#[test]
fn a_counter_crashes_and_comes_back() {
    for profile in PROFILES {
        let ended = run("supervised_counter", profile);
        assert_eq!(
            ended.stdout,
            "the counter starts at 100\nplus 50 is 150\nrestarts so far: 0\nplus 100 is 250\nrestarts so far: 0\n\
             the counter starts at 100\nplus 50 was too much\nrestarts so far: 1\n"
        );
        ended.reports("`counter` panicked: the sum fits into a byte");
        ended.reports(
            "restarts child `counter`, which panicked: the sum fits into a byte (restart 1 of it; 1 of at most 3",
        );
    }
}

#[test]
fn primes_are_counted_on_one_node_as_on_many() {
    for profile in PROFILES {
        assert_eq!(run("cluster", profile).stdout, "21221 primes below 240000\n");
    }
}

#[test]
fn three_cooks_cook_twenty_dishes_but_one() {
    for profile in PROFILES {
        let ended = run("worker_pool", profile);
        let expected: String = (1..=20)
            .map(|number| match number {
                13 => "no dish 13: the process that was called panicked: no one cooks number 13\n".to_owned(),
                number => format!("dish {number}\n"),
            })
            .collect();
        assert_eq!(ended.stdout, expected + "cooks in the kitchen: 3\n");
    }
}

#[test]
fn guests_of_a_chat_room_hear_each_other() {
    for profile in PROFILES {
        assert_eq!(
            run("chat_room", profile).stdout,
            "3 guests are in the room\n2 guests heard the last line\n\
             Ann heard: Bob: good evening, Ann, Cid: where is Bob?\nBob heard: Ann: good evening\n\
             Cid heard: Ann: good evening, Bob: good evening, Ann\n"
        );
    }
}

#[test]
fn a_late_answer_is_not_the_answer_to_the_next_question() {
    for profile in PROFILES {
        assert_eq!(
            run("timeout", profile).stdout,
            "the answer to `what is six times seven` is 42\nno answer in 1 ms\n\
             the answer to `what is seven times six` is 42\nthe process that was called was killed\n"
        );
    }
}

#[test]
fn careless_c_code_ends_its_own_process_and_no_other() {
    for profile in PROFILES {
        let ended = run("c_library", profile);
        let mut lines = ended.stdout.lines();
        for (what, how) in [
            ("buffer overflow", "out-of-bounds"),
            ("use after free", ""),
            ("null dereference", ""),
            ("endless loop", "used up"),
        ] {
            let line = lines.next().unwrap_or_default();
            assert!(
                line.starts_with(&format!("{what}: the process ")) && line.contains(how),
                "{ended}"
            );
            assert!(!line.ends_with("ended normally"), "{ended}");
        }
        let sums: Vec<_> = lines.collect();
        assert_eq!(sums.len(), 3, "{ended}");
        assert_eq!(sums[0], "checksum of 1000 times 0: 0x03e80001");
        for function in ["greet", "use_after_free", "null_dereference"] {
            assert!(ended.stderr.contains(function), "no report names {function}:\n{ended}");
        }
    }
}

#[test]
fn sqlite_keeps_a_database_in_the_folder_that_its_process_was_given() {
    let folder = tempfile::tempdir().unwrap();
    for (profile, expected) in [
        (Profile::Debug, "1000 notes with 7890 bytes\n"),
        (Profile::Release, "2000 notes with 15780 bytes\n"),
    ] {
        let ended = example("sqlite", profile)
            .dir(folder.path(), "/data", false)
            .run()
            .normal();
        assert!(ended.stdout.starts_with(expected), "{ended}");
    }
    let file = std::fs::read(folder.path().join("notes.sqlite")).unwrap();
    assert!(file.starts_with(b"SQLite format 3\0"));
    // Without the folder there is none to give to the process.
    assert!(!example("sqlite", Profile::Debug).run().stdout.contains("notes with"));
}

#[test]
fn an_echo_server_talks_to_itself_and_to_others() {
    let rules = || vec!["*".parse().unwrap()];
    for profile in PROFILES {
        let ended = example("echo", profile).net(rules()).run().normal();
        let (first, rest) = ended.stdout.split_once('\n').unwrap();
        assert!(first.starts_with("listening at 127.0.0.1:"), "{first}");
        let answers: String = (0..3)
            .map(|number| format!("hello from connection {number}\n"))
            .collect();
        assert_eq!(rest, answers);
    }
}

/// What `docs/operating.md` finds in it.
#[test]
fn the_troubled_shop_has_its_three_troubles() {
    let system = example("troubled", Profile::Release).start();
    let find = |name: &str| {
        let query = Query {
            name: Some(name.to_owned()),
            ..Query::default()
        };
        Some(system.list(&query).processes.first()?.snapshot.clone())
    };
    let waits_for_an_answer = |name: &str| {
        let wait = find(name).and_then(|process| process.wait);
        wait.is_some_and(|(wait, _)| wait == WaitFor::Call)
    };
    let start = Instant::now();
    while !(waits_for_an_answer("till")
        && waits_for_an_answer("stock")
        && find("archive").is_some_and(|archive| archive.mailbox_len > 100)
        && find("prices").is_some_and(|prices| prices.time_on_core > Duration::from_millis(100)))
    {
        assert!(start.elapsed() < PATIENCE, "{:#?}", system.processes());
    }
    system.kill(system.main().unwrap());
}
