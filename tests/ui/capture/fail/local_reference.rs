use lunatic::Process;

fn main() {
    let count = 7;
    let reference = &count;
    let _ = Process::spawn(move || println!("{reference}"));
}
