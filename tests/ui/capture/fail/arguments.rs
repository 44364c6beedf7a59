use lunatic::Process;

fn main() {
    let _ = Process::spawn(|number: u32| println!("{number}"));
}
