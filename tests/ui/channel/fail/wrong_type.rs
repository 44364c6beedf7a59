use lunatic::Channel;

fn main() {
    let numbers = Channel::<u32>::new(0);
    numbers.send("seven");
}
