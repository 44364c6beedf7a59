use lunatic::Process;

fn main() {
    let number = 7;
    let pointer = &raw const number;
    let _ = Process::spawn(move || {
        let pointer = pointer;
        println!("{pointer:?}");
    });
}
