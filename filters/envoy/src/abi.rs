//! The ABI of proxy-wasm 0.2.1: what this filter imports of it, and the memory that Envoy writes answers into.
//!
//! There is an SDK for it, the crate `proxy-wasm`. It keeps objects for every kind of context that there is, and code for
//! all that Envoy could tell each of them, which a linker cannot take out again: 30 kB that Envoy compiles at its start.
//! It also stops the module at a status that it does not expect, such as that of a function that the plugin's
//! capabilities leave out.

#![expect(unsafe_code, reason = "calls out of the module")]

use zeroize::Zeroizing;

/// Whether Envoy did what it was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub(crate) struct Status(u32);

impl Status {
    const OK: Self = Self(0);
    pub(crate) const NOT_FOUND: Self = Self(1);
    pub(crate) const BAD_ARGUMENT: Self = Self(2);
    pub(crate) const SERIALIZATION_FAILURE: Self = Self(3);

    fn ok(self) -> Result<(), Self> {
        if self == Self::OK { Ok(()) } else { Err(self) }
    }
}

/// How loud a line is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LogLevel {
    Info = 2,
    Warn = 3,
    Error = 4,
}

/// Headers that Envoy has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Headers {
    Request = 0,
    Response = 2,
    CallResponse = 6,
}

/// Bytes that Envoy has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Buffer {
    CallResponseBody = 4,
    PluginConfiguration = 7,
}

/// A kind of number that Envoy keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Metric {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}

/// Of streams, the one that a filter of requests lets go on.
const HTTP_REQUEST: u32 = 0;

/// Of WASI's clocks, the one that never goes back.
const MONOTONIC: u32 = 1;

/// Where there is no status of gRPC to be told.
const NO_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    safe fn proxy_get_current_time_nanoseconds(time: &mut u64) -> Status;
    fn proxy_log(level: u32, line: *const u8, line_size: usize) -> Status;
    safe fn proxy_set_tick_period_milliseconds(period: u32) -> Status;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> Status;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> Status;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        mark: *mut u32,
    ) -> Status;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        mark: u32,
    ) -> Status;
    safe fn proxy_set_effective_context(context: u32) -> Status;
    safe fn proxy_continue_stream(stream: u32) -> Status;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> Status;
    fn proxy_http_call(
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
    ) -> Status;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        argument: *const u8,
        argument_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> Status;
    safe fn proxy_record_metric(id: u32, value: u64) -> Status;
    safe fn proxy_increment_metric(id: u32, offset: i64) -> Status;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    safe fn clock_time_get(clock: u32, precision: u64, time: &mut u64) -> u32;
}

/// Which version this is.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Memory for something that Envoy hands over, which is [taken](Given::take) from there.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

/// Something that Envoy has handed over.
struct Given {
    data: *mut u8,
    size: usize,
}

impl Given {
    fn nothing() -> Self {
        Self {
            data: std::ptr::null_mut(),
            size: 0,
        }
    }

    fn take(self, status: Status) -> Result<Vec<u8>, Status> {
        status.ok()?;
        if self.data.is_null() {
            return Ok(Vec::new());
        }
        // SAFETY: Envoy writes where `proxy_on_memory_allocate` has told it to, which it asks for as many bytes as it
        // writes, and leaves them to the module
        Ok(unsafe { Vec::from_raw_parts(self.data, self.size, self.size) })
    }
}

// SAFETY, of every call here: Envoy reads or writes during the call alone, at a place that is valid for it, and as many
// bytes there as it is told.

pub(crate) fn log(level: LogLevel, line: &str) {
    // SAFETY: as above
    _ = unsafe { proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// Nanoseconds since 1970.
pub(crate) fn wall_clock() -> Option<u64> {
    let mut time = 0;
    let status = proxy_get_current_time_nanoseconds(&mut time);
    (status == Status::OK).then_some(time)
}

/// Nanoseconds of Envoy's `std::chrono::steady_clock`, which is the same in all VMs.
pub(crate) fn monotonic_clock() -> Option<u64> {
    let mut time = 0;
    (clock_time_get(MONOTONIC, 1, &mut time) == 0).then_some(time)
}

pub(crate) fn tick_every(ms: u32) {
    _ = proxy_set_tick_period_milliseconds(ms);
}

pub(crate) fn buffer(buffer: Buffer, max_size: usize) -> Result<Vec<u8>, Status> {
    let mut given = Given::nothing();
    // SAFETY: as above
    let status = unsafe {
        proxy_get_buffer_bytes(
            buffer as u32,
            0,
            max_size,
            &raw mut given.data,
            &raw mut given.size,
        )
    };
    given.take(status)
}

/// All of them, as [`pairs`] reads them.
pub(crate) fn headers(map: Headers) -> Result<Vec<u8>, Status> {
    let mut given = Given::nothing();
    // SAFETY: as above
    let status =
        unsafe { proxy_get_header_map_pairs(map as u32, &raw mut given.data, &raw mut given.size) };
    given.take(status)
}

pub(crate) fn header(map: Headers, name: &str) -> Result<Vec<u8>, Status> {
    let mut given = Given::nothing();
    // SAFETY: as above
    let status = unsafe {
        proxy_get_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            &raw mut given.data,
            &raw mut given.size,
        )
    };
    given.take(status)
}

pub(crate) fn set_header(map: Headers, name: &str, value: &str) {
    // SAFETY: as above
    _ = unsafe {
        proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    };
}

pub(crate) fn remove_header(map: Headers, name: &str) {
    // SAFETY: as above
    _ = unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
}

/// The names on the way to it have a zero between them.
pub(crate) fn property(path: &str) -> Result<Vec<u8>, Status> {
    let mut given = Given::nothing();
    // SAFETY: as above
    let status = unsafe {
        proxy_get_property(
            path.as_ptr(),
            path.len(),
            &raw mut given.data,
            &raw mut given.size,
        )
    };
    given.take(status)
}

/// With the mark of this state of it.
pub(crate) fn shared(key: &str) -> Result<(Vec<u8>, u32), Status> {
    let mut given = Given::nothing();
    let mut mark = 0;
    // SAFETY: as above
    let status = unsafe {
        proxy_get_shared_data(
            key.as_ptr(),
            key.len(),
            &raw mut given.data,
            &raw mut given.size,
            &raw mut mark,
        )
    };
    Ok((given.take(status)?, mark))
}

/// With a mark that is not zero, only if that is still its state.
pub(crate) fn set_shared(key: &str, value: &[u8], mark: u32) -> Result<(), Status> {
    // SAFETY: as above
    let status = unsafe {
        proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), mark)
    };
    status.ok()
}

pub(crate) fn set_effective_context(context: u32) -> Result<(), Status> {
    proxy_set_effective_context(context).ok()
}

pub(crate) fn resume_request() {
    _ = proxy_continue_stream(HTTP_REQUEST);
}

pub(crate) fn respond(status: u32, headers: &[(&str, &str)], body: &[u8]) {
    let headers = map(headers);
    // SAFETY: as above
    _ = unsafe {
        proxy_send_local_response(
            status,
            std::ptr::null(),
            0,
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    };
}

/// The number of the call.
pub(crate) fn http_call(
    cluster: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout_ms: u32,
) -> Result<u32, Status> {
    let headers = map(headers);
    let trailers = map(&[]);
    let mut call = 0;
    // SAFETY: as above
    let status = unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout_ms,
            &raw mut call,
        )
    };
    status.ok().map(|()| call)
}

pub(crate) fn foreign_function(name: &str, argument: &[u8]) -> Result<Vec<u8>, Status> {
    let mut given = Given::nothing();
    // SAFETY: as above
    let status = unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            argument.as_ptr(),
            argument.len(),
            &raw mut given.data,
            &raw mut given.size,
        )
    };
    given.take(status)
}

pub(crate) fn metric(kind: Metric, name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: as above
    let status =
        unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) };
    status.ok().map(|()| id)
}

pub(crate) fn record(metric: u32, value: u64) {
    _ = proxy_record_metric(metric, value);
}

pub(crate) fn increment(metric: u32, by: i64) {
    _ = proxy_increment_metric(metric, by);
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

/// Names and values out of that form. One that is not text is left out, and of a form that is none, all.
pub(crate) fn pairs(map: &[u8]) -> Vec<(String, String)> {
    let read = || {
        let (count, rest) = number(map)?;
        let (mut sizes, mut texts) = rest.split_at_checked(count.checked_mul(8)?)?;
        let mut next = || {
            let (size, rest) = number(sizes)?;
            sizes = rest;
            let (text, rest) = texts.split_at_checked(size)?;
            texts = rest.get(1..)?;
            Some(String::from_utf8(text.to_vec()))
        };
        let mut pairs = Vec::new();
        for _ in 0..count {
            if let (Ok(name), Ok(value)) = (next()?, next()?) {
                pairs.push((name, value));
            }
        }
        Some(pairs)
    };
    read().unwrap_or_default()
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_are_written() {
        for headers in [
            vec![],
            vec![(":status", "200")],
            vec![
                (":method", "POST"),
                ("empty", ""),
                ("é", "ü, ö"),
                ("a", "b"),
            ],
        ] {
            let written = map(&headers);
            assert_eq!(written.len(), written.capacity());
            let read = pairs(&written);
            let read: Vec<_> = read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(read, headers);
            // half of it is nothing, and nothing is nothing
            for end in 0..written.len() {
                let part = pairs(&written[..end]);
                assert!(part.is_empty(), "{part:?}");
            }
        }
    }

    #[test]
    fn a_header_that_is_no_text_is_left_out() {
        let mut written = map(&[("bad", "x"), ("good", "y")]).to_vec();
        let at = written.iter().position(|b| *b == b'x').unwrap();
        written[at] = 0xff;
        assert_eq!(pairs(&written), [("good".to_owned(), "y".to_owned())]);
        // a count that no memory has room for
        assert!(pairs(&[0xff; 64]).is_empty());
    }
}
