use lunatic::Process;

fn run_later<F: FnOnce() + Send + 'static>(work: F) {
    let _ = Process::spawn(work);
}

fn main() {
    run_later(|| println!("now"));
}
