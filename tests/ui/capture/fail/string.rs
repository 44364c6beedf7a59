use lunatic::Process;

fn main() {
    let name = String::from("Joe");
    let _ = Process::spawn(move || println!("hello {name}"));
}
