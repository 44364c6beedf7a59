//! Outputs against real pipes and files.

use std::io::{Read, Seek};

use super::*;

/// A pipe that holds 64 KB, and an output to it.
fn pipe() -> (std::io::PipeReader, Output) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, Output::file(writer))
}

#[test]
fn a_file_gets_each_write_at_once() {
    let mut file = tempfile::tempfile().unwrap();
    let output = Output::file(file.try_clone().unwrap());
    let mut read = || {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    };
    let (one, two) = (output.writer(), output.writer());
    output.write(one, b"name: ").unwrap();
    assert_eq!(read(), "name: ");
    output.write(two, b"other\n").unwrap();
    assert_eq!(read(), "name: ");
    output.write(one, b"ada\n").unwrap();
    assert_eq!(read(), "name: ada\nother\n");
    assert!(!output.is_terminal());
    assert!(!output.closed());
}

#[test]
fn what_waits_for_an_unfinished_line_comes_out_by_itself() {
    let (mut reader, output) = pipe();
    let (one, two) = (output.writer(), output.writer());
    output.write(one, b"working...").unwrap();
    output.write(two, b"tick\n").unwrap();
    // Blocks until the thread of the output has let go of the line.
    let mut text = [0; 15];
    reader.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"working...tick\n");
}

#[test]
fn the_end_of_a_process_ends_its_line() {
    let (output, capture) = Output::captured();
    let (one, two) = (output.writer(), output.writer());
    output.write(one, b"unfinished").unwrap();
    output.write(two, b" next\n").unwrap();
    assert_eq!(capture.take(), b"unfinished");
    output.end(one, b"");
    output.report("report\n");
    assert_eq!(capture.take(), b" next\nreport\n");
}

#[test]
fn denials_that_nobody_reads_are_counted() {
    const DENIALS: usize = 10_000;
    let (mut reader, output) = pipe();
    let line = "x".repeat(99) + "\n";
    for _ in 0..DENIALS {
        output.report_denial(&line);
    }
    let kept = output.0.state.lock().backlog.len();
    assert!(kept < BACKLOG_LEN_MAX + line.len(), "{kept}");
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    output.finish();
    drop(output);
    let text = read.join().unwrap().unwrap();
    let (shown, notes): (Vec<_>, Vec<_>) = text.lines().partition(|text| *text == line.trim_end());
    let counts = notes.iter().map(|note| note.split_once(" more denial").expect(note).0);
    let counted: usize = counts
        .map(|count| count.replace(',', "").parse::<usize>().unwrap())
        .sum();
    assert!(
        counted > 0 && shown.len() + counted == DENIALS,
        "{} {notes:?}",
        shown.len()
    );
}

#[test]
fn a_full_pipe_stops_nobody() {
    let (mut reader, output) = pipe();
    let writer = output.writer();
    let line = [b"x".repeat(99), b"\n".to_vec()].concat();
    let mut lines = 0;
    // Nobody reads, and yet each of these returns.
    while output.has_room() {
        output.write(writer, &line).unwrap();
        lines += 1;
    }
    assert!(lines * line.len() >= BACKLOG_LEN_MAX);
    // Now the process would have to wait, until someone reads.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let waits = std::thread::spawn(move || {
        let read = std::thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text
        });
        runtime.block_on(output.wait_room());
        output.write(writer, b"last\n").unwrap();
        output.finish();
        let state = output.0.state.lock();
        assert!(state.backlog.is_empty() && !state.draining);
        drop(state);
        drop(output);
        read.join().unwrap()
    });
    let text = waits.join().unwrap();
    assert_eq!(text, [line.repeat(lines), b"last\n".to_vec()].concat());
}

#[test]
fn a_closed_pipe_is_an_event() {
    let (reader, output) = pipe();
    let writer = output.writer();
    drop(reader);
    assert!(!output.closed());
    output.write(writer, b"to nobody\n").unwrap();
    assert!(output.closed());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(output.wait_closed());
    output.write(writer, b"to nobody\n").unwrap();
    output.report("to nobody\n");
    output.finish();
}

#[test]
fn a_pipe_that_closes_while_the_thread_writes() {
    let (mut reader, output) = pipe();
    let writer = output.writer();
    while output.has_room() {
        output.write(writer, &[b'\n'; 4096]).unwrap();
    }
    reader.read_exact(&mut [0; 10]).unwrap();
    drop(reader);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(output.wait_closed());
    assert!(output.has_room());
    output.finish();
}

#[test]
fn other_errors_go_to_the_process() {
    let read_only = std::fs::File::open("/dev/null").unwrap();
    let output = Output::file(read_only);
    let error = output.write(output.writer(), b"x\n").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    assert!(!output.closed());
}

#[test]
fn a_terminal_is_one() {
    let (mut master, mut slave) = (0, 0);
    // SAFETY: both places are valid; the other arguments may be null.
    let result = unsafe {
        libc::openpty(
            &mut master,
            &mut slave,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    assert_eq!(result, 0);
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: `openpty` gave both descriptors to us and to nobody else.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let output = Output::file(slave);
    assert!(output.is_terminal());
    let writer = output.writer();
    // Far more than a terminal takes without a reader.
    for _ in 0..1000 {
        output.write(writer, &[b'x'; 99]).unwrap();
        output.write(writer, b"\n").unwrap();
    }
    let mut terminal = std::fs::File::from(master);
    let mut len = 0;
    while len < 1000 * 101 {
        len += terminal.read(&mut [0; 4096]).unwrap();
    }
    // A terminal puts a carriage return before each newline.
    assert_eq!(len, 1000 * 101);
}

#[test]
fn a_capture_is_bounded() {
    let (output, capture) = Output::captured();
    let writer = output.writer();
    let line = [b"x".repeat((1 << 20) - 1), b"\n".to_vec()].concat();
    for _ in 0..17 {
        output.write(writer, &line).unwrap();
    }
    let text = capture.take();
    assert_eq!(
        text.len(),
        CAPTURE_LEN_MAX + "\n[1048576 more bytes are not shown]\n".len()
    );
    assert!(capture.take().is_empty());
}

#[test]
fn reports_from_many_threads_do_not_tear() {
    let (mut reader, output) = pipe();
    let (threads, times) = (4, 250);
    let report = |id: usize| format!("process #{id} panicked: why\n    at a.rs:1:2\n  0: f  a.rs:1:2\n");
    let text = std::thread::scope(|scope| {
        let text = scope.spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        let writers: Vec<_> = (0..threads)
            .map(|thread| {
                let output = output.clone();
                scope.spawn(move || {
                    let writer = output.writer();
                    for time in 0..times {
                        output.write(writer, b"a ").unwrap();
                        output.report(&report(thread * times + time));
                        output.write(writer, b"b\n").unwrap();
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        output.finish();
        drop(output);
        text.join().unwrap()
    });
    for id in 0..threads * times {
        assert!(text.contains(&report(id)), "report {id} is torn");
    }
    assert_eq!(text.lines().filter(|line| *line == "a b").count(), threads * times);
    assert_eq!(text.lines().count(), threads * times * 4);
}

/// Writes into a list, slowly, and fails as told.
struct Slow(Arc<Mutex<Vec<u8>>>, Option<io::ErrorKind>);

impl io::Write for Slow {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.1 {
            return Err(kind.into());
        }
        let len = text.len().min(3);
        self.0.lock().extend_from_slice(&text[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_gets_everything_in_order() {
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let output = Output::to_writer(Slow(written.clone(), None));
    let (one, two) = (output.writer(), output.writer());
    output.write(one, b"name: ").unwrap();
    output.write(two, b"other\n").unwrap();
    output.write(one, b"ada\n").unwrap();
    output.report("report\n");
    output.finish();
    assert_eq!(written.lock().as_slice(), b"name: ada\nother\nreport\n");
}

#[test]
fn nobody_waits_for_a_report_and_reports_keep_their_order() {
    let (output, capture) = Output::captured();
    let (one, (let_go, held)) = (output.writer(), std::sync::mpsc::channel::<()>());
    output.report_later(move || {
        held.recv().unwrap();
        "first\n".to_owned()
    });
    output.report_later(|| panic!("a bug"));
    output.report("third\n");
    // None of these waits for the first report, and what processes write does not, either.
    output.write(one, b"a process\n").unwrap();
    assert_eq!(capture.take(), b"a process\n");
    let_go.send(()).unwrap();
    output.finish();
    let text = String::from_utf8(capture.take()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[0], lines[2]), ("first", "third"));
    assert!(lines[1].starts_with("lunatic: bug: "), "{text}");
}

#[test]
fn a_writer_that_fails_closes_the_output_or_tells_the_next_process() {
    for (kind, closes) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
        let output = Output::to_writer(Slow(Arc::default(), Some(kind)));
        let one = output.writer();
        output.write(one, b"lost\n").unwrap();
        output.finish();
        assert_eq!(output.closed(), closes, "{kind}");
        assert_eq!(output.write(one, b"more\n").is_err(), !closes, "{kind}");
    }
}

/// A process can make any number of handles, and a promise remains valid while others fill the output.
#[test]
fn only_the_handle_that_asked_last_may_write() {
    use wasmtime_wasi::cli::StdoutStream as _;
    let (reader, output) = pipe();
    let shared = stream::SharedOutput::new(output.clone(), None);
    let mut handles: Vec<_> = (0..100).map(|_| shared.p2_stream()).collect();
    let permits: Vec<_> = handles.iter_mut().map(|handle| handle.check_write().unwrap()).collect();
    assert!(permits.iter().all(|permit| *permit > 0));
    let text = vec![b'x'; permits[0]];
    let written = handles.iter_mut().map(|handle| handle.write(text.clone().into()));
    let written: Vec<bool> = written.map(|result| result.is_ok()).collect();
    assert_eq!(written.iter().filter(|is_ok| **is_ok).count(), 1);
    assert_eq!(written.last(), Some(&true), "the last one that asked");
    assert!(output.0.state.lock().backlog.len() <= text.len());
    // Each can ask again, and what it was promised is used up by one write.
    assert!(handles[0].check_write().unwrap() >= 4);
    assert!(handles[0].write("text".into()).is_ok() && handles[0].write("text".into()).is_err());
    drop(reader);
}
