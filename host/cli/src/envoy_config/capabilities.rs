//! What Envoy lets the filter do, and what it calls the filter for.

/// The calls of `capability_restriction_config`: the filter's imports and exports by name, and no more than it needs.
/// A test compares them, and [`SIGNING`], with those of the module itself.
pub(super) const CAPABILITIES: &[&str] = &[
    "proxy_on_context_create",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
    "proxy_on_http_call_response",
    "proxy_on_delete",
    "proxy_log",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_set_effective_context",
    "proxy_get_buffer_bytes",
    "proxy_get_property",
    "proxy_get_header_map_value",
    "proxy_get_header_map_pairs",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_continue_stream",
    "proxy_send_local_response",
    "proxy_http_call",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "clock_time_get",
    "random_get",
    "environ_get",
    "environ_sizes_get",
];

/// What it needs as well to sign assertions: Envoy's function `sign`, in Envoy from 1.37 on.
pub(super) const SIGNING: &[&str] = &["proxy_call_foreign_function"];
