//! `lunatic::sqlite`: databases.

use std::sync::Arc;

use lunatic_host::Ctx;
use lunatic_host::imports::pieces;
use lunatic_host::rights::denial;
use lunatic_host::wasm::Process;
use lunatic_kernel::stock::{EXHAUSTED, Portion};
use wasmtime::{Caller, Linker};

use super::{failed, fault, give, into_text, keep, state, text};
use crate::sqlite::wire::{self, Value};
use crate::sqlite::{Connection, Statement, Step, run};

/// So many descriptors a database in a file has at most: of the file, of its journal, and of one more while one takes the place of
/// another.
const DESCRIPTORS: u64 = 3;

/// What a step returns.
const ROW: i32 = 100;
const DONE: i32 = 101;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::sqlite";
    linker.func_wrap_async(namespace, "open", |caller, (path, len, out)| {
        Box::new(open(caller, path, len, out))
    })?;
    linker.func_wrap_async(namespace, "execute", |caller, (id, sql, len)| {
        Box::new(execute(caller, id, sql, len))
    })?;
    linker.func_wrap_async(namespace, "query_prepare", |caller, (id, sql, len)| {
        Box::new(query_prepare(caller, id, sql, len))
    })?;
    linker.func_wrap_async(namespace, "bind_value", |caller, (id, at, len)| {
        Box::new(bind_value(caller, id, at, len))
    })?;
    linker.func_wrap_async(namespace, "sqlite3_step", |caller, (id,)| Box::new(step(caller, id)))?;
    linker.func_wrap_async(namespace, "statement_reset", |caller, (id,)| {
        Box::new(statement_reset(caller, id))
    })?;
    linker.func_wrap_async(namespace, "sqlite3_finalize", |caller, (id,)| {
        Box::new(finalize(caller, id))
    })?;
    linker.func_wrap(namespace, "sqlite3_changes", changes)?;
    linker.func_wrap(namespace, "column_count", column_count)?;
    linker.func_wrap_async(namespace, "read_row", |caller, (id, out)| {
        Box::new(read_row(caller, id, out))
    })?;
    linker.func_wrap_async(namespace, "read_column", |caller, (id, column, out)| {
        Box::new(read_column(caller, id, column, out))
    })?;
    linker.func_wrap_async(namespace, "column_name", |caller, (id, column, out)| {
        Box::new(column_name(caller, id, column, out))
    })?;
    linker.func_wrap_async(namespace, "column_names", |caller, (id, out)| {
        Box::new(column_names(caller, id, out))
    })?;
    linker.func_wrap_async(namespace, "last_error", |caller, (id, out)| {
        Box::new(last_error(caller, id, out))
    })?;
    Ok(())
}

fn connection(caller: &mut Caller<'_, Ctx>, id: u64) -> wasmtime::Result<Arc<Connection>> {
    Ok(state(caller).databases.connections.get("connection", id)?.clone())
}

fn statement(caller: &mut Caller<'_, Ctx>, id: u64) -> wasmtime::Result<Arc<Statement>> {
    Ok(state(caller).databases.statements.get("statement", id)?.clone())
}

/// Runs work on a connection where it harms nobody if it takes long.
fn on<T: Send + 'static, Work: FnOnce() -> T + Send + 'static>(
    caller: &Caller<'_, Ctx>,
    connection: Option<Arc<Connection>>,
    work: Work,
) -> impl Future<Output = wasmtime::Result<T>> + Send + use<T, Work> {
    let (kernel, process) = (caller.data().kernel().clone(), caller.data().process().clone());
    async move { run(&kernel, &process, connection, work).await }
}

async fn open(mut caller: Caller<'_, Ctx>, path: u32, len: u32, out: u32) -> wasmtime::Result<i64> {
    let path = text(&mut caller, path, len)?;
    let place = match path.as_str() {
        "" | ":memory:" => None,
        path => match place(caller.data().process(), path) {
            Ok(place) => Some(place),
            Err(why) => return Ok(failed(&mut caller, out, why)?.into()),
        },
    };
    let process = caller.data().process().clone();
    let databases = &mut state(&mut caller).databases;
    let connections_max = process.local.rights().files_max;
    if databases.connections.len() >= connections_max as usize {
        let why =
            format!("the process has {connections_max} databases open: the limit is that of files (`--max-files`)");
        return Ok(failed(&mut caller, out, why)?.into());
    }
    let account = databases.account(&process);
    let (stock, group) = (&process.local.rights().descriptors, &process.local.rights().group);
    let files = if place.is_some() { DESCRIPTORS } else { 0 };
    let Some(paid) = Portion::take(stock, group, files) else {
        return Ok(failed(&mut caller, out, EXHAUSTED)?.into());
    };
    let opened = on(&caller, None, move || Connection::open(place, account, paid)).await?;
    match opened {
        Ok(connection) => {
            let connection = Arc::new(connection);
            let id = keep(
                &mut caller,
                |state| &mut state.databases.connections,
                "connection",
                connection,
            )?;
            super::write_long(&mut caller, out, id)?;
            Ok(0)
        }
        Err(error) => Ok(failed(&mut caller, out, error)?.into()),
    }
}

/// The file that a process means; or why it may not have it.
fn place(process: &Process, path: &str) -> Result<crate::sqlite::Place, String> {
    let place = process.local.rights().wasi.place_of(path);
    let place = place.and_then(|(folder, rest)| crate::sqlite::Place::new(folder, &rest));
    place.ok_or_else(|| {
        denial::log(process, "may not open the database", path, "--dir HOST::GUEST");
        format!("the database {path:?} lies in no folder of the process")
    })
}

async fn execute(mut caller: Caller<'_, Ctx>, id: u64, sql: u32, len: u32) -> wasmtime::Result<i32> {
    let connection = connection(&mut caller, id)?;
    let sql = into_text(pieces::read(&mut caller, sql, len).await?)?;
    on(&caller, Some(connection.clone()), move || connection.execute(&sql)).await
}

async fn query_prepare(mut caller: Caller<'_, Ctx>, id: u64, sql: u32, len: u32) -> wasmtime::Result<u64> {
    let connection = connection(&mut caller, id)?;
    let sql = into_text(pieces::read(&mut caller, sql, len).await?)?;
    let statement = on(&caller, Some(connection.clone()), move || connection.prepare(&sql)).await??;
    let statement = Arc::new(statement);
    keep(
        &mut caller,
        |state| &mut state.databases.statements,
        "statement",
        statement,
    )
}

async fn bind_value(mut caller: Caller<'_, Ctx>, id: u64, at: u32, len: u32) -> wasmtime::Result<()> {
    let statement = statement(&mut caller, id)?;
    let bindings = wire::read_bindings(&pieces::read(&mut caller, at, len).await?)?;
    Ok(statement.bind(&bindings)?)
}

async fn step(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<i32> {
    let statement = statement(&mut caller, id)?;
    let stepped = on(&caller, Some(statement.connection.clone()), move || statement.step()).await??;
    Ok(match stepped {
        Step::Row => ROW,
        Step::Done => DONE,
    })
}

async fn statement_reset(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<()> {
    let statement = statement(&mut caller, id)?;
    Ok(on(&caller, Some(statement.connection.clone()), move || statement.reset()).await??)
}

async fn finalize(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<()> {
    let statement = state(&mut caller).databases.statements.remove("statement", id)?;
    on(&caller, None, move || drop(statement)).await
}

fn changes(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<i32> {
    Ok(connection(&mut caller, id)?.changes())
}

fn column_count(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<i32> {
    Ok(statement(&mut caller, id)?.column_count())
}

async fn read_row(mut caller: Caller<'_, Ctx>, id: u64, out: u32) -> wasmtime::Result<u32> {
    let row = statement(&mut caller, id)?.row();
    give(&mut caller, &wire::row(&row), out).await
}

async fn read_column(mut caller: Caller<'_, Ctx>, id: u64, column: i32, out: u32) -> wasmtime::Result<u32> {
    let value: Value = statement(&mut caller, id)?.column(column);
    let mut bytes = Vec::new();
    wire::write_value(&mut bytes, &value);
    give(&mut caller, &bytes, out).await
}

async fn column_name(mut caller: Caller<'_, Ctx>, id: u64, column: i32, out: u32) -> wasmtime::Result<u32> {
    let name = statement(&mut caller, id)?.column_name(column);
    let name = name.ok_or_else(|| fault(format!("the statement has no column {column}")))?;
    give(&mut caller, name.as_bytes(), out).await
}

async fn column_names(mut caller: Caller<'_, Ctx>, id: u64, out: u32) -> wasmtime::Result<u32> {
    let statement = statement(&mut caller, id)?;
    let names: Vec<String> = (0..statement.column_count())
        .map(|column| statement.column_name(column).unwrap_or_default())
        .collect();
    give(&mut caller, &wire::texts(&names), out).await
}

async fn last_error(mut caller: Caller<'_, Ctx>, id: u64, out: u32) -> wasmtime::Result<u32> {
    let error = connection(&mut caller, id)?.last_error();
    let error = error.ok_or_else(|| fault("the last call of the database did not fail"))?;
    give(&mut caller, &wire::error(error.code, &error.text), out).await
}
