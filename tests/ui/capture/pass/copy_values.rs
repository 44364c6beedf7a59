//! What may be captured. `spawn` is not called: there are no processes where this test runs.

use lunatic::{Channel, Process, SpawnError};

#[derive(Clone, Copy)]
struct Settings {
    volume: u8,
    place: (f64, f64),
}

#[derive(Clone, Copy)]
enum Mode {
    Quick,
    Slow(u32),
}

const LIMIT: u64 = 1 << 40;
static NAME: &str = "constant";

fn double(number: u64) -> u64 {
    2 * number
}

fn spawn_all() -> Result<(), SpawnError> {
    let number = 7_u64;
    let array = [1_i16; 100];
    let tuple = (true, 'x', 0.5_f32, Some(-1_i128));
    let settings = Settings { volume: 11, place: (0.5, 0.25) };
    let modes = [Mode::Quick, Mode::Slow(3)];
    let parent = lunatic::this_process();
    let strings = Channel::<String>::new(0);
    let channels = Channel::<Channel<Vec<u8>>>::new(0);
    let function: fn(u64) -> u64 = double;
    let text = "string literal";
    let bytes = b"byte literal";
    let inner = move || number + 1;

    Process::spawn(|| ())?;
    Process::spawn(nothing)?;
    Process::spawn(move || {
        let _ = (number, array, tuple, settings.volume, settings.place, parent, LIMIT, NAME);
        for mode in modes {
            if let Mode::Slow(turns) = mode {
                let _ = turns;
            }
        }
        strings.send(text.to_owned() + &String::from_utf8_lossy(bytes));
        channels.send(Channel::new(0));
        let _ = function(inner()) + double(number);
    })?;
    // The closure was copied: all is still here.
    strings.send(format!("{number} {text}"));
    Ok(())
}

fn nothing() {}

fn main() {
    let _: fn() -> Result<(), SpawnError> = spawn_all;
}
