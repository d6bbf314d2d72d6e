//! Base64 in its standard alphabet (RFC 4648 section 4), with one engine for all: where the library's constants are named,
//! each of them brings its tables of 320 bytes into a module again.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Writes padding, and reads with and without.
pub static BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
