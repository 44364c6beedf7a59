//! Numbers and bytes in frames: numbers are little-endian, and a length stands before the bytes that it counts.

/// Reads what a peer has written. Each function returns `None` if too few bytes are left; none allocates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        self.bytes(LEN)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes after a length of 16 bits; at most `max`.
    pub(crate) fn short(&mut self, max: usize) -> Option<&'a [u8]> {
        let len = usize::from(self.u16()?);
        (len <= max).then(|| self.bytes(len)).flatten()
    }

    pub(crate) fn text(&mut self, max: usize) -> Option<&'a str> {
        std::str::from_utf8(self.short(max)?).ok()
    }

    pub(crate) fn hash(&mut self) -> Option<[u8; 32]> {
        self.array()
    }

    /// The remaining bytes.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Writes what a [`Reader`] reads.
pub(crate) trait Write {
    fn put(&mut self, bytes: &[u8]) -> &mut Self;

    fn put_u8(&mut self, number: u8) -> &mut Self {
        self.put(&[number])
    }

    fn put_u16(&mut self, number: u16) -> &mut Self {
        self.put(&number.to_le_bytes())
    }

    fn put_u32(&mut self, number: u32) -> &mut Self {
        self.put(&number.to_le_bytes())
    }

    fn put_u64(&mut self, number: u64) -> &mut Self {
        self.put(&number.to_le_bytes())
    }

    /// Bytes after a length of 16 bits. Longer ones are cut: callers check the length before.
    fn put_short(&mut self, bytes: &[u8]) -> &mut Self {
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.put_u16(len).put(&bytes[..usize::from(len)])
    }
}

impl Write for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.extend_from_slice(bytes);
        self
    }
}
