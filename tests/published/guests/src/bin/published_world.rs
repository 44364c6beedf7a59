//! Prints what a program sees of the world, and counts a little.

use lunatic::Mailbox;

#[lunatic::main]
fn main(_: Mailbox<()>) {
    lunatic::metrics::counter("visits", 2);
    lunatic::metrics::increment_counter("visits");
    lunatic::metrics::histogram("time", 2.5);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("arguments {arguments:?}");
    println!("folder {}", std::fs::metadata(".").is_ok());
    println!("variable {:?}", std::env::var("PUBLISHED").ok());
    println!("network {}", lunatic::net::TcpListener::bind("127.0.0.1:0").is_ok());
    if arguments.first().is_some_and(|first| first == "fail") {
        panic!("on purpose");
    }
}
