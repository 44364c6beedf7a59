use lunatic::Channel;

struct Order {
    number: u32,
}

fn main() {
    let orders = Channel::<Order>::new(0);
    orders.send(Order { number: 1 });
    println!("{}", orders.receive().number);
}
