use lunatic::Channel;

fn main() {
    let words = Channel::<&str>::new(0);
    words.send("hello");
}
