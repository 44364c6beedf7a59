//! Processes that do to each other whatever comes to their mind.

use std::collections::HashSet;
use std::hint::black_box;
use std::time::Duration;

use lunatic::{Channel, ExitReason, Process, sleep, this_process, yield_now};
use serde::{Deserialize, Serialize};

lunatic_test_guests::scenarios![whatever_processes_do_to_each_other_all_end_and_are_told_of];

/// What a monkey knows, and tells others.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Knows {
    channels: [Channel<Knows>; 4],
    processes: [Process; 4],
    /// Where each process is made known to the main process.
    born: Channel<Process>,
}

/// Numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize]
    }

    /// Up to a tenth of a millisecond.
    fn moment(&mut self) -> Duration {
        Duration::from_micros(self.roll(100))
    }
}

/// So many things a monkey does before it ends by itself.
const DEEDS: u32 = 60;
/// A monkey's children may have so many generations of their own.
const GENERATIONS: u32 = 2;

fn monkey(seed: u64, generation: u32, mut knows: Knows) {
    let mut dice = Dice(seed);
    // Anybody may hear of these.
    knows.channels[dice.roll(4) as usize] = Channel::new(dice.roll(4) as usize);
    knows.processes[dice.roll(4) as usize] = this_process();
    for _ in 0..DEEDS {
        let (channel, process) = (dice.pick(&knows.channels), dice.pick(&knows.processes));
        let heard = match dice.roll(30) {
            0..4 => channel.try_receive().ok(),
            4..8 => channel.receive_timeout(dice.moment()).ok(),
            8..12 => channel.try_send(knows).err().map(|error| error.into_message()),
            12..16 => channel
                .send_timeout(knows, dice.moment())
                .err()
                .map(|error| error.into_message()),
            16..18 => {
                yield_now();
                None
            }
            18..20 => {
                sleep(dice.moment());
                None
            }
            20..22 => {
                let _ = process.join_timeout(dice.moment());
                None
            }
            22 => {
                process.kill();
                None
            }
            23 => {
                assert!(
                    black_box(process.is_alive()) || !process.is_alive(),
                    "it came to life again"
                );
                None
            }
            24 => {
                (0..dice.roll(200_000)).for_each(|number| _ = black_box(number));
                None
            }
            25 if dice.roll(10) == 0 => match dice.roll(4) {
                0 => panic!("a monkey panics"),
                1 => std::process::exit(9),
                2 => std::process::abort(),
                _ => return,
            },
            26..29 if generation > 0 => {
                let seed = dice.0;
                if let Ok(child) = Process::spawn(move || monkey(seed, generation - 1, knows)) {
                    knows.born.send(child);
                    knows.processes[dice.roll(4) as usize] = child;
                }
                None
            }
            _ => {
                drop(black_box(vec![1_u8; dice.roll(100_000) as usize]));
                None
            }
        };
        if let Some(heard) = heard {
            knows.channels[dice.roll(4) as usize] = dice.pick(&heard.channels);
            knows.processes[dice.roll(4) as usize] = dice.pick(&heard.processes);
        }
    }
}

fn whatever_processes_do_to_each_other_all_end_and_are_told_of() {
    for round in 0..5_u64 {
        let born = Channel::new(0);
        let knows = Knows {
            channels: [0, 1, 2, 3].map(Channel::new),
            // One that sleeps, whom they may kill; they do not know the main process.
            processes: [Process::spawn(|| sleep(Duration::MAX)).unwrap(); 4],
            born,
        };
        for number in 0..50_u64 {
            let seed = round * 1000 + number;
            born.send(Process::spawn(move || monkey(seed, GENERATIONS, knows)).unwrap());
        }
        let mut seen = HashSet::new();
        // Whoever tells of a child does so before it ends: when all who were heard of have ended, nobody is left.
        while let Ok(process) = born.try_receive() {
            assert!(seen.insert(process), "{process} was told of twice");
            let reason = process.join();
            let expected = match &reason {
                ExitReason::Normal | ExitReason::Killed => true,
                ExitReason::Exit(code) => *code == 9,
                ExitReason::Panic(message) => message == "a monkey panics",
                ExitReason::Trap { text: message, .. } => message.contains("abort"),
                _ => false,
            };
            assert!(expected, "{process} {reason}");
            assert!(!process.is_alive());
        }
        assert!(seen.len() >= 50);
        knows.processes[0].kill();
        assert_eq!(knows.processes[0].join(), ExitReason::Killed);
    }
}
