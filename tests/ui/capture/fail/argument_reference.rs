use lunatic::Process;

fn print_later(text: &str) {
    let _ = Process::spawn(move || println!("{text}"));
}

fn main() {
    print_later("now");
}
