//! `lunatic::sqlite`: databases.

use std::sync::Arc;

use lunatic_host::imports::pieces;
use lunatic_host::rights::denial;
use lunatic_host::{Ctx, guest_memory};
use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_kernel::stock::{EXHAUSTED, Portion};
use wasmtime::{Caller, Linker};

use super::{failed, fault, give, into_text, keep, state, text};
use crate::sqlite::wire::{self, Bindings};
use crate::sqlite::{Connection, Part, SQL_LEN_MAX, Statement, Step, run};

/// How many descriptors a database in a file has at most: that of the file, that of its journal, and one more while one
/// file replaces another.
const DESCRIPTORS: u64 = 3;

/// The most bytes of a path, as elsewhere. It is taken apart in one step.
const PATH_LEN_MAX: u32 = 4096;
/// The most bytes of a text with several statements.
const SCRIPT_LEN_MAX: u32 = 16 << 20;
/// The most bytes of the values to bind: one of the longest, and others.
const VALUES_LEN_MAX: u32 = 17 << 20;

/// The result of a step.
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

/// Runs work on a connection in a thread where it may take long.
fn on<T: Send + 'static, Work: FnOnce() -> T + Send + 'static>(
    caller: &Caller<'_, Ctx>,
    connection: Option<Arc<Connection>>,
    work: Work,
) -> impl Future<Output = wasmtime::Result<T>> + Send + use<T, Work> {
    let (kernel, process) = (caller.data().kernel().clone(), caller.data().process().clone());
    async move { run(&kernel, &process, connection, work).await }
}

async fn open(mut caller: Caller<'_, Ctx>, path: u32, len: u32, out: u32) -> wasmtime::Result<i64> {
    // A bad pointer is a trap, however long the text would be.
    guest_memory::slice(&mut caller, path, len)?;
    if len > PATH_LEN_MAX {
        let why = format!("the path of a database has at most {PATH_LEN_MAX} bytes, not {len}");
        return Ok(failed(&mut caller, out, why)?.into());
    }
    let path = text(&mut caller, path, len)?;
    let place = match path.as_str() {
        "" | ":memory:" => None,
        path => match place(caller.data(), path) {
            Ok(place) => Some(place),
            Err(why) => return Ok(failed(&mut caller, out, why)?.into()),
        },
    };
    let process = caller.data().process().clone();
    let databases = &mut state(&mut caller).databases;
    let connections_max = process.local.rights().files_max;
    if databases.connections.len() >= connections_max as usize {
        let why = format!("the process cannot open another database: the limit is {connections_max} (`--max-files`)");
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

/// The file that a process names. The error says why it may not have it.
fn place(ctx: &Ctx, path: &str) -> Result<crate::sqlite::Place, String> {
    let (process, key) = (ctx.process(), ctx.kernel().random());
    let place = process.local.rights().wasi.place_of(path);
    let place = place.and_then(|(folder, rest)| crate::sqlite::Place::new(folder, &rest, key));
    place.ok_or_else(|| {
        denial::log(process, "may not open the database", path, "--dir HOST::GUEST");
        format!("the database {path:?} is not in a folder of the process")
    })
}

/// A copy of bytes that a guest has written, for which it pays. They are used on another thread, which may copy them
/// once more.
async fn copied(
    caller: &mut Caller<'_, Ctx>,
    (at, len): (u32, u32),
    len_max: u32,
    what: &str,
) -> wasmtime::Result<(Vec<u8>, Receipt)> {
    if len > len_max {
        return Err(fault(format!("{what} at most {len_max} bytes, not {len}")));
    }
    let mut paid = receipt(caller);
    paid.grow(2 * len as usize)
        .map_err(|exhausted| fault(format!("out of memory: {exhausted}")))?;
    Ok((pieces::read(caller, at, len).await?, paid))
}

/// A receipt of the caller for what is in transit between it and its database.
fn receipt(caller: &Caller<'_, Ctx>) -> Receipt {
    Receipt::new(caller.data().process().purse().to_account(), Resource::Buffers)
}

async fn execute(mut caller: Caller<'_, Ctx>, id: u64, sql: u32, len: u32) -> wasmtime::Result<i32> {
    let connection = connection(&mut caller, id)?;
    let (sql, paid) = copied(&mut caller, (sql, len), SCRIPT_LEN_MAX, "SQL has").await?;
    let used = connection.clone();
    let work = move || {
        let _paid = paid;
        into_text(sql).map(|sql| connection.execute(sql))
    };
    on(&caller, Some(used), work).await?
}

async fn query_prepare(mut caller: Caller<'_, Ctx>, id: u64, sql: u32, len: u32) -> wasmtime::Result<u64> {
    let connection = connection(&mut caller, id)?;
    let (sql, paid) = copied(&mut caller, (sql, len), SQL_LEN_MAX, "an SQL statement has").await?;
    let used = connection.clone();
    let work = move || -> wasmtime::Result<Statement> {
        let _paid = paid;
        Ok(connection.prepare(&into_text(sql)?)?)
    };
    let statement = Arc::new(on(&caller, Some(used), work).await??);
    keep(
        &mut caller,
        |state| &mut state.databases.statements,
        "statement",
        statement,
    )
}

async fn bind_value(mut caller: Caller<'_, Ctx>, id: u64, at: u32, len: u32) -> wasmtime::Result<()> {
    let statement = statement(&mut caller, id)?;
    let (values, paid) = copied(&mut caller, (at, len), VALUES_LEN_MAX, "values to bind have").await?;
    let used = statement.connection.clone();
    let work = move || -> wasmtime::Result<()> {
        let _paid = paid;
        Ok(statement.bind(Bindings::read(&values)?.iter())?)
    };
    on(&caller, Some(used), work).await?
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

/// Gives a part of a result to the guest, which pays for it meanwhile.
async fn give_part(caller: &mut Caller<'_, Ctx>, id: u64, part: Part, out: u32) -> wasmtime::Result<u32> {
    let statement = statement(caller, id)?;
    let mut paid = receipt(caller);
    // To read a long one takes long, or a text of another encoding.
    let is_quick = part != Part::Names && statement.is_short();
    let (bytes, _paid) = if is_quick {
        (statement.read(part, &mut paid)?, paid)
    } else {
        let used = statement.connection.clone();
        let work = move || statement.read(part, &mut paid).map(|bytes| (bytes, paid));
        on(caller, Some(used), work).await??
    };
    give(caller, &bytes, out).await
}

async fn read_row(mut caller: Caller<'_, Ctx>, id: u64, out: u32) -> wasmtime::Result<u32> {
    give_part(&mut caller, id, Part::Row, out).await
}

async fn read_column(mut caller: Caller<'_, Ctx>, id: u64, column: i32, out: u32) -> wasmtime::Result<u32> {
    give_part(&mut caller, id, Part::Column(column), out).await
}

async fn column_name(mut caller: Caller<'_, Ctx>, id: u64, column: i32, out: u32) -> wasmtime::Result<u32> {
    let name = statement(&mut caller, id)?.column_name(column);
    let name = name.ok_or_else(|| fault(format!("the statement has no column {column}")))?;
    give(&mut caller, name.as_bytes(), out).await
}

async fn column_names(mut caller: Caller<'_, Ctx>, id: u64, out: u32) -> wasmtime::Result<u32> {
    give_part(&mut caller, id, Part::Names, out).await
}

async fn last_error(mut caller: Caller<'_, Ctx>, id: u64, out: u32) -> wasmtime::Result<u32> {
    let error = connection(&mut caller, id)?.last_error();
    let error = error.ok_or_else(|| fault("the last call of the database did not fail"))?;
    give(&mut caller, &wire::error(error.code, &error.text), out).await
}
