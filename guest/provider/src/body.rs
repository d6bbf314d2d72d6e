//! A buffer for a response body that may hold a token: bounded, and no copy of it stays behind when it grows.

use edgepass_core::wipe;

/// The first piece of a body whose length is not announced, bytes. Token responses are 2 to 5 KiB.
const FIRST_PIECE: usize = 8 * 1024;

/// Collects a body up to a limit.
pub(crate) struct Body {
    bytes: Vec<u8>,
    limit: usize,
}

/// The body is larger than its limit.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct TooLarge;

impl Body {
    /// A buffer that is large enough at once if the announced length is true.
    pub(crate) fn new(announced: Option<usize>, limit: usize) -> Self {
        // one byte more than announced, so that the end of an honest body is seen without growing
        let wanted = announced.map_or(FIRST_PIECE, |length| length.saturating_add(1));
        Self {
            bytes: Vec::with_capacity(wanted.min(limit.saturating_add(1))),
            limit,
        }
    }

    /// Gives the buffer to a read, which fills its spare capacity: never empty.
    pub(crate) fn lend(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.len() == bytes.capacity() {
            // not `reserve`: it would free the old memory with the token still in it
            let wanted = bytes.capacity().max(FIRST_PIECE).saturating_mul(2);
            let mut grown = Vec::with_capacity(
                wanted
                    .min(self.limit.saturating_add(1))
                    .max(bytes.len() + 1),
            );
            grown.extend_from_slice(&bytes);
            wipe(&mut bytes);
            bytes = grown;
        }
        bytes
    }

    /// Takes it back after the read.
    pub(crate) fn take_back(&mut self, bytes: Vec<u8>) -> Result<(), TooLarge> {
        self.bytes = bytes;
        if self.bytes.len() > self.limit {
            Err(TooLarge)
        } else {
            Ok(())
        }
    }

    /// The whole body.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `source` through the buffer in pieces of at most `piece` bytes, as a stream would.
    fn read(
        source: &[u8],
        announced: Option<usize>,
        limit: usize,
        piece: usize,
    ) -> Result<Vec<u8>, TooLarge> {
        let mut body = Body::new(announced, limit);
        let mut rest = source;
        while !rest.is_empty() {
            let mut buffer = body.lend();
            let spare = buffer.capacity() - buffer.len();
            assert!(spare > 0, "a read without room would never end");
            let (now, later) = rest.split_at(spare.min(piece).min(rest.len()));
            buffer.extend_from_slice(now);
            rest = later;
            body.take_back(buffer)?;
        }
        Ok(body.finish())
    }

    #[test]
    fn a_body_of_any_size_up_to_the_limit_arrives_whole() {
        let source: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for (announced, piece) in [
            (None, 1_000),
            (None, usize::MAX),
            (Some(100_000), usize::MAX),
            (Some(3), 777),
        ] {
            assert_eq!(
                read(&source, announced, 100_000, piece).as_deref(),
                Ok(source.as_slice())
            );
        }
        assert_eq!(read(&[], None, 0, 1), Ok(Vec::new()));
    }

    #[test]
    fn one_byte_too_many_is_refused_without_reading_on() {
        assert_eq!(read(&[0; 1_001], None, 1_000, 64), Err(TooLarge));
        let mut body = Body::new(Some(usize::MAX), 1_000);
        assert_eq!(
            body.lend().capacity(),
            1_001,
            "an absurd announcement reserves no more than the limit"
        );
    }
}
