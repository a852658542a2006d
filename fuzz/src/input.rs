//! An input read as a sequence of decisions.

/// The bytes that are left of an input. When there are none, every answer is zero.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    pub fn bool(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// Up to `length` bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Bytes behind their length, which is one byte.
    pub fn short(&mut self) -> &'a [u8] {
        let length = self.byte().into();
        self.take(length)
    }

    /// Bytes behind their length, which is two bytes.
    pub fn long(&mut self) -> &'a [u8] {
        let length = self.u16().into();
        self.take(length)
    }
}
