//! The calls out of the module that the SDK's host calls are not fit for.
//!
//! Its dispatcher is not used: it keeps objects for every kind of context that there is, and code for all that Envoy could
//! tell each of them, which Envoy would compile at its start. What Envoy calls is in [`entry`](crate::entry).

use edgepass_core::Zeroizing;
use proxy_wasm::types::Status;

/// Of WASI's clocks, the one that never goes back.
const MONOTONIC: u32 = 1;

#[expect(unsafe_code, reason = "calls out of the module")]
mod imports {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_http_call(
            cluster: *const u8,
            cluster_size: usize,
            headers: *const u8,
            headers_size: usize,
            body: *const u8,
            body_size: usize,
            trailers: *const u8,
            trailers_size: usize,
            timeout_ms: u32,
            call: *mut u32,
        ) -> u32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) safe fn clock_time_get(clock: u32, precision: u64, time: &mut u64) -> u32;

        pub(super) safe fn environ_sizes_get(count: &mut u32, bytes: &mut u32) -> u32;

        pub(super) fn environ_get(variables: *mut u32, bytes: *mut u8) -> u32;

        pub(super) fn random_get(bytes: *mut u8, count: usize) -> u32;
    }
}

/// Nanoseconds of Envoy's `std::chrono::steady_clock`, which is the same in all VMs.
pub(crate) fn monotonic_clock() -> Option<u64> {
    let mut time = 0;
    (imports::clock_time_get(MONOTONIC, 1, &mut time) == 0).then_some(time)
}

/// Fills it from Envoy's random source. `false` if there is none.
pub(crate) fn random(bytes: &mut [u8]) -> bool {
    // SAFETY: Envoy writes during the call alone, and no more than it is told
    #[expect(unsafe_code, reason = "a call out of the module")]
    let status = unsafe { imports::random_get(bytes.as_mut_ptr(), bytes.len()) };
    status == 0
}

/// The variables that the VM was given: `NAME=VALUE` each, with a zero behind it. Empty if Envoy does not say.
/// There may be secrets in it: a job's token.
pub(crate) fn environment() -> Zeroizing<Vec<u8>> {
    let (mut count, mut bytes) = (0, 0);
    if imports::environ_sizes_get(&mut count, &mut bytes) != 0 {
        return Zeroizing::default();
    }
    let size = |number: u32| usize::try_from(number).unwrap_or_default();
    let (mut places, mut text) = (vec![0; size(count)], Zeroizing::new(vec![0; size(bytes)]));
    // SAFETY: Envoy writes during the call alone, as much as it has said before; nothing runs between the two calls
    #[expect(unsafe_code, reason = "a call out of the module")]
    let status = unsafe { imports::environ_get(places.as_mut_ptr(), text.as_mut_ptr()) };
    if status != 0 {
        text.clear();
    }
    text
}

/// The number of the call. The SDK's function would keep it for the dispatcher, and leave copies of the headers behind.
pub(crate) fn http_call(
    cluster: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout_ms: u64,
) -> Result<u32, Status> {
    let headers = map(headers);
    let trailers = map(&[]);
    let mut call = 0;
    // SAFETY: Envoy reads and writes during the call alone, at places that are valid for it, and as many bytes there as
    // it is told
    #[expect(unsafe_code, reason = "a call out of the module")]
    let status = unsafe {
        imports::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            u32::try_from(timeout_ms).unwrap_or(u32::MAX),
            &raw mut call,
        )
    };
    // a number, because it need not be one that the SDK knows
    match status {
        0 => Ok(call),
        2 => Err(Status::BadArgument),
        _ => Err(Status::InternalFailure),
    }
}

/// Headers as Envoy takes them: how many there are, the sizes of each name and value, and these, each with a zero behind
/// it. Credentials may be among them, so there is room for all at once: growing would leave copies behind.
fn map(headers: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    let texts = || headers.iter().flat_map(|(name, value)| [name, value]);
    let room = texts().map(|text| text.len() + 5).sum::<usize>() + 4;
    let mut map = Zeroizing::new(Vec::with_capacity(room));
    map.extend_from_slice(&number(headers.len()));
    for text in texts() {
        map.extend_from_slice(&number(text.len()));
    }
    for text in texts() {
        map.extend_from_slice(text.as_bytes());
        map.push(0);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_written_as_envoy_reads_them() {
        assert_eq!(**map(&[]), [0, 0, 0, 0]);
        let written = map(&[(":path", "/a"), ("empty", "")]);
        assert_eq!(
            **written,
            *b"\x02\0\0\0\x05\0\0\0\x02\0\0\0\x05\0\0\0\0\0\0\0:path\0/a\0empty\0\0"
        );
        assert_eq!(written.len(), written.capacity());
    }
}
