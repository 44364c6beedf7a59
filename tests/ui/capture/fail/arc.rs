use std::sync::{Arc, Mutex};

use lunatic::Process;

fn main() {
    let counter = Arc::new(Mutex::new(0));
    let _ = Process::spawn(move || *counter.lock().unwrap() += 1);
}
