use lunatic::Process;

fn main() {
    let mut count = 0;
    let reference = &mut count;
    let _ = Process::spawn(move || *reference += 1);
}
