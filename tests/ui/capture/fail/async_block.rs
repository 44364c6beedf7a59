use lunatic::Process;

fn main() {
    let _ = Process::spawn(async { println!("now") });
}
