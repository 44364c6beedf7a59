//! A web server in ten lines: each connection is a process.
//!
//! Run it with `cargo lunatic run --example hello_web`, and ask it with `curl http://127.0.0.1:8080/hello/you`.

use lunatic_http::{Request, Router, Server};

fn main() -> std::io::Result<()> {
    let app = Router::new()
        .get("/", |_| "Hello!\n")
        .get("/hello/{name}", |request: Request| {
            format!("Hello, {}!\n", request.param("name"))
        });
    Server::bind("127.0.0.1:8080")?.serve(app)
}
