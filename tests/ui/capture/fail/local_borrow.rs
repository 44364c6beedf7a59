use lunatic::Process;

fn main() {
    let count = 7;
    let _ = Process::spawn(|| println!("{count}"));
}
