//! Calls of SQLite's library: connections and statements whose texts, memory and lifetimes are seen to.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libsqlite3_sys as sqlite;
use lunatic_kernel::stock::Portion;
use parking_lot::Mutex;

use super::files::{self, Guest, LAYER, Place};
use super::functions;
use super::memory::{self, Account};
use super::pace::{is_due, may_go_on};
use super::wire::{Key, Value};

/// Limits of SQLite, by their numbers in its documentation. What is in memory counts for the process anyway; these bound
/// what one step may take, which nothing interrupts, and how deep SQLite calls itself.
const LIMITS: [(c_int, c_int); 13] = [
    // Bytes of a value or a row, and of a text of SQL. What has no loop is not interrupted, however many functions it calls.
    (sqlite::SQLITE_LIMIT_LENGTH, 16 << 20),
    (sqlite::SQLITE_LIMIT_SQL_LENGTH, 1 << 20),
    (sqlite::SQLITE_LIMIT_COLUMN, 2000),
    (sqlite::SQLITE_LIMIT_EXPR_DEPTH, 1000),
    (sqlite::SQLITE_LIMIT_PARSER_DEPTH, 2500),
    (sqlite::SQLITE_LIMIT_COMPOUND_SELECT, 500),
    (sqlite::SQLITE_LIMIT_VDBE_OP, 4 << 20),
    (sqlite::SQLITE_LIMIT_FUNCTION_ARG, 127),
    (sqlite::SQLITE_LIMIT_ATTACHED, 10),
    // Bytes of a pattern of LIKE or GLOB: the time to match is this, times the bytes of the text. 2 s for the longest.
    (sqlite::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 64),
    (sqlite::SQLITE_LIMIT_VARIABLE_NUMBER, 32_766),
    (sqlite::SQLITE_LIMIT_TRIGGER_DEPTH, 100),
    // Other threads would work for nobody.
    (sqlite::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// How long a call waits for another connection to let go of the database: it tries so often, and sleeps between two tries
/// for 1 ms, 2 ms, … up to the longest. Together these are 5 s.
const BUSY_TRIES: c_int = 212;
const BUSY_PAUSE_MAX: Duration = Duration::from_millis(25);
/// After so many instructions of SQLite's machine it is looked whether the work may go on, if it goes round a loop. Not after more, as
/// one that calls a function may take long; the look is one at the clock, most of the time.
const STEPS: c_int = 100;
/// What SQLite says is wrong.
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

/// What a step of a statement led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Row,
    Done,
}

/// An open database.
pub(crate) struct Connection {
    raw: NonNull<sqlite::sqlite3>,
    /// Nobody waits for it any more. In a box, as SQLite knows its address.
    stopped: Box<AtomicBool>,
    /// Whose memory it holds.
    account: Arc<Account>,
    /// Where the file is; SQLite asks for it until the connection closes.
    _place: Option<Place>,
    /// Descriptors of its files: given back when they are closed.
    _paid: Portion,
}

// SAFETY: it is opened with `SQLITE_OPEN_FULLMUTEX`: SQLite itself takes a lock for each call, from whatever thread.
unsafe impl Send for Connection {}
// SAFETY: as above.
unsafe impl Sync for Connection {}

impl Drop for Connection {
    /// Rolls back what was not committed, which is work on files.
    fn drop(&mut self) {
        let (_guest, _charged) = (Guest::enter(), self.account.enter());
        // SAFETY: the connection is open, and this is its end. Statements hold it, so there is none left.
        unsafe { sqlite::sqlite3_close(self.raw.as_ptr()) };
    }
}

/// Takes SQLite into use; an error if something else in this process of the system did so before, in its own way.
fn set_up() -> Result<(), SqlError> {
    static SET_UP: OnceLock<bool> = OnceLock::new();
    // The memory first: nothing can be changed about it later.
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
    /// Opens the database in a file, which is made if it is not there; without a place, one in memory. `account` is whose
    /// memory it takes, `paid` the descriptors.
    pub(crate) fn open(place: Option<Place>, account: Arc<Account>, paid: Portion) -> Result<Self, SqlError> {
        let connection = Self::open_unconfined(place, account, paid)?;
        match connection.confine() {
            true => Ok(connection),
            false => Err(connection.error()),
        }
    }

    /// As [`open`](Self::open), with everything that SQLite allows.
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
        // Even if the file cannot be opened, SQLite gives a connection, which knows the error and has to be closed.
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

    /// Takes what reaches further than the database from all SQL that follows, and what takes too long; false if there is no
    /// memory for that.
    fn confine(&self) -> bool {
        let _charged = self.account.enter();
        // What is temporary would be in folders of the host.
        self.execute("PRAGMA temp_store = MEMORY");
        let raw = self.raw.as_ptr();
        // SAFETY: the connection is open. The authorizer needs nothing, and what the other function is called with lives as
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

    /// What the last call that failed says.
    fn error(&self) -> SqlError {
        let (raw, _charged) = (self.raw.as_ptr(), self.account.enter());
        // SAFETY: the connection is open; the text is SQLite's, ends with a zero byte, and is copied before the next call.
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

    /// The same, if the last call failed.
    pub(crate) fn last_error(&self) -> Option<SqlError> {
        let fine = [sqlite::SQLITE_OK, sqlite::SQLITE_ROW, sqlite::SQLITE_DONE].map(|code| code as u32);
        Some(self.error()).filter(|error| !fine.contains(&error.code))
    }

    /// Runs all statements of a text, and returns SQLite's code.
    pub(crate) fn execute(&self, sql: &str) -> i32 {
        let Ok(sql) = CString::new(sql) else {
            return sqlite::SQLITE_ERROR;
        };
        let _charged = self.account.enter();
        // SAFETY: the connection is open and the text ends with a zero byte; nothing is called for rows.
        unsafe { sqlite::sqlite3_exec(self.raw.as_ptr(), sql.as_ptr(), None, null_mut(), null_mut()) & 0xff }
    }

    /// The number of rows that the last statement changed.
    pub(crate) fn changes(&self) -> i32 {
        // SAFETY: the connection is open.
        unsafe { sqlite::sqlite3_changes(self.raw.as_ptr()) }
    }

    /// Ends what the connection is doing on another thread, or is about to do, with an error; for good.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // SAFETY: the connection is open, which is all that this call wants on any thread.
        unsafe { sqlite::sqlite3_interrupt(self.raw.as_ptr()) };
    }

    /// Prepares the first statement of a text.
    pub(crate) fn prepare(self: &Arc<Self>, sql: &str) -> Result<Statement, SqlError> {
        let len = c_int::try_from(sql.len()).unwrap_or(c_int::MAX);
        let _charged = self.account.enter();
        let mut raw = null_mut();
        // SAFETY: the connection is open, the text has so many bytes, and `raw` is a place for a pointer.
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
            raw: Mutex::new(Raw(raw)),
            connection: self.clone(),
        })
    }
}

/// Whether a statement is to end that has run for a while.
unsafe extern "C" fn is_to_end(stopped: *mut c_void) -> c_int {
    // SAFETY: it is called with the address that was given to SQLite, of a value that lives as long as the connection and
    // that is only looked at.
    let stopped = unsafe { &*stopped.cast::<AtomicBool>() };
    c_int::from(stopped.load(Ordering::Relaxed) || is_due() && !may_go_on(stopped))
}

/// Another connection has the database: whether to try again, after a pause.
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

/// Says what SQL may do: everything but reach other files, load code, and change what the host has set.
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
    // These would set limits of all databases of the host, or how long a thread of it waits. They do nothing, without an
    // error: programs set how long they wait, and get the host's 5 s.
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

struct Raw(NonNull<sqlite::sqlite3_stmt>);

// SAFETY: statements may be used from any thread, as their connection may.
unsafe impl Send for Raw {}

/// A prepared statement, with what it returns.
pub(crate) struct Statement {
    /// Locked, because what a row holds is good only until the next step.
    raw: Mutex<Raw>,
    pub(crate) connection: Arc<Connection>,
}

impl Drop for Statement {
    fn drop(&mut self) {
        let (_guest, _charged) = (Guest::enter(), self.connection.account.enter());
        // SAFETY: the statement is there, and this is its end.
        unsafe { sqlite::sqlite3_finalize(self.raw.get_mut().0.as_ptr()) };
    }
}

impl Statement {
    fn with<T>(&self, f: impl FnOnce(*mut sqlite::sqlite3_stmt) -> T) -> T {
        let _charged = self.connection.account.enter();
        f(self.raw.lock().0.as_ptr())
    }

    fn check(&self, code: c_int) -> Result<(), SqlError> {
        match code {
            sqlite::SQLITE_OK => Ok(()),
            _ => Err(self.connection.error()),
        }
    }

    /// Binds values to parameters.
    pub(crate) fn bind(&self, values: &[(Key, Value)]) -> Result<(), SqlError> {
        let mut last = 0;
        for (key, value) in values {
            last = match key {
                Key::Next => last + 1,
                Key::Index(index) => c_int::try_from(*index).unwrap_or(c_int::MAX),
                Key::Name(name) => self.parameter(name)?,
            };
            self.check(self.with(|raw| bind(raw, last, value)))?;
        }
        Ok(())
    }

    /// The number of the parameter of this name, which may be without its sign.
    fn parameter(&self, name: &str) -> Result<c_int, SqlError> {
        let index = ["", ":", "@", "$"].into_iter().find_map(|sign| {
            let name = CString::new(format!("{sign}{name}")).ok()?;
            // SAFETY: the statement is there and the text ends with a zero byte.
            let index = self.with(|raw| unsafe { sqlite::sqlite3_bind_parameter_index(raw, name.as_ptr()) });
            (index > 0).then_some(index)
        });
        index.ok_or_else(|| SqlError {
            code: sqlite::SQLITE_RANGE as u32,
            text: format!("the statement has no parameter `{name}`"),
        })
    }

    pub(crate) fn step(&self) -> Result<Step, SqlError> {
        // SAFETY: the statement is there.
        match self.with(|raw| unsafe { sqlite::sqlite3_step(raw) }) {
            sqlite::SQLITE_ROW => Ok(Step::Row),
            sqlite::SQLITE_DONE => Ok(Step::Done),
            _ => Err(self.connection.error()),
        }
    }

    /// Goes back to before the first row.
    pub(crate) fn reset(&self) -> Result<(), SqlError> {
        // SAFETY: the statement is there.
        self.check(self.with(|raw| unsafe { sqlite::sqlite3_reset(raw) }))
    }

    pub(crate) fn column_count(&self) -> i32 {
        // SAFETY: the statement is there.
        self.with(|raw| unsafe { sqlite::sqlite3_column_count(raw) })
    }

    /// The value of a column of the row; null if there is none.
    pub(crate) fn column(&self, index: i32) -> Value {
        self.with(|raw| column(raw, index))
    }

    /// The row, empty if there is none.
    pub(crate) fn row(&self) -> Vec<Value> {
        self.with(|raw| {
            // SAFETY: the statement is there.
            let count = unsafe { sqlite::sqlite3_data_count(raw) };
            (0..count).map(|index| column(raw, index)).collect()
        })
    }

    /// The name of a column; nothing if there is none.
    pub(crate) fn column_name(&self, index: i32) -> Option<String> {
        self.with(|raw| {
            // SAFETY: the statement is there; the name is null or ends with a zero byte, and is copied before the next call.
            let name = unsafe { sqlite::sqlite3_column_name(raw, index) };
            // SAFETY: as above.
            (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
        })
    }
}

fn bind(raw: *mut sqlite::sqlite3_stmt, index: c_int, value: &Value) -> c_int {
    let blob = |bytes: &[u8]| (bytes.as_ptr().cast::<c_void>(), bytes.len() as u64);
    // SAFETY: the statement is there, the bytes are as many as is said, and SQLite copies them.
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

fn column(raw: *mut sqlite::sqlite3_stmt, index: c_int) -> Value {
    // SAFETY: the statement is there. SQLite takes any index; the bytes that it gives are as many as it says, and are
    // copied before the next call.
    unsafe {
        let bytes = |at: *const u8| {
            let len = usize::try_from(sqlite::sqlite3_column_bytes(raw, index)).unwrap_or(0);
            if at.is_null() {
                return Vec::new();
            }
            std::slice::from_raw_parts(at, len).to_vec()
        };
        match sqlite::sqlite3_column_type(raw, index) {
            sqlite::SQLITE_INTEGER => Value::Integer(sqlite::sqlite3_column_int64(raw, index)),
            sqlite::SQLITE_FLOAT => Value::Double(sqlite::sqlite3_column_double(raw, index)),
            sqlite::SQLITE_TEXT => {
                let text = bytes(sqlite::sqlite3_column_text(raw, index));
                Value::Text(String::from_utf8_lossy(&text).into_owned())
            }
            sqlite::SQLITE_BLOB => Value::Blob(bytes(sqlite::sqlite3_column_blob(raw, index).cast())),
            _ => Value::Null,
        }
    }
}
