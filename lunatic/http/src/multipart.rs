//! Forms with files: `multipart/form-data` (RFC 7578, in the format of RFC 2046, 5.1).
//!
//! The body is read as it arrives, part by part. No more than a few KiB of it are in memory at a time.

use std::fmt;
use std::io::{self, Read};

use http::StatusCode;
use http::header::CONTENT_TYPE;
use memchr::memmem;

use crate::bad_input::BadInput;
use crate::body::Body;
use crate::media_type;
use crate::request::Request;

/// The most bytes of one read.
const READ_LEN: usize = 8 << 10;
/// The most headers of one part.
const HEADERS_MAX: usize = 16;

/// Limits for a form with files. [`Limits::body_len`](crate::Limits::body_len) or [`BodyLimit`](crate::BodyLimit) limit its
/// total length.
///
/// # Examples
///
/// ```
/// use lunatic_http::MultipartLimits;
///
/// let limits = MultipartLimits {
///     parts: 10,
///     ..MultipartLimits::default()
/// };
/// assert_eq!(limits.text_len, 64 << 10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultipartLimits {
    /// The most parts, which are fields and files. Default: 100. More are answered with 413.
    pub parts: usize,
    /// The most bytes of a part's headers. Default: 4 KiB. More, or more than 16 headers, are answered with 431.
    pub head_len: usize,
    /// The most bytes that [`Part::read_text`] reads. Default: 64 KiB. More are answered with 413.
    pub text_len: usize,
}

impl Default for MultipartLimits {
    fn default() -> Self {
        Self {
            parts: 100,
            head_len: 4 << 10,
            text_len: 64 << 10,
        }
    }
}

/// A form with files, which is read part by part: [`Request::multipart`].
///
/// # Examples
///
/// ```
/// use lunatic_http::{BadInput, Handler, Method, MultipartLimits, Request, Uri};
///
/// fn upload(mut request: Request) -> Result<String, BadInput> {
///     let mut form = request.multipart(MultipartLimits::default())?;
///     let mut told = String::new();
///     while let Some(mut part) = form.next_part()? {
///         let name = part.name().to_owned();
///         match part.file_name().map(str::to_owned) {
///             Some(file) => {
///                 let len = std::io::copy(&mut part, &mut std::io::sink())?;
///                 told += &format!("{name}: {file} of {len} bytes\n");
///             }
///             None => told += &format!("{name}: {}\n", part.read_text()?),
///         }
///     }
///     Ok(told)
/// }
///
/// let body = "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nHolidays\r\n\
///             --x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"sea.jpg\"\r\n\r\n12345\r\n--x--\r\n";
/// let request = Request::new(Method::POST, Uri::from_static("/"), body)
///     .header("content-type", "multipart/form-data; boundary=x");
/// assert_eq!(upload.handle(request).read_text().unwrap(), "title: Holidays\nphoto: sea.jpg of 5 bytes\n");
/// ```
pub struct Multipart {
    body: Body,
    /// A line break, `--` and the boundary. It precedes each part and follows the last one.
    delimiter: Vec<u8>,
    limits: MultipartLimits,
    /// Bytes that were read from the body and not yet used.
    input: Vec<u8>,
    /// The number of bytes at the beginning of the input that belong to the current part.
    clear: usize,
    /// Whether the delimiter follows these bytes.
    is_found: bool,
    parts: usize,
    is_over: bool,
}

impl Request {
    /// Takes the body, which is a form with files, to read it part by part.
    ///
    /// # Errors
    ///
    /// 415 if the `Content-Type` is not `multipart/form-data`; 400 if it has no boundary, or one that RFC 2046 does not allow.
    pub fn multipart(&mut self, limits: MultipartLimits) -> Result<Multipart, BadInput> {
        const FORM: &str = "multipart/form-data";
        media_type::expect(self.headers(), FORM, |kind| kind == FORM)?;
        let line = self.header_text(CONTENT_TYPE.as_str()).unwrap_or_default();
        let boundary = media_type::parameter(line, "boundary")
            .filter(|boundary| is_boundary(boundary))
            .ok_or_else(|| BadInput::bad("the form's `Content-Type` needs a boundary of 1 to 70 allowed characters"))?;
        Ok(Multipart {
            body: std::mem::take(self.body_mut()),
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            limits,
            // The first delimiter may have no line break before it.
            input: b"\r\n".to_vec(),
            clear: 0,
            is_found: false,
            parts: 0,
            is_over: false,
        })
    }
}

/// Whether this is a valid boundary (RFC 2046, 5.1.1).
fn is_boundary(text: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    (1..=70).contains(&text.len()) && text.bytes().all(is_char) && !text.ends_with(' ')
}

impl Multipart {
    /// The next part; `None` after the last one. Bytes of the previous part that were not read are skipped.
    ///
    /// # Errors
    ///
    /// 400 if the form is malformed or incomplete; 413 if it has too many parts; 431 if the headers of a part are too long; and
    /// the errors of reading the body. After an error, the rest of the form cannot be read.
    pub fn next_part(&mut self) -> Result<Option<Part<'_>>, BadInput> {
        if self.is_over {
            return Ok(None);
        }
        // Until the part is found: after an error, nothing more can be read.
        self.is_over = true;
        loop {
            self.input.drain(..self.clear);
            self.clear = 0;
            if self.is_found {
                break;
            }
            self.search()?;
        }
        self.input.drain(..self.delimiter.len());
        self.is_found = false;
        if self.begins_with_dashes()? {
            return Ok(None);
        }
        if self.parts == self.limits.parts {
            let why = format!("the form has more than {} parts", self.limits.parts);
            return Err(BadInput::new(StatusCode::PAYLOAD_TOO_LARGE, why));
        }
        self.parts += 1;
        let head = self.head()?;
        self.is_over = false;
        Ok(Some(Part { form: self, head }))
    }

    /// Reads more of the body. The end of the body is an error.
    fn fill(&mut self) -> io::Result<()> {
        let start = self.input.len();
        self.input.resize(start + READ_LEN, 0);
        let read = loop {
            match self.body.read(&mut self.input[start..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.input.truncate(start + read.as_ref().map_or(0, |read| *read));
        match read? {
            0 => Err(BadInput::bad("the form ends before its last boundary").into()),
            _ => Ok(()),
        }
    }

    /// Determines how many bytes of the input belong to the part, and reads more if none do. Afterwards `clear` is not 0, or
    /// `is_found` is set.
    fn search(&mut self) -> io::Result<()> {
        loop {
            if let Some(at) = memmem::find(&self.input, &self.delimiter) {
                self.clear = at;
                self.is_found = true;
                return Ok(());
            }
            // The last bytes of the input may be the beginning of a delimiter.
            let safe = (self.input.len() + 1).saturating_sub(self.delimiter.len());
            if safe > 0 {
                self.clear = safe;
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn begins_with_dashes(&mut self) -> Result<bool, BadInput> {
        while self.input.len() < 2 {
            self.fill()?;
        }
        Ok(self.input.starts_with(b"--"))
    }

    /// Reads the headers of a part. The input begins after the delimiter.
    fn head(&mut self) -> Result<Head, BadInput> {
        let too_long = || {
            BadInput::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the headers of a part are too long",
            )
        };
        let mut from = 0;
        // The input has the end of the delimiter's line, the headers and an empty line.
        let end = loop {
            if let Some(at) = memmem::find(&self.input[from..], b"\r\n\r\n") {
                break from + at + 4;
            }
            if self.input.len() > self.limits.head_len {
                return Err(too_long());
            }
            from = self.input.len().saturating_sub(3);
            self.fill()?;
        };
        if end > self.limits.head_len {
            return Err(too_long());
        }
        let head = self.input.drain(..end).collect::<Vec<_>>();
        let line = memmem::find(&head, b"\r\n").expect("it was found above");
        if !head[..line].iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(BadInput::bad("a boundary of the form does not end its line"));
        }
        Head::parse(&head[line + 2..])
    }
}

/// The headers of a part.
#[derive(Debug)]
struct Head {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, BadInput> {
        let mut places = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let headers = match httparse::parse_headers(bytes, &mut places) {
            Ok(httparse::Status::Complete((_, headers))) => headers,
            Err(httparse::Error::TooManyHeaders) => {
                return Err(BadInput::new(
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                    "a part has too many headers",
                ));
            }
            _ => return Err(BadInput::bad("the headers of a part are malformed")),
        };
        let find = |name: &str| {
            let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        let disposition = find("content-disposition").unwrap_or_default();
        let kind = disposition.split(';').next().unwrap_or_default().trim();
        let name = media_type::parameter(disposition, "name");
        let Some(name) = name.filter(|_| kind.eq_ignore_ascii_case("form-data")) else {
            return Err(BadInput::bad("a part of the form has no name"));
        };
        Ok(Self {
            name,
            file_name: media_type::parameter(disposition, "filename").map(base_name),
            content_type: find("content-type").map(str::to_owned),
        })
    }
}

/// The part of a path after the last slash or backslash.
fn base_name(mut name: String) -> String {
    if let Some(at) = name.rfind(['/', '\\']) {
        name.drain(..=at);
    }
    name
}

/// A part of a form: a field or a file. Its content is read with [`Read`].
pub struct Part<'a> {
    form: &'a mut Multipart,
    head: Head,
}

impl Part<'_> {
    /// The name of the field in the form.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// The name of the file on the client, without folders; `None` for a field that is not a file. It may be any text, including
    /// an empty one and `..`, so do not use it as a path.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.head.file_name.as_deref()
    }

    /// The media type that the client claims.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.head.content_type.as_deref()
    }

    /// Reads the content as text.
    ///
    /// # Errors
    ///
    /// 413 if it is longer than [`MultipartLimits::text_len`]; 400 if it is not UTF-8; and the errors of reading the body.
    pub fn read_text(&mut self) -> Result<String, BadInput> {
        let len_max = self.form.limits.text_len;
        let mut bytes = Vec::new();
        let read = self.by_ref().take(len_max as u64 + 1).read_to_end(&mut bytes)?;
        if read > len_max {
            let why = format!("the field has more than {len_max} bytes");
            return Err(BadInput::new(StatusCode::PAYLOAD_TOO_LARGE, why));
        }
        String::from_utf8(bytes).map_err(|_| BadInput::bad("a field of the form is not UTF-8"))
    }
}

impl Read for Part<'_> {
    /// # Errors
    ///
    /// Those of the [`Body`], and [`InvalidData`](io::ErrorKind::InvalidData) if the form ends before its last boundary.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let form = &mut *self.form;
        if buffer.is_empty() || form.is_over {
            return Ok(0);
        }
        if form.clear == 0 && !form.is_found {
            form.search().inspect_err(|_| form.is_over = true)?;
        }
        let len = form.clear.min(buffer.len());
        buffer[..len].copy_from_slice(&form.input[..len]);
        form.input.drain(..len);
        form.clear -= len;
        Ok(len)
    }
}

impl fmt::Debug for Multipart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Multipart({} parts read)", self.parts)
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part({:?})", self.head.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A body that comes in pieces of this length.
    struct Pieces(Vec<u8>, usize);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.0.len().min(self.1).min(buffer.len());
            buffer[..len].copy_from_slice(&self.0[..len]);
            self.0.drain(..len);
            Ok(len)
        }
    }

    fn request(kind: &str, body: Body) -> Request {
        let request = Request::new("POST".parse().unwrap(), "/".parse().unwrap(), body);
        request.header("content-type", kind)
    }

    type Parts = Vec<(String, Option<String>, Vec<u8>)>;

    fn parts(body: &[u8], piece: usize, limits: MultipartLimits) -> Result<Parts, BadInput> {
        let body = Body::reader(Pieces(body.to_vec(), piece), None);
        let mut form = request("multipart/form-data; boundary=x", body).multipart(limits)?;
        let mut parts = Vec::new();
        while let Some(mut part) = form.next_part()? {
            let mut content = Vec::new();
            part.read_to_end(&mut content)?;
            parts.push((part.name().to_owned(), part.file_name().map(str::to_owned), content));
        }
        assert!(form.next_part().unwrap().is_none());
        Ok(parts)
    }

    const FORM: &[u8] = b"ignored\r\n--x \t\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--y\r\n\
        --x\r\ncontent-type: image/png\r\nCONTENT-DISPOSITION: Form-Data; name=b; filename=\"C:\\dir\\sea.png\"\r\n\r\n\r\n\
        --x\r\nContent-Disposition: form-data; name=\"\xc3\xa9\"; filename=\"../../etc/passwd\"\r\n\r\n\r\n--\r\n--x--ignored";

    #[test]
    fn however_a_form_is_cut_its_parts_are_the_same() {
        for piece in 1..FORM.len() {
            let parts = parts(FORM, piece, MultipartLimits::default()).unwrap();
            let expected: Parts = vec![
                ("a".into(), None, b"1\r\n--y".to_vec()),
                ("b".into(), Some("sea.png".into()), vec![]),
                ("é".into(), Some("passwd".into()), b"\r\n--".to_vec()),
            ];
            assert_eq!(parts, expected, "{piece}");
        }
    }

    #[test]
    fn what_is_not_read_is_skipped() {
        let body = format!(
            "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n{}\r\n--x\r\nContent-Disposition: form-data; name=b\r\n\r\nfine\r\n--x--",
            "long".repeat(10_000)
        );
        let mut form = request("multipart/form-data; boundary=x", body.into())
            .multipart(MultipartLimits::default())
            .unwrap();
        let mut part = form.next_part().unwrap().unwrap();
        part.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(form.next_part().unwrap().unwrap().read_text().unwrap(), "fine");
        assert!(form.next_part().unwrap().is_none());
    }

    #[test]
    fn wrong_forms_are_refused() {
        let part = |text: &str| format!("--x\r\n{text}\r\n--x--");
        let named = |rest: &str| part(&format!("Content-Disposition: form-data; name=a\r\n{rest}\r\n1"));
        let limits = MultipartLimits {
            parts: 2,
            head_len: 200,
            text_len: 10,
        };
        for (body, status, why) in [
            (String::new(), 400, "the form ends before its last boundary"),
            ("--x".into(), 400, "the form ends before its last boundary"),
            (
                "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1".into(),
                400,
                "the form ends before",
            ),
            (part("\r\n1"), 400, "a part of the form has no name"),
            (part("Content-Disposition: attachment; name=a\r\n\r\n1"), 400, "no name"),
            (
                part("Content-Disposition: form-data; filename=a\r\n\r\n1"),
                400,
                "no name",
            ),
            (part("a b: c\r\n\r\n1"), 400, "the headers of a part are malformed"),
            (
                "--xy\r\n\r\n1\r\n--x--".into(),
                400,
                "a boundary of the form does not end its line",
            ),
            (
                named(&format!("a: {}\r\n", "b".repeat(200))),
                431,
                "the headers of a part are too long",
            ),
            (part(&"a".repeat(10_000)), 431, "the headers of a part are too long"),
            (
                named(&"a:b\r\n".repeat(HEADERS_MAX)),
                431,
                "a part has too many headers",
            ),
            (
                "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n".repeat(3) + "--x--",
                413,
                "the form has more than 2 parts",
            ),
        ] {
            for piece in [1, 7, 100_000] {
                let error = parts(body.as_bytes(), piece, limits).unwrap_err();
                assert_eq!(error.status(), status, "{body:?}: {error}");
                assert!(error.to_string().contains(why), "{body:?}: {error}");
            }
        }
        let text = |body: String| {
            let mut form = request("multipart/form-data; boundary=x", body.into())
                .multipart(limits)
                .unwrap();
            form.next_part().unwrap().unwrap().read_text()
        };
        assert_eq!(text(named("")).unwrap(), "1");
        assert_eq!(
            text(named("").replace("\n1", &format!("\n{}", "1".repeat(11))))
                .unwrap_err()
                .status(),
            413
        );
    }

    #[test]
    fn the_type_says_where_parts_begin() {
        for (kind, status) in [
            ("multipart/mixed; boundary=x", 415),
            ("text/plain", 415),
            ("multipart/form-data", 400),
            ("multipart/form-data; boundary=", 400),
            ("multipart/form-data; boundary=\"a\\\"b\"", 400),
            ("multipart/form-data; boundary=\"a \"", 400),
        ] {
            let error = request(kind, ().into())
                .multipart(MultipartLimits::default())
                .unwrap_err();
            assert_eq!(error.status(), status, "{kind}");
        }
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        assert!(request(&long, ().into()).multipart(MultipartLimits::default()).is_err());
    }

    proptest! {
        #[test]
        fn garbage_ends(
            garbage in proptest::collection::vec(prop_oneof![
                Just("\r\n"), Just("--x"), Just("--"), Just("\r\n--x\r\n"), Just("a"), Just("\0"), Just("\r"),
                Just("Content-Disposition: form-data; name=a\r\n\r\n"),
            ], 0..30),
            piece in 1..20_usize,
        ) {
            let _ = parts(garbage.concat().as_bytes(), piece, MultipartLimits::default());
        }

        #[test]
        fn any_content_comes_back(content in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..100), piece in 1..50_usize) {
            prop_assume!(memmem::find(&[&b"\r\n"[..], &content].concat(), b"\r\n--x").is_none());
            let mut body = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n".to_vec();
            body.extend_from_slice(&content);
            body.extend_from_slice(b"\r\n--x--\r\n");
            let parts = parts(&body, piece, MultipartLimits::default()).unwrap();
            prop_assert_eq!(&parts[0].2, &content);
        }
    }
}
