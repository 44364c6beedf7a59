//! SQL functions that replace SQLite's own: they do the same in less time.
//!
//! Nothing interrupts SQLite within a function. Its `instr`, `replace` and the three `trim` functions take time
//! proportional to the product of the lengths of two texts, and `json_patch` to the product of the members of two
//! objects: hours, for values of 16 MiB. The functions here take time proportional to the sum of both lengths;
//! `json_patch` is refused if the product is large.
//!
//! SQLite promises nothing for texts that are not UTF-8. There, `trim` differs: it takes the shortest character, and
//! none of more than four bytes.
//!
//! Each function first checks whether the budget is used up: a statement may call any number of them before it loops.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{NonNull, null_mut};

use libsqlite3_sys as sqlite;
use memchr::memmem;

use super::files::LAYER;
use super::pace::{is_due, is_spent};

/// The maximum product of the lengths of the two arguments of `json_patch`, in bytes squared: it takes a quarter of a
/// second.
const PATCH_MAX: u64 = 1 << 32;
/// The subtype by which SQLite marks a text as JSON.
const JSON: u32 = 74;

type Context = *mut sqlite::sqlite3_context;
type Arguments = *mut *mut sqlite::sqlite3_value;
type Function = unsafe extern "C" fn(Context, c_int, Arguments);

/// Installs the functions in a connection. False if there is no memory for that.
///
/// # Safety
///
/// The connection is open.
pub(super) unsafe fn install(connection: *mut sqlite::sqlite3) -> bool {
    let functions: [(&CStr, c_int, Function, c_int); 10] = [
        (c"instr", 2, instr, 0),
        (c"replace", 3, replace, 0),
        (c"trim", 1, trim, LEFT | RIGHT),
        (c"trim", 2, trim, LEFT | RIGHT),
        (c"ltrim", 1, trim, LEFT),
        (c"ltrim", 2, trim, LEFT),
        (c"rtrim", 1, trim, RIGHT),
        (c"rtrim", 2, trim, RIGHT),
        (c"json_patch", 2, patch, 0),
        (c"jsonb_patch", 2, patch, AS_BLOB),
    ];
    // The flags of SQLite's own functions, which may be used in indexes, views and triggers.
    let flags =
        sqlite::SQLITE_UTF8 | sqlite::SQLITE_DETERMINISTIC | sqlite::SQLITE_INNOCUOUS | sqlite::SQLITE_RESULT_SUBTYPE;
    functions.into_iter().all(|(name, arguments, function, data)| {
        let data = data as usize as *mut c_void;
        // SAFETY: the caller's promise; the name ends with a zero byte, and `data` is a number that is never
        // dereferenced.
        let code = unsafe {
            let function = Some(function);
            sqlite::sqlite3_create_function_v2(
                connection,
                name.as_ptr(),
                arguments,
                flags,
                data,
                function,
                None,
                None,
                None,
            )
        };
        code == sqlite::SQLITE_OK
    })
}

/// One argument of a function call.
#[derive(Clone, Copy)]
struct Value(NonNull<sqlite::sqlite3_value>);

impl Value {
    /// # Safety
    ///
    /// SQLite passed the arguments, and there are more than `index`.
    unsafe fn of(arguments: Arguments, index: usize) -> Self {
        // SAFETY: the caller's promise.
        let value = unsafe { *arguments.add(index) };
        Self(NonNull::new(value).expect("an argument is a value"))
    }

    fn kind(self) -> c_int {
        // SAFETY: the value exists while the function is called.
        unsafe { sqlite::sqlite3_value_type(self.0.as_ptr()) }
    }

    fn is_null(self) -> bool {
        self.kind() == sqlite::SQLITE_NULL
    }

    /// Its bytes as a text, valid until the value is converted to something else. `None` if the value is null or there
    /// is no memory for the text.
    fn text<'a>(self) -> Option<&'a [u8]> {
        // SAFETY: as above. The length is read after the text, as SQLite requires, and is that of the text.
        unsafe {
            let text = sqlite::sqlite3_value_text(self.0.as_ptr());
            self.bytes_at(text)
        }
    }

    /// Its raw bytes; `None` if it is empty.
    fn blob<'a>(self) -> Option<&'a [u8]> {
        // SAFETY: as above.
        unsafe {
            let blob = sqlite::sqlite3_value_blob(self.0.as_ptr());
            self.bytes_at(blob.cast())
        }
    }

    /// # Safety
    ///
    /// `at` is what SQLite has just returned for the value.
    unsafe fn bytes_at<'a>(self, at: *const u8) -> Option<&'a [u8]> {
        // SAFETY: the caller's promise.
        let len = unsafe { sqlite::sqlite3_value_bytes(self.0.as_ptr()) };
        // SAFETY: SQLite guarantees this many bytes.
        (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at, usize::try_from(len).unwrap_or(0)) })
    }
}

/// A copy of a value, whose text can be read while the value itself stays as it is.
struct Copied(Value);

impl Copied {
    fn new(value: Value) -> Option<Self> {
        // SAFETY: the value exists while the function is called.
        let copy = unsafe { sqlite::sqlite3_value_dup(value.0.as_ptr()) };
        NonNull::new(copy).map(|copy| Self(Value(copy)))
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // SAFETY: the copy is ours.
        unsafe { sqlite::sqlite3_value_free(self.0.0.as_ptr()) };
    }
}

/// Whether the caller's budget is used up; if so, ends the statement.
fn is_over(context: Context) -> bool {
    let is_over = is_due() && is_spent();
    if is_over {
        // SAFETY: the function is being called.
        unsafe { sqlite::sqlite3_result_error_code(context, sqlite::SQLITE_INTERRUPT) };
    }
    is_over
}

fn out_of_memory(context: Context) {
    // SAFETY: the function is being called.
    unsafe { sqlite::sqlite3_result_error_nomem(context) };
}

fn return_text(context: Context, text: &[u8]) {
    // SAFETY: the function is being called, and SQLite copies the text.
    unsafe {
        let len = text.len() as u64;
        let encoding = sqlite::SQLITE_UTF8 as u8;
        sqlite::sqlite3_result_text64(context, text.as_ptr().cast(), len, sqlite::SQLITE_TRANSIENT(), encoding);
    }
}

/// The position of the second argument in the first: in characters for texts, in bytes if both are blobs.
unsafe extern "C" fn instr(context: Context, _: c_int, arguments: Arguments) {
    // SAFETY: it is registered with two arguments.
    let (text, pattern) = unsafe { (Value::of(arguments, 0), Value::of(arguments, 1)) };
    if text.is_null() || pattern.is_null() || is_over(context) {
        return;
    }
    let are_blobs = [text, pattern].map(|value| value.kind() == sqlite::SQLITE_BLOB);
    let place = match are_blobs {
        [true, true] => Some(place_in_bytes(
            text.blob().unwrap_or_default(),
            pattern.blob().unwrap_or_default(),
        )),
        // The text of a blob would stay with the argument, which SQLite may use again.
        [false, true] | [true, false] => match (Copied::new(text), Copied::new(pattern)) {
            (Some(text), Some(pattern)) => place_of_texts(text.0, pattern.0),
            _ => None,
        },
        [false, false] => place_of_texts(text, pattern),
    };
    match place {
        // SAFETY: the function is being called.
        Some(place) => unsafe { sqlite::sqlite3_result_int(context, place as c_int) },
        None => out_of_memory(context),
    }
}

fn place_of_texts(text: Value, pattern: Value) -> Option<usize> {
    Some(place_in_text(text.text()?, pattern.text()?))
}

fn place_in_bytes(bytes: &[u8], pattern: &[u8]) -> usize {
    memmem::find(bytes, pattern).map_or(0, |at| at + 1)
}

/// The position in characters. A character begins at each byte that is not a [continuation](is_continued).
fn place_in_text(text: &[u8], pattern: &[u8]) -> usize {
    let found = match pattern.first() {
        // Such a pattern is found only at the beginning of the text.
        Some(first) if is_continued(*first) => text.starts_with(pattern).then_some(0),
        _ => memmem::find(text, pattern),
    };
    let begins = |at: usize| text[..=at].iter().skip(1).filter(|byte| !is_continued(**byte)).count();
    match found {
        Some(0) => 1,
        Some(at) => 1 + begins(at),
        None => 0,
    }
}

/// Whether a byte of UTF-8 continues a character.
fn is_continued(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The first argument, with each occurrence of the second replaced by the third.
unsafe extern "C" fn replace(context: Context, _: c_int, arguments: Arguments) {
    // SAFETY: it is registered with three arguments.
    let [text, pattern, by] = [0, 1, 2].map(|index| unsafe { Value::of(arguments, index) });
    if is_over(context) {
        return;
    }
    // If there is no text, the result is null, or SQLite has recorded that there is no memory.
    let Some(text) = text.text() else { return };
    let Some(pattern) = pattern.text() else { return };
    if matches!(pattern.first(), None | Some(0)) {
        return return_text(context, text);
    }
    let Some(by) = by.text() else { return };
    let finder = memmem::Finder::new(pattern);
    let count = finder.find_iter(text).count();
    let len = (text.len() - count * pattern.len()).saturating_add(count.saturating_mul(by.len()));
    // SAFETY: the function is being called; a limit of -1 only reads the current one.
    let max = unsafe {
        let connection = sqlite::sqlite3_context_db_handle(context);
        sqlite::sqlite3_limit(connection, sqlite::SQLITE_LIMIT_LENGTH, -1)
    };
    if len as u64 > u64::from(max.unsigned_abs()) {
        // SAFETY: as above.
        return unsafe { sqlite::sqlite3_result_error_toobig(context) };
    }
    // In memory that SQLite allocates and charges, and that it takes over.
    // SAFETY: SQLite is set up, and returns this many bytes or null.
    let made = unsafe { sqlite::sqlite3_malloc64(len as u64 + 1) }.cast::<u8>();
    let Some(start) = NonNull::new(made) else {
        return out_of_memory(context);
    };
    let mut writer = Writer { at: start.as_ptr() };
    let mut from = 0;
    for at in finder.find_iter(text) {
        // SAFETY: `len` is the sum of all that is written.
        unsafe {
            writer.write(&text[from..at]);
            writer.write(by);
        }
        from = at + pattern.len();
    }
    // SAFETY: as above, with the zero byte at the end; the destructor belongs to the allocator of the memory.
    unsafe {
        writer.write(&text[from..]);
        writer.write(&[0]);
        let encoding = sqlite::SQLITE_UTF8 as u8;
        sqlite::sqlite3_result_text64(context, made.cast(), len as u64, Some(sqlite::sqlite3_free), encoding);
    }
}

struct Writer {
    at: *mut u8,
}

impl Writer {
    /// # Safety
    ///
    /// There is room for the bytes after those that have been written.
    unsafe fn write(&mut self, bytes: &[u8]) {
        // SAFETY: the caller's promise; the memory is fresh, so nothing overlaps.
        unsafe {
            self.at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            self.at = self.at.add(bytes.len());
        }
    }
}

const LEFT: c_int = 1;
const RIGHT: c_int = 2;

/// The first argument without characters of the second at its ends; without spaces if there is no second.
unsafe extern "C" fn trim(context: Context, count: c_int, arguments: Arguments) {
    // SAFETY: it is registered with one or two arguments.
    let (text, set) = unsafe {
        let set = (count > 1).then(|| Value::of(arguments, 1));
        (Value::of(arguments, 0), set)
    };
    if is_over(context) {
        return;
    }
    let Some(text) = text.text() else { return };
    let set = match set {
        None => b" ",
        Some(set) => match set.text() {
            Some(set) => set,
            None => return,
        },
    };
    // SAFETY: the function is being called.
    let ends = unsafe { sqlite::sqlite3_user_data(context) } as usize as c_int;
    return_text(context, trimmed(text, &Characters::of(set), ends));
}

fn trimmed<'a>(mut text: &'a [u8], set: &Characters, ends: c_int) -> &'a [u8] {
    while ends & LEFT != 0
        && let Some(len) = lens(text).find(|len| set.has(&text[..*len]))
    {
        text = &text[len..];
    }
    let last = |text: &[u8]| (1..=CHARACTER_MAX.min(text.len())).find(|len| set.has(&text[text.len() - len..]));
    while ends & RIGHT != 0
        && let Some(len) = last(text)
    {
        text = &text[..text.len() - len];
    }
    text
}

/// The maximum length of a character, in bytes.
const CHARACTER_MAX: usize = 4;

/// The possible lengths of the character at the beginning of a text: one byte, and in UTF-8 also each longer one up to
/// the last continuation byte.
fn lens(text: &[u8]) -> impl Iterator<Item = usize> {
    let continued = match text.first() {
        Some(0xc0..) => text[1..]
            .iter()
            .take(CHARACTER_MAX - 1)
            .take_while(|byte| is_continued(**byte))
            .count(),
        _ => 0,
    };
    1..=continued + usize::from(!text.is_empty())
}

/// A set of characters: one bit for each possible character, so its size does not grow with the number of characters.
struct Characters {
    /// The characters of one, two, three and four bytes.
    bits: [Vec<u64>; CHARACTER_MAX],
}

impl Characters {
    /// The characters of a text, up to its first zero byte.
    fn of(text: &[u8]) -> Self {
        let mut set = Self {
            bits: [const { Vec::new() }; CHARACTER_MAX],
        };
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        let mut rest = &text[..end];
        while let Some(len) = lens(rest).last() {
            set.add(&rest[..len]);
            rest = &rest[len..];
        }
        set
    }

    /// The index of a character among those of its length; `None` if it is not a character.
    fn place(character: &[u8]) -> Option<usize> {
        match character {
            [byte] => Some(usize::from(*byte)),
            [first @ 0xc0..=0xff, rest @ ..] if rest.iter().all(|byte| is_continued(*byte)) => {
                let place = |place: usize, byte: &u8| place << 6 | usize::from(byte & 0x3f);
                Some(rest.iter().fold(usize::from(first & 0x3f), place))
            }
            _ => None,
        }
    }

    fn add(&mut self, character: &[u8]) {
        let Some(place) = Self::place(character) else { return };
        let bits = &mut self.bits[character.len() - 1];
        if bits.is_empty() {
            // 32 bytes, 512 bytes, 32 KiB or 2 MiB.
            let count = if character.len() == 1 {
                256
            } else {
                1 << (6 * character.len())
            };
            *bits = vec![0; count / 64];
        }
        bits[place / 64] |= 1 << (place % 64);
    }

    fn has(&self, character: &[u8]) -> bool {
        let bits = &self.bits[character.len() - 1];
        let has = |place: usize| bits.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1);
        Self::place(character).is_some_and(has)
    }
}

const AS_BLOB: c_int = 1;

/// Applies a JSON merge patch by SQLite's own function, in a connection that still has it.
unsafe extern "C" fn patch(context: Context, _: c_int, arguments: Arguments) {
    // SAFETY: it is registered with two arguments.
    let values = [0, 1].map(|index| unsafe { Value::of(arguments, index) });
    if is_over(context) {
        return;
    }
    // SAFETY: the function is being called, and the values are its arguments.
    unsafe {
        let lens = values.map(|value| sqlite::sqlite3_value_bytes(value.0.as_ptr()).unsigned_abs());
        if u64::from(lens[0]) * u64::from(lens[1]) > PATCH_MAX {
            return return_error(
                context,
                c"json_patch of two values that are too long together",
                sqlite::SQLITE_TOOBIG,
            );
        }
        let as_blob = sqlite::sqlite3_user_data(context) as usize as c_int == AS_BLOB;
        let own = Own::open(if as_blob {
            c"SELECT jsonb_patch(?, ?)"
        } else {
            c"SELECT json_patch(?, ?)"
        });
        for (value, index) in values.iter().zip(1..) {
            sqlite::sqlite3_bind_value(own.statement, index, value.0.as_ptr());
        }
        match sqlite::sqlite3_step(own.statement) {
            sqlite::SQLITE_ROW => {
                let result = sqlite::sqlite3_column_value(own.statement, 0);
                let is_text = sqlite::sqlite3_value_type(result) == sqlite::SQLITE_TEXT;
                sqlite::sqlite3_result_value(context, result);
                if is_text {
                    sqlite::sqlite3_result_subtype(context, JSON);
                }
            }
            code => return_error(context, CStr::from_ptr(sqlite::sqlite3_errmsg(own.connection)), code),
        }
    }
}

/// # Safety
///
/// The function is being called.
unsafe fn return_error(context: Context, text: &CStr, code: c_int) {
    // SAFETY: the caller's promise; the text ends with a zero byte, and is copied. The code must be set last, or it is
    // lost.
    unsafe {
        sqlite::sqlite3_result_error(context, text.as_ptr(), -1);
        if code != sqlite::SQLITE_ERROR {
            sqlite::sqlite3_result_error_code(context, code);
        }
    }
}

/// An empty connection and a statement on it; null if there is no memory for it, which SQLite's functions accept.
struct Own {
    connection: *mut sqlite::sqlite3,
    statement: *mut sqlite::sqlite3_stmt,
}

impl Own {
    fn open(sql: &CStr) -> Self {
        let mut own = Self {
            connection: null_mut(),
            statement: null_mut(),
        };
        let flags = sqlite::SQLITE_OPEN_READWRITE | sqlite::SQLITE_OPEN_MEMORY | sqlite::SQLITE_OPEN_NOMUTEX;
        // SAFETY: the texts end with a zero byte, and there is a place for each pointer.
        unsafe {
            sqlite::sqlite3_open_v2(c":memory:".as_ptr(), &mut own.connection, flags, LAYER.as_ptr());
            let rest: *mut *const c_char = null_mut();
            sqlite::sqlite3_prepare_v2(own.connection, sql.as_ptr(), -1, &mut own.statement, rest);
        }
        own
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: both are ours or null.
        unsafe {
            sqlite::sqlite3_finalize(self.statement);
            sqlite::sqlite3_close(self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use lunatic_kernel::shares::Group;
    use lunatic_kernel::stock::{Portion, Stock};
    use proptest::prelude::*;

    use super::super::library::{Connection, Step};
    use super::super::memory::Account;
    use super::super::wire::Key;

    fn no_files() -> Portion {
        Portion::none(&Stock::new(0), &Group::new())
    }

    fn connection() -> Arc<Connection> {
        let account = Account::new(Group::new(), None);
        Arc::new(Connection::open(None, account, no_files()).unwrap())
    }

    type Value = super::super::wire::Value<'static>;

    fn run(connection: &Arc<Connection>, sql: &str, values: &[Value]) -> Result<Vec<Value>, String> {
        let statement = connection.prepare(sql).unwrap();
        let bound = values.iter().map(|value| (Key::Next, value.clone()));
        statement.bind(bound).unwrap();
        match statement.step() {
            Ok(Step::Row) => Ok(statement.row()),
            Ok(Step::Done) => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A connection with SQLite's own functions.
    fn original() -> Arc<Connection> {
        let account = Account::new(Group::new(), None);
        Arc::new(Connection::open_unconfined(None, account, no_files()).unwrap())
    }

    const FUNCTIONS: [(&str, usize); 8] = [
        ("instr", 2),
        ("replace", 3),
        ("trim", 1),
        ("trim", 2),
        ("ltrim", 1),
        ("ltrim", 2),
        ("rtrim", 1),
        ("rtrim", 2),
    ];

    fn text(pieces: &[&str], at: &[usize]) -> String {
        at.iter().map(|at| pieces[at % pieces.len()]).collect()
    }

    /// Values of all kinds, of which one is often found in another.
    fn value() -> impl Strategy<Value = Value> {
        let pieces = || prop::collection::vec(0_usize..100, 0..12);
        let short = ["a", "b", "é", "ê", "€", "𝄞"];
        let all = ["a", "b", "é", "ê", "€", "𝄞", " ", "\0"];
        prop_oneof![
            1 => Just(Value::Null),
            1 => any::<i8>().prop_map(|number| Value::Integer(number.into())),
            1 => any::<i8>().prop_map(|number| Value::Double(f64::from(number) / 4.0)),
            4 => pieces().prop_map(move |at| Value::Text(text(&short[..3], &at).into())),
            4 => pieces().prop_map(move |at| Value::Text(text(&all, &at).into())),
            2 => pieces().prop_map(move |at| Value::Blob(text(&all, &at).into_bytes().into())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_functions_say_what_sqlites_own_say(values in prop::collection::vec(value(), 3)) {
            thread_local!(static BOTH: [Arc<Connection>; 2] = [connection(), original()]);
            for (name, count) in FUNCTIONS {
                let called = format!("{name}({})", ["?1", "?2", "?3"][..count].join(", "));
                let sql = format!("SELECT hex({called}), typeof({called}), length({called})");
                let [ours, theirs] = BOTH.with(|both| [0, 1].map(|at| run(&both[at], &sql, &values[..count])));
                prop_assert_eq!(ours, theirs, "{} of {:?}", name, values);
            }
        }

        /// In bytes, of which many are no UTF-8.
        #[test]
        fn any_bytes_are_found_where_sqlite_finds_them(
            (bytes, pattern, by) in {
                let bytes = |len| prop::collection::vec(prop::sample::select(vec![0, b'a', 0x80, 0xa9, 0xc3, 0xe2, 0xff]), 0..len);
                (bytes(20), bytes(3), bytes(4))
            },
        ) {
            thread_local!(static BOTH: [Arc<Connection>; 2] = [connection(), original()]);
            let values = [bytes, pattern, by].map(|bytes| Value::Blob(bytes.into()));
            let sql = "SELECT instr(?1, ?2), instr(CAST(?1 AS TEXT), ?2), instr(CAST(?1 AS TEXT), CAST(?2 AS TEXT)),
                hex(replace(?1, ?2, ?3))";
            let [ours, theirs] = BOTH.with(|both| [0, 1].map(|at| run(&both[at], sql, &values)));
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn patches_of_json_are_those_of_sqlite() {
        let both = [connection(), original()];
        let patches = [
            (r#"{"a":1,"b":{"c":2}}"#, r#"{"b":{"c":null,"d":[1]},"e":"é"}"#),
            ("[1,2]", r#"{"a":"b"}"#),
            (r#"{"a":1}"#, "3.50"),
            ("{", "{}"),
            ("{}", "no"),
        ];
        for (to, patch) in patches {
            let values = [to, patch].map(|text| Value::Text(text.into()));
            for sql in [
                "SELECT json_patch(?1, ?2), typeof(json_patch(?1, ?2))",
                "SELECT json_array(json_patch(?1, ?2)), hex(jsonb_patch(?1, ?2))",
                "SELECT json_patch(?1, NULL), json_patch(NULL, ?2), json(jsonb_patch(jsonb(?1), jsonb(?2)))",
            ] {
                let [ours, theirs] = [0, 1].map(|at| run(&both[at], sql, &values));
                assert_eq!(ours, theirs, "{sql} of {to} and {patch}");
            }
        }
        let much = "SELECT json_patch('{\"a\":1}', json_object('a', printf('%.*c', 15000000, 'x')))";
        assert!(run(&both[0], much, &[]).is_ok(), "one of them is short");
        let much = "SELECT json_patch(x, x) FROM (SELECT json_object('a', printf('%.*c', 100000, 'x')) AS x)";
        assert!(run(&both[0], much, &[]).unwrap_err().contains("too long together"));
    }

    #[test]
    fn a_result_that_is_too_long_is_refused() {
        let replace = "SELECT length(replace(x, 'aa', ?)) FROM (SELECT printf('%.*c', 1000000, 'a') AS x)";
        let by = |len: usize| [Value::Text("b".repeat(len).into())];
        let connection = connection();
        assert_eq!(run(&connection, replace, &by(30)), Ok(vec![Value::Integer(15_000_000)]));
        assert!(run(&connection, replace, &by(34)).unwrap_err().contains("too big"));
    }

    /// For the longest, SQLite's own would compare some 10^14 bytes each. Beside it, a function that looks at each byte once.
    #[test]
    fn the_longest_texts_take_as_long_as_their_lengths() {
        let connection = connection();
        let time = |sql: &str| {
            let sql = format!(
                "SELECT {sql} FROM (SELECT printf('%.*c', 16000000, 'a') AS x, printf('%.*c', 8000000, 'a') || 'b' AS y)"
            );
            let start = Instant::now();
            run(&connection, &sql, &[]).unwrap();
            start.elapsed()
        };
        let least = Duration::from_millis(50);
        for sql in [
            "instr(x, y)",
            "length(replace(x, y, 'c'))",
            "length(trim(x, y))",
            "length(rtrim(x, 'a' || y))",
        ] {
            let (once, took) = (time("length(upper(x))"), time(sql));
            println!("{sql}: {took:?}, upper {once:?}");
            assert!(took < once.max(least) * 100, "{sql} takes {took:?}, and upper {once:?}");
        }
    }
}
