//! A buffer for a response body that may hold a token: bounded, and no copy of it stays behind when it grows.

use edgepass_core::wipe;

/// The first piece of a body, bytes. Token responses are 2 to 5 KiB, and asking for the announced length is a call of the
/// host.
const FIRST_PIECE: usize = 4 * 1024;

/// Collects a body up to a limit.
pub(crate) struct Body {
    bytes: Vec<u8>,
    limit: usize,
}

/// The body is larger than its limit.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct TooLarge;

impl Body {
    /// A buffer that is large enough at once for a token response.
    pub(crate) fn new(limit: usize) -> Self {
        // one byte more than allowed, so that what is too large is seen
        Self {
            bytes: Vec::with_capacity(FIRST_PIECE.min(limit.saturating_add(1))),
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
    fn read(source: &[u8], limit: usize, piece: usize) -> Result<Vec<u8>, TooLarge> {
        let mut body = Body::new(limit);
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
        for piece in [777, 1_000, FIRST_PIECE, usize::MAX] {
            assert_eq!(
                read(&source, 100_000, piece).as_deref(),
                Ok(source.as_slice())
            );
        }
        assert_eq!(read(&[], 0, 1), Ok(Vec::new()));
    }

    #[test]
    fn one_byte_too_many_is_refused_without_reading_on() {
        assert_eq!(read(&[0; 1_001], 1_000, 64), Err(TooLarge));
        assert_eq!(Body::new(1_000).lend().capacity(), 1_001);
        assert_eq!(Body::new(usize::MAX).lend().capacity(), FIRST_PIECE);
    }
}
