use lunatic::Process;

fn main() {
    let _ = Process::spawn(7);
}
