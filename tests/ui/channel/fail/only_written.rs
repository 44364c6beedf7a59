use lunatic::Channel;

#[derive(serde::Serialize)]
struct Order {
    number: u32,
}

fn main() {
    let orders = Channel::new(0);
    orders.send(Order { number: 1 });
}
