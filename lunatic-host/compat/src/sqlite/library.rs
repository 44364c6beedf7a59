//! Calls of SQLite's library: connections and statements, with their texts, memory and lifetimes.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libsqlite3_sys as sqlite;
use lunatic_host::imports::pieces;
use lunatic_kernel::budget::{Exhausted, Receipt};
use lunatic_kernel::stock::Portion;
use parking_lot::Mutex;

use super::files::{self, Guest, LAYER, Place};
use super::functions;
use super::memory::{self, Account};
use super::pace::{is_due, may_go_on};
use super::wire::{Key, PARAMETERS_MAX, VALUE_HEAD_LEN, Value, write_bytes, write_count, write_value};

/// Limits of SQLite, by the names in its documentation. Memory is charged to the process anyway; these limits bound
/// what a single step, which cannot be interrupted, may take, and how deep SQLite recurses.
const LIMITS: [(c_int, c_int); 13] = [
    // Bytes of a value or a row, and of an SQL text. A statement without a loop is never interrupted, however many
    // functions it calls.
    (sqlite::SQLITE_LIMIT_LENGTH, 16 << 20),
    (sqlite::SQLITE_LIMIT_SQL_LENGTH, SQL_LEN_MAX as c_int),
    (sqlite::SQLITE_LIMIT_COLUMN, 2000),
    (sqlite::SQLITE_LIMIT_EXPR_DEPTH, 1000),
    (sqlite::SQLITE_LIMIT_PARSER_DEPTH, 2500),
    (sqlite::SQLITE_LIMIT_COMPOUND_SELECT, 500),
    (sqlite::SQLITE_LIMIT_VDBE_OP, 4 << 20),
    (sqlite::SQLITE_LIMIT_FUNCTION_ARG, 127),
    (sqlite::SQLITE_LIMIT_ATTACHED, 10),
    // Bytes of a pattern of LIKE or GLOB. The time to match is proportional to this times the length of the text: 2 s
    // for the longest.
    (sqlite::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 64),
    (sqlite::SQLITE_LIMIT_VARIABLE_NUMBER, PARAMETERS_MAX as c_int),
    (sqlite::SQLITE_LIMIT_TRIGGER_DEPTH, 100),
    // The work of further threads would not be charged to anybody.
    (sqlite::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// The most bytes of the text of one statement.
pub(crate) const SQL_LEN_MAX: u32 = 1 << 20;
/// The most bytes of a row, or of another list, as a guest reads it: more than SQLite allows for a row, but a result can
/// have the same value in many columns.
const READ_LEN_MAX: usize = 17 << 20;

/// How often a call tries to get a database that another connection has locked. Between two tries it sleeps for 1 ms, 2
/// ms, … up to the longest pause; together 5 s.
const BUSY_TRIES: c_int = 212;
const BUSY_PAUSE_MAX: Duration = Duration::from_millis(25);
/// After this many instructions of SQLite's machine, a statement in a loop checks whether it may go on. The number is
/// small because an instruction that calls a function may take long; most checks only read the clock.
const STEPS: c_int = 100;
/// An error that SQLite reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlError {
    pub(crate) code: u32,
    pub(crate) text: String,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLite error {})", self.text, self.code)
    }
}

impl std::error::Error for SqlError {}

/// Why a guest cannot read a part of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    TooLong,
    Exhausted(Exhausted),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(
                f,
                "a row has at most {READ_LEN_MAX} bytes when it is read: read its columns one by one"
            ),
            Self::Exhausted(exhausted) => write!(f, "out of memory: {exhausted}"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// What a guest reads of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The row; empty if there is none.
    Row,
    /// The value of one column; null if there is no such column.
    Column(i32),
    /// The names of all columns.
    Names,
}

/// The result of a step of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Row,
    Done,
}

/// An open database.
pub(crate) struct Connection {
    raw: NonNull<sqlite::sqlite3>,
    /// Set when nobody waits for the connection any more. In a box, as SQLite has its address.
    stopped: Box<AtomicBool>,
    /// The account that its memory is charged to.
    account: Arc<Account>,
    /// The place of the file, which SQLite uses until the connection closes.
    _place: Option<Place>,
    /// The descriptors of its files, given back when they are closed.
    _paid: Portion,
}

// SAFETY: it is opened with `SQLITE_OPEN_FULLMUTEX`, so SQLite itself takes a lock for each call, from any thread.
unsafe impl Send for Connection {}
// SAFETY: as above.
unsafe impl Sync for Connection {}

impl Drop for Connection {
    /// Rolls back what was not committed, which may work on files.
    fn drop(&mut self) {
        let (_guest, _charged) = (Guest::enter(), self.account.enter());
        // SAFETY: the connection is open, and not used after this. Statements hold it, so there are none left.
        unsafe { sqlite::sqlite3_close(self.raw.as_ptr()) };
    }
}

/// Sets SQLite up. Fails if other code in this process of the system has already used SQLite with other settings.
fn set_up() -> Result<(), SqlError> {
    static SET_UP: OnceLock<bool> = OnceLock::new();
    // Memory first: its settings cannot be changed later.
    let is_ours = *SET_UP.get_or_init(|| {
        let is_ours = memory::install();
        if is_ours {
            files::install();
        }
        is_ours
    });
    is_ours.then_some(()).ok_or_else(|| SqlError {
        code: sqlite::SQLITE_MISUSE as u32,
        text: "the host cannot limit SQLite: something else in its process has used SQLite before".into(),
    })
}

impl Connection {
    /// Opens the database in a file, which is created if it does not exist; without a place, a database in memory.
    /// Memory is charged to `account`; `paid` are the descriptors.
    pub(crate) fn open(place: Option<Place>, account: Arc<Account>, paid: Portion) -> Result<Self, SqlError> {
        let connection = Self::open_unconfined(place, account, paid)?;
        match connection.confine() {
            true => Ok(connection),
            false => Err(connection.error()),
        }
    }

    /// Like [`open`](Self::open), but allows everything that SQLite does.
    pub(super) fn open_unconfined(
        place: Option<Place>,
        account: Arc<Account>,
        paid: Portion,
    ) -> Result<Self, SqlError> {
        set_up()?;
        let _charged = account.enter();
        let path = place.as_ref().map_or(c":memory:", |place| &place.path);
        let flags = sqlite::SQLITE_OPEN_READWRITE | sqlite::SQLITE_OPEN_CREATE | sqlite::SQLITE_OPEN_FULLMUTEX;
        let mut raw = null_mut();
        // SAFETY: the texts end with a zero byte, and `raw` is a place for a pointer.
        let code = unsafe { sqlite::sqlite3_open_v2(path.as_ptr(), &mut raw, flags, LAYER.as_ptr()) };
        let Some(raw) = NonNull::new(raw) else {
            return Err(SqlError {
                code: sqlite::SQLITE_NOMEM as u32,
                text: "out of memory".into(),
            });
        };
        // SQLite makes a connection even if it cannot open the file; the connection has the error, and must be closed.
        let connection = Self {
            raw,
            stopped: Box::default(),
            account: account.clone(),
            _place: place,
            _paid: paid,
        };
        if code != sqlite::SQLITE_OK {
            return Err(connection.error());
        }
        Ok(connection)
    }

    /// Makes the connection deny all SQL from now on that reaches beyond the database or takes too long. False if there
    /// is no memory for that.
    fn confine(&self) -> bool {
        let _charged = self.account.enter();
        // Temporary data would be in the host's folders.
        self.execute("PRAGMA temp_store = MEMORY");
        let raw = self.raw.as_ptr();
        // SAFETY: the connection is open. The authorizer needs no data, and the data of the other functions lives as
        // long as the connection; the numbers are those of SQLite's documentation.
        unsafe {
            for (limit, max) in LIMITS {
                sqlite::sqlite3_limit(raw, limit, max);
            }
            sqlite::sqlite3_db_config(raw, sqlite::SQLITE_DBCONFIG_DEFENSIVE, 1 as c_int, null_mut::<c_int>());
            sqlite::sqlite3_set_authorizer(raw, Some(authorize), null_mut());
            let stopped = std::ptr::from_ref(&*self.stopped).cast_mut().cast();
            sqlite::sqlite3_busy_handler(raw, Some(is_busy), stopped);
            sqlite::sqlite3_progress_handler(raw, STEPS, Some(is_to_end), stopped);
            functions::install(raw)
        }
    }

    /// The error of the last failed call.
    fn error(&self) -> SqlError {
        let (raw, _charged) = (self.raw.as_ptr(), self.account.enter());
        // SAFETY: the connection is open; the text is SQLite's, ends with a zero byte, and is copied before the next
        // call.
        let (code, text) = unsafe {
            (
                sqlite::sqlite3_errcode(raw),
                CStr::from_ptr(sqlite::sqlite3_errmsg(raw)),
            )
        };
        SqlError {
            code: (code & 0xff) as u32,
            text: text.to_string_lossy().into_owned(),
        }
    }

    /// The error of the last call, if it failed.
    pub(crate) fn last_error(&self) -> Option<SqlError> {
        let fine = [sqlite::SQLITE_OK, sqlite::SQLITE_ROW, sqlite::SQLITE_DONE].map(|code| code as u32);
        Some(self.error()).filter(|error| !fine.contains(&error.code))
    }

    /// Runs all statements of a text, and returns SQLite's code.
    pub(crate) fn execute(&self, sql: impl Into<Vec<u8>>) -> i32 {
        let Ok(sql) = CString::new(sql) else {
            return sqlite::SQLITE_ERROR;
        };
        let _charged = self.account.enter();
        // SAFETY: the connection is open and the text ends with a zero byte; there is no function to call for rows.
        unsafe { sqlite::sqlite3_exec(self.raw.as_ptr(), sql.as_ptr(), None, null_mut(), null_mut()) & 0xff }
    }

    /// The number of rows that the last statement has changed.
    pub(crate) fn changes(&self) -> i32 {
        // SAFETY: the connection is open.
        unsafe { sqlite::sqlite3_changes(self.raw.as_ptr()) }
    }

    /// Makes everything that the connection does on other threads, now or later, end with an error.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // SAFETY: the connection is open, which is the only requirement of this call, on any thread.
        unsafe { sqlite::sqlite3_interrupt(self.raw.as_ptr()) };
    }

    /// Prepares the first statement of a text.
    pub(crate) fn prepare(self: &Arc<Self>, sql: &str) -> Result<Statement, SqlError> {
        let len = c_int::try_from(sql.len()).unwrap_or(c_int::MAX);
        let _charged = self.account.enter();
        let mut raw = null_mut();
        // SAFETY: the connection is open, the text has `len` bytes or more, and `raw` is a place for a pointer.
        let code =
            unsafe { sqlite::sqlite3_prepare_v2(self.raw.as_ptr(), sql.as_ptr().cast(), len, &mut raw, null_mut()) };
        if code != sqlite::SQLITE_OK {
            return Err(self.error());
        }
        let Some(raw) = NonNull::new(raw) else {
            return Err(SqlError {
                code: sqlite::SQLITE_MISUSE as u32,
                text: "there is no statement in the text".into(),
            });
        };
        Ok(Statement {
            raw: Mutex::new(Raw {
                statement: raw,
                is_short: true,
            }),
            connection: self.clone(),
        })
    }
}

/// Whether a statement that has run for a while must end.
unsafe extern "C" fn is_to_end(stopped: *mut c_void) -> c_int {
    // SAFETY: this is called with the address that was given to SQLite, of a value that lives as long as the connection
    // and is only read.
    c_int::from(must_end(unsafe { &*stopped.cast::<AtomicBool>() }))
}

/// Whether work on a connection must end. Pauses first if it must.
fn must_end(stopped: &AtomicBool) -> bool {
    stopped.load(Ordering::Relaxed) || is_due() && !may_go_on(stopped)
}

/// Another connection has locked the database: whether to try again, after a pause.
unsafe extern "C" fn is_busy(stopped: *mut c_void, tries: c_int) -> c_int {
    // SAFETY: as above.
    let stopped = unsafe { &*stopped.cast::<AtomicBool>() };
    if tries >= BUSY_TRIES || !may_go_on(stopped) {
        return 0;
    }
    let pause = Duration::from_millis(u64::from(tries.unsigned_abs()) + 1);
    std::thread::sleep(pause.min(BUSY_PAUSE_MAX));
    1
}

/// Decides what SQL may do: everything except reaching other files, loading code, and changing what the host has set.
unsafe extern "C" fn authorize(
    _: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    _: *const c_char,
    _: *const c_char,
) -> c_int {
    let text = |text: *const c_char| {
        // SAFETY: what SQLite passes is null or ends with a zero byte.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
    };
    let is = |found: Option<&[u8]>, names: &[&str]| {
        found.is_some_and(|found| names.iter().any(|name| found.eq_ignore_ascii_case(name.as_bytes())))
    };
    // These pragmas would set limits for all databases of the host, or how long a thread of the host waits. They are
    // ignored without an error, as programs use them to set their timeouts; the timeout is always 5 s.
    let ignored = ["busy_timeout", "hard_heap_limit", "soft_heap_limit", "threads"];
    if action == sqlite::SQLITE_PRAGMA && is(text(first), &ignored) {
        return sqlite::SQLITE_IGNORE;
    }
    let denied = match action {
        sqlite::SQLITE_ATTACH => !is(text(first), &["", ":memory:"]),
        sqlite::SQLITE_PRAGMA => is(
            text(first),
            &["temp_store", "temp_store_directory", "data_store_directory"],
        ),
        sqlite::SQLITE_FUNCTION => is(text(second), &["load_extension"]),
        _ => false,
    };
    if denied { sqlite::SQLITE_DENY } else { sqlite::SQLITE_OK }
}

struct Raw {
    statement: NonNull<sqlite::sqlite3_stmt>,
    /// Whether its row is read quickly: it is short, and its texts are UTF-8.
    is_short: bool,
}

// SAFETY: statements may be used from any thread, like their connection.
unsafe impl Send for Raw {}

/// A prepared statement, with its current row.
pub(crate) struct Statement {
    /// Locked, because the values of a row are valid only until the next step.
    raw: Mutex<Raw>,
    pub(crate) connection: Arc<Connection>,
}

impl Drop for Statement {
    fn drop(&mut self) {
        let (_guest, _charged) = (Guest::enter(), self.connection.account.enter());
        // SAFETY: the statement exists, and is not used after this.
        unsafe { sqlite::sqlite3_finalize(self.raw.get_mut().statement.as_ptr()) };
    }
}

impl Statement {
    fn with<T>(&self, f: impl FnOnce(*mut sqlite::sqlite3_stmt) -> T) -> T {
        let _charged = self.connection.account.enter();
        f(self.raw.lock().statement.as_ptr())
    }

    fn check(&self, code: c_int) -> Result<(), SqlError> {
        match code {
            sqlite::SQLITE_OK => Ok(()),
            _ => Err(self.connection.error()),
        }
    }

    /// Binds values to parameters. Takes long if there are many with names, each of which SQLite searches for.
    pub(crate) fn bind<'v>(&self, values: impl Iterator<Item = (Key<'v>, Value<'v>)>) -> Result<(), SqlError> {
        let mut last = 0;
        for (key, value) in values {
            if must_end(&self.connection.stopped) {
                return Err(SqlError {
                    code: sqlite::SQLITE_INTERRUPT as u32,
                    text: "interrupted".into(),
                });
            }
            last = match key {
                Key::Next => last + 1,
                Key::Index(index) => c_int::try_from(index).unwrap_or(c_int::MAX),
                Key::Name(name) => self.parameter(name)?,
            };
            self.check(self.with(|raw| bind(raw, last, &value)))?;
        }
        Ok(())
    }

    /// The number of the parameter with this name, which may lack its prefix.
    fn parameter(&self, name: &str) -> Result<c_int, SqlError> {
        let index = ["", ":", "@", "$"].into_iter().find_map(|sign| {
            // A longer name is in no statement.
            let name = (name.len() <= SQL_LEN_MAX as usize).then(|| CString::new(format!("{sign}{name}")).ok())??;
            // SAFETY: the statement exists, and the text ends with a zero byte.
            let index = self.with(|raw| unsafe { sqlite::sqlite3_bind_parameter_index(raw, name.as_ptr()) });
            (index > 0).then_some(index)
        });
        index.ok_or_else(|| SqlError {
            code: sqlite::SQLITE_RANGE as u32,
            text: format!(
                "the statement has no parameter `{}`",
                &name[..name.floor_char_boundary(NAME_SHOWN_MAX)]
            ),
        })
    }

    pub(crate) fn step(&self) -> Result<Step, SqlError> {
        let _charged = self.connection.account.enter();
        let mut raw = self.raw.lock();
        // SAFETY: the statement exists.
        let code = unsafe { sqlite::sqlite3_step(raw.statement.as_ptr()) };
        raw.is_short = code != sqlite::SQLITE_ROW || has_short_row(raw.statement.as_ptr());
        drop(raw);
        match code {
            sqlite::SQLITE_ROW => Ok(Step::Row),
            sqlite::SQLITE_DONE => Ok(Step::Done),
            _ => Err(self.connection.error()),
        }
    }

    /// Goes back to before the first row.
    pub(crate) fn reset(&self) -> Result<(), SqlError> {
        // SAFETY: the statement exists.
        self.check(self.with(|raw| unsafe { sqlite::sqlite3_reset(raw) }))
    }

    pub(crate) fn column_count(&self) -> i32 {
        // SAFETY: the statement exists.
        self.with(|raw| unsafe { sqlite::sqlite3_column_count(raw) })
    }

    /// Whether [`read`](Self::read) is quick.
    pub(crate) fn is_short(&self) -> bool {
        self.raw.lock().is_short
    }

    /// Encodes a part of the result, for which `paid` pays. Takes long unless the row [is short](Self::is_short).
    pub(crate) fn read(&self, part: Part, paid: &mut Receipt) -> Result<Vec<u8>, Unreadable> {
        self.with(|raw| {
            let columns = match part {
                // SAFETY: the statement exists.
                Part::Row => 0..unsafe { sqlite::sqlite3_data_count(raw) },
                // There is no column with the highest number either.
                Part::Column(index) => index.min(c_int::MAX - 1)..index.saturating_add(1),
                // SAFETY: as above.
                Part::Names => 0..unsafe { sqlite::sqlite3_column_count(raw) },
            };
            let is_names = part == Part::Names;
            let mut len = size_of::<u64>();
            for index in columns.clone() {
                len += VALUE_HEAD_LEN
                    + if is_names {
                        name_len(raw, index)
                    } else {
                        value_len(raw, index)
                    };
                if len > READ_LEN_MAX {
                    return Err(Unreadable::TooLong);
                }
            }
            // Once more for a text that is not UTF-8, which is copied first.
            paid.grow(2 * len).map_err(Unreadable::Exhausted)?;
            let mut out = Vec::with_capacity(len);
            if !matches!(part, Part::Column(_)) {
                write_count(&mut out, columns.len());
            }
            for index in columns {
                if is_names {
                    let name = with_name(raw, index, |name| name.to_string_lossy().into_owned());
                    write_bytes(&mut out, name.unwrap_or_default().as_bytes());
                } else {
                    with_column(raw, index, |value| write_value(&mut out, &value));
                }
            }
            Ok(out)
        })
    }

    /// The row; empty if there is none.
    #[cfg(test)]
    pub(super) fn row(&self) -> Vec<Value<'static>> {
        self.with(|raw| {
            // SAFETY: the statement exists.
            let count = unsafe { sqlite::sqlite3_data_count(raw) };
            let owned = |value: Value<'_>| match value {
                Value::Null => Value::Null,
                Value::Blob(bytes) => Value::Blob(bytes.into_owned().into()),
                Value::Text(text) => Value::Text(text.into_owned().into()),
                Value::Double(number) => Value::Double(number),
                Value::Integer(number) => Value::Integer(number),
            };
            (0..count).map(|index| with_column(raw, index, owned)).collect()
        })
    }

    /// The name of a column, if there is such a column.
    pub(crate) fn column_name(&self, index: i32) -> Option<String> {
        self.with(|raw| with_name(raw, index, |name| name.to_string_lossy().into_owned()))
    }
}

/// How much of a name of a guest an error shows, in bytes.
const NAME_SHOWN_MAX: usize = 255;

/// Calls `f`, which does not use the statement, with the name of a column.
fn with_name<T>(raw: *mut sqlite::sqlite3_stmt, index: c_int, f: impl FnOnce(&CStr) -> T) -> Option<T> {
    // SAFETY: the statement exists; SQLite accepts any index.
    let name = unsafe { sqlite::sqlite3_column_name(raw, index) };
    // SAFETY: if it is not null, the name ends with a zero byte, and lives until the statement is used again.
    (!name.is_null()).then(|| f(unsafe { CStr::from_ptr(name) }))
}

/// The length of the name of a column as a guest reads it.
fn name_len(raw: *mut sqlite::sqlite3_stmt, index: c_int) -> usize {
    with_name(raw, index, |name| text_len(name.to_bytes())).unwrap_or_default()
}

/// The length of a text in which whatever is not UTF-8 is replaced.
fn text_len(bytes: &[u8]) -> usize {
    let replaced = char::REPLACEMENT_CHARACTER.len_utf8();
    let chunks = bytes.utf8_chunks();
    chunks
        .map(|chunk| chunk.valid().len() + if chunk.invalid().is_empty() { 0 } else { replaced })
        .sum()
}

fn bind(raw: *mut sqlite::sqlite3_stmt, index: c_int, value: &Value) -> c_int {
    let blob = |bytes: &[u8]| (bytes.as_ptr().cast::<c_void>(), bytes.len() as u64);
    // SAFETY: the statement exists, the bytes are as many as the length says, and SQLite copies them.
    unsafe {
        match value {
            Value::Null => sqlite::sqlite3_bind_null(raw, index),
            Value::Integer(number) => sqlite::sqlite3_bind_int64(raw, index, *number),
            Value::Double(number) => sqlite::sqlite3_bind_double(raw, index, *number),
            Value::Blob(bytes) => {
                let (at, len) = blob(bytes);
                sqlite::sqlite3_bind_blob64(raw, index, at, len, sqlite::SQLITE_TRANSIENT())
            }
            Value::Text(text) => {
                let (at, len) = blob(text.as_bytes());
                let encoding = sqlite::SQLITE_UTF8 as u8;
                sqlite::sqlite3_bind_text64(raw, index, at.cast(), len, sqlite::SQLITE_TRANSIENT(), encoding)
            }
        }
    }
}

/// The bytes of a text or blob of the row; none for all other values. Converts a text of another encoding.
fn bytes_of(raw: &*mut sqlite::sqlite3_stmt, index: c_int) -> &[u8] {
    // SAFETY: the statement exists. SQLite accepts any index; the bytes that it returns are as many as it says, and stay
    // until the statement is used for something else than its row.
    unsafe {
        let at: *const u8 = match sqlite::sqlite3_column_type(*raw, index) {
            sqlite::SQLITE_TEXT => sqlite::sqlite3_column_text(*raw, index),
            sqlite::SQLITE_BLOB => sqlite::sqlite3_column_blob(*raw, index).cast(),
            // To ask for the bytes of a number would make a text of it.
            _ => return &[],
        };
        let len = usize::try_from(sqlite::sqlite3_column_bytes(*raw, index)).unwrap_or(0);
        if at.is_null() {
            &[]
        } else {
            std::slice::from_raw_parts(at, len)
        }
    }
}

/// The length of a value as a guest reads it, without its head.
fn value_len(raw: *mut sqlite::sqlite3_stmt, index: c_int) -> usize {
    // SAFETY: the statement exists. SQLite accepts any index.
    let ty = unsafe { sqlite::sqlite3_column_type(raw, index) };
    let bytes = bytes_of(&raw, index);
    if ty == sqlite::SQLITE_TEXT {
        text_len(bytes)
    } else {
        bytes.len()
    }
}

/// Whether the row is as short as a piece of a long call. A row that is has been converted to UTF-8 by this.
fn has_short_row(raw: *mut sqlite::sqlite3_stmt) -> bool {
    // SAFETY: the statement exists.
    let count = unsafe { sqlite::sqlite3_data_count(raw) };
    let mut lengths = (0..count).map(|index| bytes_of(&raw, index).len());
    let within = |sum: usize, len: usize| Some(sum + len).filter(|sum| *sum <= pieces::PIECE);
    lengths.try_fold(0, within).is_some()
}

/// Calls `f`, which does not use the statement, with the value of a column of the row; null if there is none.
fn with_column<T>(raw: *mut sqlite::sqlite3_stmt, index: c_int, f: impl FnOnce(Value<'_>) -> T) -> T {
    // SAFETY: the statement exists. SQLite accepts any index.
    let ty = unsafe { sqlite::sqlite3_column_type(raw, index) };
    f(match ty {
        // SAFETY: as above.
        sqlite::SQLITE_INTEGER => Value::Integer(unsafe { sqlite::sqlite3_column_int64(raw, index) }),
        // SAFETY: as above.
        sqlite::SQLITE_FLOAT => Value::Double(unsafe { sqlite::sqlite3_column_double(raw, index) }),
        sqlite::SQLITE_TEXT => Value::Text(String::from_utf8_lossy(bytes_of(&raw, index))),
        sqlite::SQLITE_BLOB => Value::Blob(bytes_of(&raw, index).into()),
        _ => Value::Null,
    })
}
