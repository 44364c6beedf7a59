use lunatic::Process;

fn main() {
    let numbers = vec![1, 2, 3];
    let _ = Process::spawn(move || assert_eq!(numbers.len(), 3));
}
