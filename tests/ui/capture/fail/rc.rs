use std::rc::Rc;

use lunatic::Process;

fn main() {
    let shared = Rc::new(7);
    let _ = Process::spawn(move || assert_eq!(*shared, 7));
}
