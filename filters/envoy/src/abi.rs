//! The ABI of proxy-wasm, through its SDK.
//!
//! Of the SDK these are the host calls. Its dispatcher is left out: it keeps objects for every kind of context that there
//! is, and code for all that Envoy could tell each of them, which Envoy would compile at its start. What Envoy calls is in
//! [`entry`](crate::entry), and the one host call that registers with the dispatcher is made here.

use std::time::{Duration, UNIX_EPOCH};

use edgepass_core::Zeroizing;
use proxy_wasm::hostcalls;

pub(crate) use proxy_wasm::types::{
    BufferType as Buffer, LogLevel, MapType as Headers, MetricType as Metric, Status,
};

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
    }
}

pub(crate) fn log(level: LogLevel, line: &str) {
    _ = hostcalls::log(level, line);
}

/// Nanoseconds since 1970.
pub(crate) fn wall_clock() -> Option<u64> {
    let time = hostcalls::get_current_time().ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// Nanoseconds of Envoy's `std::chrono::steady_clock`, which is the same in all VMs.
pub(crate) fn monotonic_clock() -> Option<u64> {
    let mut time = 0;
    (imports::clock_time_get(MONOTONIC, 1, &mut time) == 0).then_some(time)
}

pub(crate) fn tick_every(ms: u64) {
    _ = hostcalls::set_tick_period(Duration::from_millis(ms));
}

pub(crate) fn buffer(buffer: Buffer, max_size: usize) -> Option<Vec<u8>> {
    hostcalls::get_buffer(buffer, 0, max_size).ok()?
}

/// All of them whose values are text.
pub(crate) fn headers(map: Headers) -> Vec<(String, String)> {
    let headers = hostcalls::get_map_bytes(map).unwrap_or_default();
    let text = |(name, value)| Some((name, String::from_utf8(value).ok()?));
    headers.into_iter().filter_map(text).collect()
}

pub(crate) fn header(map: Headers, name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(map, name).ok()?
}

pub(crate) fn set_header(map: Headers, name: &str, value: Option<&str>) {
    _ = hostcalls::set_map_value(map, name, value);
}

pub(crate) fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok()?
}

/// With the mark of this state of it.
pub(crate) fn shared(key: &str) -> (Option<Vec<u8>>, Option<u32>) {
    hostcalls::get_shared_data(key).unwrap_or_default()
}

/// With a mark, only if that is still its state.
pub(crate) fn set_shared(key: &str, value: &[u8], mark: Option<u32>) -> bool {
    hostcalls::set_shared_data(key, Some(value), mark).is_ok()
}

pub(crate) fn set_effective_context(context: u32) -> bool {
    hostcalls::set_effective_context(context).is_ok()
}

pub(crate) fn resume_request() {
    _ = hostcalls::resume_http_request();
}

pub(crate) fn respond(status: u32, headers: &[(&str, &str)], body: &str) {
    _ = hostcalls::send_http_response(status, headers.to_vec(), Some(body.as_bytes()));
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

pub(crate) fn foreign_function(name: &str, argument: &[u8]) -> Result<Vec<u8>, Status> {
    hostcalls::call_foreign_function(name, Some(argument)).map(Option::unwrap_or_default)
}

pub(crate) fn metric(kind: Metric, name: &str) -> Option<u32> {
    hostcalls::define_metric(kind, name).ok()
}

pub(crate) fn record(metric: u32, value: u64) {
    _ = hostcalls::record_metric(metric, value);
}

pub(crate) fn increment(metric: u32, by: i64) {
    _ = hostcalls::increment_metric(metric, by);
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
