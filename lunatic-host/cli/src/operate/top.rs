//! `lunatic top`: a page of a program's processes, updated continuously.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, queue};
use lunatic_admin::Client;
use lunatic_admin::view::{PageView, SystemView};

use super::ps::{ORDERS, path, table};
use super::{At, size, time};

/// How often the page is updated.
const EVERY: Duration = Duration::from_secs(1);
/// The lines that are not processes: the program, its figures, the head of the table, and the keys.
const OTHER_LINES: usize = 5;
const KEYS: &str = "s sort   / search   ↑ ↓ page up and down   q quit";

/// What is shown, and what the user has chosen.
#[derive(Default)]
struct Screen {
    /// An index into [`ORDERS`].
    order: usize,
    skip: usize,
    name: String,
    /// The user is typing the name.
    is_typing: bool,
    system: SystemView,
    page: PageView,
}

/// What to do after a key was pressed.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    Quit,
    /// Request other processes.
    Ask,
    Draw,
}

pub(super) fn run(at: &At) -> anyhow::Result<()> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        bail!("`lunatic top` needs a terminal: try `lunatic ps`");
    }
    let client = at.client()?;
    let mut screen = Screen {
        order: 1,
        ..Screen::default()
    };
    // This comes before the terminal changes, so that an error stays readable.
    screen.ask(&client, 0)?;
    let _restored = Raw::new().context("cannot use the terminal")?;
    show(&client, &mut screen)
}

/// The terminal in raw mode; it is restored on drop.
struct Raw;

impl Raw {
    fn new() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let raw = Self;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // An error cannot be reported here.
        let _ = execute!(io::stdout(), cursor::Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

fn show(client: &Client, screen: &mut Screen) -> anyhow::Result<()> {
    let mut asked = None::<Instant>;
    loop {
        let (width, height) = terminal::size()?;
        let rows = usize::from(height).saturating_sub(OTHER_LINES);
        if asked.is_none_or(|asked| asked.elapsed() >= EVERY) {
            screen.ask(client, rows)?;
            asked = Some(Instant::now());
        }
        draw(&screen.lines(usize::from(width)), usize::from(height))?;
        let left = asked.map_or(EVERY, |asked| EVERY.saturating_sub(asked.elapsed()));
        if !event::poll(left)? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind == KeyEventKind::Press => match screen.press(key, rows) {
                Then::Quit => return Ok(()),
                Then::Ask => asked = None,
                Then::Draw => {}
            },
            _ => {}
        }
    }
}

fn draw(lines: &[String], height: usize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    queue!(out, cursor::MoveTo(0, 0))?;
    for (number, line) in lines.iter().take(height).enumerate() {
        if number > 0 {
            out.write_all(b"\r\n")?;
        }
        out.write_all(line.as_bytes())?;
        queue!(out, Clear(ClearType::UntilNewLine))?;
    }
    queue!(out, Clear(ClearType::FromCursorDown))?;
    out.flush()
}

impl Screen {
    fn ask(&mut self, client: &Client, rows: usize) -> anyhow::Result<()> {
        self.system = client.get("/v1/system")?;
        let name = Some(self.name.as_str()).filter(|name| !name.is_empty());
        self.page = client.get(&path(ORDERS[self.order], rows, self.skip, &[("name", name)]))?;
        Ok(())
    }

    fn press(&mut self, key: KeyEvent, rows: usize) -> Then {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Then::Quit;
        }
        if self.is_typing {
            return self.type_name(key.code);
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Then::Quit,
            KeyCode::Char('s') => {
                self.order = (self.order + 1) % ORDERS.len();
                self.skip = 0;
            }
            KeyCode::Char('/') => {
                self.is_typing = true;
                self.name.clear();
                self.skip = 0;
            }
            KeyCode::Down | KeyCode::PageDown if self.skip + rows < self.page.matched => self.skip += rows,
            KeyCode::Up | KeyCode::PageUp => self.skip = self.skip.saturating_sub(rows),
            KeyCode::Home => self.skip = 0,
            _ => return Then::Draw,
        }
        Then::Ask
    }

    fn type_name(&mut self, key: KeyCode) -> Then {
        match key {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.name.clear();
            }
            KeyCode::Backspace => _ = self.name.pop(),
            KeyCode::Char(letter) => self.name.push(letter),
            _ => return Then::Draw,
        }
        Then::Ask
    }

    /// Lines of at most `width` characters.
    fn lines(&self, width: usize) -> Vec<String> {
        let system = &self.system;
        let mut lines = vec![
            format!(
                "{} (process {}), for {}",
                system.program,
                system.pid,
                time(system.uptime_ms)
            ),
            format!(
                "{} processes, {} wait, {} frozen; memories {}, kept {}, messages {}",
                system.processes,
                system.waiting,
                system.frozen,
                size(system.memory_bytes),
                size(system.kept_bytes),
                size(system.queued_bytes)
            ),
        ];
        lines.extend(table(&self.page, self.skip, Some(width)).lines().map(str::to_owned));
        let name = match (self.is_typing, &*self.name) {
            (true, name) => format!("   name: {name}▏"),
            (false, "") => String::new(),
            (false, name) => format!("   name: {name}"),
        };
        lines.push(format!("by {}{name}   {KEYS}", ORDERS[self.order]));
        for line in &mut lines {
            *line = line.chars().take(width).collect();
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    #[test]
    fn keys_choose_what_is_shown() {
        let mut screen = Screen::default();
        screen.page.matched = 25;
        assert_eq!(screen.press(key(KeyCode::Char('s')), 10), Then::Ask);
        assert_eq!(ORDERS[screen.order], "mailbox");
        for skip in [10, 20, 20] {
            screen.press(key(KeyCode::Down), 10);
            assert_eq!(screen.skip, skip);
        }
        screen.press(key(KeyCode::Up), 10);
        assert_eq!(screen.skip, 10);
        for letter in ['/', 'q', 's', 'x'] {
            assert_eq!(screen.press(key(KeyCode::Char(letter)), 10), Then::Ask);
        }
        screen.press(key(KeyCode::Backspace), 10);
        screen.press(key(KeyCode::Enter), 10);
        assert_eq!((&*screen.name, screen.is_typing, screen.skip), ("qs", false, 0));
        assert_eq!(screen.press(key(KeyCode::Char('q')), 10), Then::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.press(interrupt, 10), Then::Quit);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut screen = Screen::default();
        screen.system.program = "a/very/long/path".repeat(20);
        screen.name = "name".repeat(50);
        assert!(screen.lines(40).iter().all(|line| line.chars().count() <= 40));
        assert_eq!(screen.lines(0).len(), 4);
    }
}
