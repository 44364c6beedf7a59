use lunatic::Process;

struct Settings {
    volume: u8,
}

fn main() {
    let settings = Settings { volume: 11 };
    let _ = Process::spawn(move || {
        let Settings { volume } = &settings;
        println!("{volume}");
    });
}
