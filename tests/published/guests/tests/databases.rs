//! SQLite.

use lunatic::sqlite::{Query, SqliteClient, Value};

#[lunatic::test]
fn rows_come_back_as_they_were_put_in() {
    let client = SqliteClient::connect("").unwrap();
    client.execute("CREATE TABLE cat (id INTEGER PRIMARY KEY, name TEXT, weight REAL, photo BLOB)").unwrap();
    client
        .prepare_query("INSERT INTO cat (name, weight, photo) VALUES (?, ?, ?)")
        .bind("Minka")
        .bind(4.25)
        .bind(vec![1_u8, 2, 3])
        .execute();
    let rows = client.query("SELECT * FROM cat");
    let expected = vec![Value::Int64(1), Value::Text("Minka".into()), Value::Double(4.25), Value::Blob(vec![1, 2, 3])];
    assert_eq!(rows.len(), 1);
    for (value, expected) in rows[0].iter().zip(&expected) {
        match (value.as_int_any(), expected.as_int_any()) {
            (None, None) => assert_eq!(format!("{value:?}"), format!("{expected:?}")),
            (one, other) => assert_eq!(one, other),
        }
    }
}

#[lunatic::test]
fn parameters_have_names() {
    let client = SqliteClient::connect(":memory:").unwrap();
    let rows = client
        .prepare_query("SELECT :one, @two, $three")
        .bind_named("three", 3)
        .bind_named(":one", "eins")
        .bind_named("@two", 2_i64)
        .execute();
    assert_eq!(rows[0][0].as_text().unwrap(), "eins");
    assert_eq!((rows[0][1].as_int_any(), rows[0][2].as_int_any()), (Some(2), Some(3)));
}

#[lunatic::test]
fn errors_are_told() {
    let client = SqliteClient::connect("").unwrap();
    assert!(client.execute("SELEKT 1").is_err());
    assert!(client.execute("SELECT 1").is_ok());
    assert!(client.execute("ATTACH '/etc/passwd' AS other").is_err());
    assert!(client.execute("ATTACH 'other.db' AS other").is_err());
    assert!(client.execute("ATTACH ':memory:' AS other").is_ok());
    assert!(client.execute("VACUUM INTO '/tmp/published-copy.db'").is_err());
    assert!(client.execute("SELECT load_extension('x')").is_err());
    assert!(client.execute("PRAGMA temp_store_directory = '/tmp'").is_err());
}

#[lunatic::test]
fn a_file_outlives_its_process() {
    let name = "kept.db".to_owned();
    let _ = std::fs::remove_file(&name);
    let writer = lunatic::spawn_link!(@task |name| {
        let client = SqliteClient::connect(&name).unwrap();
        client.execute("PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER)").unwrap();
        client.execute("INSERT INTO t VALUES (1), (2), (3)").unwrap();
        name
    });
    let name = writer.result();
    let client = SqliteClient::connect(&name).unwrap();
    assert_eq!(client.query("SELECT sum(n) FROM t")[0][0].as_int_any(), Some(6));
    std::fs::remove_file(&name).unwrap();
}

#[lunatic::test]
fn no_other_file_can_be_opened() {
    // The links are there when a system test of the host runs this: to a file and to a folder outside.
    for path in ["/etc/hostname.db", "../outside.db", "/tmp/outside.db", "link.db", "link/outside.db"] {
        if path.starts_with("link") && std::fs::symlink_metadata("link.db").is_err() {
            continue;
        }
        let opened = SqliteClient::connect(path).and_then(|client| client.execute("CREATE TABLE t (n INTEGER)"));
        assert!(opened.is_err(), "{path}");
    }
}
