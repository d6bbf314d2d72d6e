//! What the component is told when it starts, over either version of WASI.

use edgepass_core::Environment;

use crate::bindings::wasi::cli::environment;
use crate::bindings::wasi::random::random;

/// The environment variables.
pub(crate) fn environment() -> Environment {
    Environment::from_pairs(environment::get_environment())
}

/// A seed for jitter and unguessable names, from the host's random source.
pub(crate) fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for (to, from) in seed.iter_mut().zip(random::get_random_bytes(32)) {
        *to = from;
    }
    seed
}
