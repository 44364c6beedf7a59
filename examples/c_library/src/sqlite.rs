//! SQLite, unmodified C from the registry, in a process that has access to one folder only.
//!
//! ```sh
//! cargo lunatic run -p lunatic-example-c-library --bin sqlite --dir /tmp::/data
//! ```

#[cfg(target_family = "wasm")]
fn main() {
    use lunatic::{Channel, Process, ProcessConfig};
    use rusqlite::Connection;

    let totals = Channel::<Result<(i64, i64), String>>::new(0);
    let keeper = ProcessConfig::new().dir("/data", "/db").max_memory(64 << 20);
    let count = move || {
        let work = || -> rusqlite::Result<(i64, i64)> {
            let mut db = Connection::open("/db/notes.sqlite")?;
            db.execute_batch("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")?;
            let all = db.transaction()?;
            for i in 0..1000 {
                all.execute("INSERT INTO notes (text) VALUES (?1)", [format!("note {i}")])?;
            }
            all.commit()?;
            db.query_row("SELECT count(*), sum(length(text)) FROM notes", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
        };
        totals.send(work().map_err(|error| error.to_string()));
    };
    let process = Process::builder().config(&keeper).spawn(count).unwrap();
    match totals.receive() {
        Ok((notes, bytes)) => println!("{notes} notes with {bytes} bytes"),
        Err(error) => println!("no notes: {error}"),
    }
    println!("the process {}", process.join());
}

#[cfg(not(target_family = "wasm"))]
fn main() {
    eprintln!("start this with `cargo lunatic run -p lunatic-example-c-library --bin sqlite --dir /tmp::/data`");
    std::process::exit(1);
}
