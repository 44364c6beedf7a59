use lunatic::Process;

fn main() {
    let mut count = 0;
    let _ = Process::spawn(|| count += 1);
    println!("{count}");
}
