//! The world outside: every host call of the filter is made here and nowhere else.
//!
//! A call that fails does so with `None` or `false`: Envoy says no more than a status number, and what is to be done
//! about it is the caller's knowledge.

use std::time::{Duration, UNIX_EPOCH};

use edgepass_core::{Environment, Now, Zeroizing};
use edgepass_rules::{Host, Level, Properties};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status};

use crate::abi;

/// Envoy, as the plugin with that root context sees it.
pub(crate) struct Envoy {
    root: u32,
}

impl Envoy {
    pub(crate) fn new(root: u32) -> Self {
        Self { root }
    }
}

impl Properties for Envoy {
    fn route_metadata(&self, filter: &str, key: &str) -> Option<String> {
        let path = ["xds", "route_metadata", "filter_metadata", filter, key];
        text(property(&path)?)
    }

    fn cluster(&self) -> Option<String> {
        text(property(&["xds", "cluster_name"])?)
    }

    fn host(&self) -> Option<String> {
        self.request_header(":authority")
    }

    fn path(&self) -> Option<String> {
        self.request_header(":path")
    }
}

impl Host for Envoy {
    fn now(&self) -> Now {
        // the engine copes with 0 as with any other wrong time
        let ms = |ns: Option<u64>| ns.unwrap_or_default() / 1_000_000;
        Now {
            unix_ms: ms(wall_clock()),
            mono_ms: ms(abi::monotonic_clock()),
        }
    }

    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
        };
        log(level, line);
    }

    fn tick_every(&self, ms: u64) {
        tick_every(ms);
    }

    fn shared(&self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        hostcalls::get_shared_data(key).unwrap_or_default()
    }

    fn set_shared(&self, key: &str, value: &[u8]) -> bool {
        hostcalls::set_shared_data(key, Some(value), None).is_ok()
    }

    fn swap_shared(&self, key: &str, value: &[u8], mark: u32) -> bool {
        hostcalls::set_shared_data(key, Some(value), Some(mark)).is_ok()
    }

    /// Only in a cluster's filters the upstream host has been chosen.
    fn sees_each_attempt(&self) -> bool {
        property(&["upstream", "address"]).is_some_and(|address| !address.is_empty())
    }

    fn request_header(&self, name: &str) -> Option<String> {
        text(hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok()??)
    }

    fn set_request_header(&self, name: &str, value: Option<&str>) {
        _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, value);
    }

    fn response_header(&self, name: &str) -> Option<String> {
        response_header(name)
    }

    /// Envoy says why a response is what it is; where it was made here, there is another word.
    fn answered_by_upstream(&self) -> bool {
        property(&["response", "code_details"]).is_some_and(|details| details == b"via_upstream")
    }

    fn enter(&self, request: u32) -> bool {
        hostcalls::set_effective_context(request).is_ok()
    }

    fn leave(&self) {
        _ = hostcalls::set_effective_context(self.root);
    }

    fn resume(&self) {
        _ = hostcalls::resume_http_request();
    }

    fn respond(&self, status: u32, headers: &[(&str, &str)], body: &str) {
        respond(status, headers, body);
    }
}

/// Nanoseconds since 1970.
fn wall_clock() -> Option<u64> {
    let time = hostcalls::get_current_time().ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// A seed for jitter and unguessable names, or `None` without a random source.
pub(crate) fn seed() -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    abi::random(&mut seed).then_some(seed)
}

/// Envoy's random source.
#[cfg(feature = "every-credential")]
pub(crate) struct Random;

#[cfg(feature = "every-credential")]
mod random {
    use std::fmt;

    use rsa::rand_core::{TryCryptoRng, TryRng};

    use super::Random;
    use crate::abi;

    /// There are none, for example because the plugin's capabilities leave them out.
    #[derive(Debug)]
    pub(crate) struct NoNumbers;

    impl fmt::Display for NoNumbers {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("there is no source of random numbers")
        }
    }

    impl std::error::Error for NoNumbers {}

    impl TryRng for Random {
        type Error = NoNumbers;

        fn try_next_u32(&mut self) -> Result<u32, NoNumbers> {
            let mut bytes = [0; 4];
            self.try_fill_bytes(&mut bytes)?;
            Ok(u32::from_le_bytes(bytes))
        }

        fn try_next_u64(&mut self) -> Result<u64, NoNumbers> {
            let mut bytes = [0; 8];
            self.try_fill_bytes(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), NoNumbers> {
            match abi::random(bytes) {
                true => Ok(()),
                false => Err(NoNumbers),
            }
        }
    }

    impl TryCryptoRng for Random {}
}

/// The variables that the VM was given.
pub(crate) fn environment() -> Environment {
    let text = abi::environment();
    let variables = text.split(|byte| *byte == 0);
    Environment::from_pairs(
        variables.filter_map(|variable| std::str::from_utf8(variable).ok()?.split_once('=')),
    )
}

/// The configuration of the plugin.
pub(crate) fn configuration() -> Option<Vec<u8>> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX).ok()?
}

/// A property of the plugin, the request or its route.
pub(crate) fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok()?
}

/// Writes a line about what keeps the plugin from working.
pub(crate) fn error(message: &str) {
    log(LogLevel::Error, message);
}

/// Writes one line. A name out of the configuration may have a line end in it, and what comes after that would look
/// like a line of Envoy's own.
fn log(level: LogLevel, message: &str) {
    let line = message.replace(|c| !edgepass_core::is_printable(c), " ");
    _ = hostcalls::log(level, &line);
}

/// When the next tick comes.
pub(crate) fn tick_every(ms: u64) {
    _ = hostcalls::set_tick_period(Duration::from_millis(ms));
}

/// A header of the response at hand.
pub(crate) fn response_header(name: &str) -> Option<String> {
    text(hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, name).ok()??)
}

fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok()
}

/// Answers the request at hand instead of the upstream.
pub(crate) fn respond(status: u32, headers: &[(&str, &str)], body: &str) {
    _ = hostcalls::send_http_response(status, headers.to_vec(), Some(body.as_bytes()));
}

/// Sends a request to a cluster, and names the call. `Err` says whether the cluster is unknown.
pub(crate) fn call(
    cluster: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout_ms: u64,
) -> Result<u32, CallError> {
    abi::http_call(cluster, headers, body, timeout_ms.max(1)).map_err(|status| match status {
        Status::BadArgument => CallError::UnknownCluster,
        _ => CallError::Refused,
    })
}

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CallError {
    /// Envoy has no such cluster.
    UnknownCluster,
    /// Envoy did not take the call, for example because the plugin's capabilities leave it out.
    Refused,
}

/// The headers of the call's response that has come.
pub(crate) fn call_headers() -> Vec<(String, String)> {
    let headers = hostcalls::get_map_bytes(MapType::HttpCallResponseHeaders).unwrap_or_default();
    headers
        .into_iter()
        .filter_map(|(name, value)| Some((name, text(value)?)))
        .collect()
}

/// The beginning of its body.
pub(crate) fn call_body(max_bytes: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, max_bytes)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Signs with Envoy's function `sign`: SHA-256, and RSA PKCS#1 v1.5 or ECDSA as the key is. `key` is PEM.
pub(crate) fn sign_sha256(key: &[u8], input: &[u8]) -> Result<Vec<u8>, SignError> {
    // SignArguments { hash_function = 1, text = 3, private_key_pem = 4 }, with room for everything at once: growing
    // would leave copies of the key behind
    let mut arguments = Zeroizing::new(Vec::with_capacity(key.len() + input.len() + 64));
    protobuf::put(1, b"sha256", &mut arguments);
    protobuf::put(3, input, &mut arguments);
    protobuf::put(4, key, &mut arguments);
    let signed = hostcalls::call_foreign_function("sign", Some(arguments.as_slice()));
    match signed.map(Option::unwrap_or_default) {
        // SignResult { result = 1, signature = 2, error = 3 }
        Ok(result) => protobuf::get(2, &result)
            .filter(|signature| !signature.is_empty())
            .ok_or(SignError::BadKey),
        Err(Status::BadArgument | Status::SerializationFailure) => Err(SignError::BadKey),
        Err(Status::NotFound) => Err(SignError::Missing),
        Err(_) => Err(SignError::Forbidden),
    }
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SignError {
    /// Envoy has no such function.
    Missing,
    /// Envoy did not take the call, for example because the plugin's capabilities leave it out.
    Forbidden,
    /// It is not a key that Envoy can sign with.
    BadKey,
}

mod protobuf {
    //! The two messages of the function `sign`, which are texts with numbers.

    /// The wire type of texts and bytes.
    const LENGTH_DELIMITED: u64 = 2;

    pub(super) fn put(field: u64, data: &[u8], out: &mut Vec<u8>) {
        put_number(field << 3 | LENGTH_DELIMITED, out);
        put_number(u64::try_from(data.len()).unwrap_or(u64::MAX), out);
        out.extend_from_slice(data);
    }

    /// The bytes of a field. `None` if it is not there, or the message is of another kind.
    pub(super) fn get(wanted: u64, mut message: &[u8]) -> Option<Vec<u8>> {
        loop {
            let tag = take_number(&mut message)?;
            let number = take_number(&mut message)?;
            if tag & 7 == 0 {
                continue;
            }
            if tag & 7 != LENGTH_DELIMITED {
                return None;
            }
            let (data, rest) = message.split_at_checked(usize::try_from(number).ok()?)?;
            if tag >> 3 == wanted {
                return Some(data.to_vec());
            }
            message = rest;
        }
    }

    fn put_number(mut number: u64, out: &mut Vec<u8>) {
        while number > 0x7f {
            out.push(low_bits(number) | 0x80);
            number >>= 7;
        }
        out.push(low_bits(number));
    }

    fn low_bits(number: u64) -> u8 {
        u8::try_from(number & 0x7f).unwrap_or_default()
    }

    fn take_number(message: &mut &[u8]) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = message.split_first()?;
            *message = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_put_is_got() {
            let mut message = vec![0x08, 0x01];
            put(2, &[7; 300], &mut message);
            put(3, b"", &mut message);
            assert_eq!(message.get(2..5), Some(&[0x12, 0xac, 0x02][..]));
            assert_eq!(get(2, &message), Some(vec![7; 300]));
            assert_eq!(get(3, &message), Some(Vec::new()));
            assert_eq!(get(4, &message), None);
            assert_eq!(get(3, &message[..20]), None);
        }
    }
}

/// Makes a metric known, or finds it.
pub(crate) fn metric(kind: MetricType, name: &str) -> Option<u32> {
    hostcalls::define_metric(kind, name).ok()
}

/// Adds to a counter.
pub(crate) fn add(metric: u32, count: u64) {
    _ = hostcalls::increment_metric(metric, i64::try_from(count).unwrap_or(i64::MAX));
}

/// Sets a gauge, or adds a value to a histogram.
pub(crate) fn record(metric: u32, value: u64) {
    _ = hostcalls::record_metric(metric, value);
}
