//! The component's entry points. `wit-bindgen` makes all of them; four are wrapped to free what it forgets.
//!
//! A caller hands over a record that is too large for registers in memory that it has the callee allocate. wit-bindgen
//! 0.63 frees that memory after it has read it in a plain `func`, but not in an `async func` (`abi::Generator::call` of
//! wit-bindgen-core: `indirect_params && !async_`). It is 128 bytes for each `get-token`, `get-header` and `opaque-tokens.get`, and
//! 108 for each `authorization-url`: a component that asks a thousand times a second would lose its instance to the memory limit within minutes. The workspace pins
//! that version; with one that frees, this module shrinks to its last line.

#![expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; what is not wit-bindgen's here only frees"
)]

use std::alloc::{Layout, dealloc};

use crate::bindings::exports::edgepass::credentials::credential_provider::__export_edgepass_credentials_credential_provider_0_2_0_cabi as export_credential_provider;
use crate::bindings::exports::edgepass::credentials::opaque_tokens::__export_edgepass_credentials_opaque_tokens_0_2_0_cabi as export_opaque_tokens;
use crate::bindings::exports::edgepass::credentials::status;
use crate::bindings::exports::edgepass::credentials::status::__export_edgepass_credentials_status_0_2_0_cabi as export_status;
use crate::export::Component;

/// Of a `token-request`, words of wasm32.
const REQUEST_WORDS: usize = 32;

/// Of the parameters of `authorization-url` together, words.
const AUTHORIZATION_WORDS: usize = 27;

/// Where a `token-request` arrives.
const REQUEST_AREA: Layout = Layout::new::<[usize; REQUEST_WORDS]>();

/// Where the parameters of `authorization-url` arrive.
const AUTHORIZATION_AREA: Layout = Layout::new::<[usize; AUTHORIZATION_WORDS]>();

/// Frees the area of a call that has read it.
///
/// # Safety
///
/// `area` is the parameter of an entry point that takes one `token-request`, and that entry point has returned.
unsafe fn free_request(area: *mut u8) {
    // SAFETY: the caller had it allocated by `cabi_realloc`, which uses the global allocator, with the size and
    // alignment of the record (a test computes them from the WIT). It is ours since, and nobody else frees it.
    unsafe { dealloc(area, REQUEST_AREA) }
}

/// The functions of `credential-provider` as the bindings have them, but for three of them.
mod tokens {
    use crate::bindings::exports::edgepass::credentials::credential_provider as bindings;

    pub(super) use bindings::{
        __callback_authorization_url, __callback_get_client_assertion, __callback_get_header,
        __callback_get_token, __callback_try_credentials, __post_return_cached_token,
        __post_return_report_rejection, _export_cached_token_cabi, _export_drop_cached_cabi,
        _export_end_session_cabi, _export_get_client_assertion_cabi, _export_report_rejection_cabi,
        _export_try_credentials_cabi,
    };

    /// # Safety
    ///
    /// As of the function of that name in the bindings.
    pub(super) unsafe fn _export_authorization_url_cabi<T: bindings::Guest>(
        parameters: *mut u8,
    ) -> i32 {
        // SAFETY: handed through, and read whole in the first poll as the others. The area was allocated for all parameters
        // together, of which a test computes the size.
        unsafe {
            let status = bindings::_export_authorization_url_cabi::<T>(parameters);
            super::dealloc(parameters, super::AUTHORIZATION_AREA);
            status
        }
    }

    /// # Safety
    ///
    /// As of the function of that name in the bindings.
    pub(super) unsafe fn _export_get_token_cabi<T: bindings::Guest>(request: *mut u8) -> i32 {
        // SAFETY: handed through. The first poll, which happens before it returns, reads the request whole: nothing
        // is awaited before the implementation is called with it.
        unsafe {
            let status = bindings::_export_get_token_cabi::<T>(request);
            super::free_request(request);
            status
        }
    }

    /// # Safety
    ///
    /// As of the function of that name in the bindings.
    pub(super) unsafe fn _export_get_header_cabi<T: bindings::Guest>(request: *mut u8) -> i32 {
        // SAFETY: as above.
        unsafe {
            let status = bindings::_export_get_header_cabi::<T>(request);
            super::free_request(request);
            status
        }
    }
}

/// The functions of `opaque-tokens` as the bindings have them, but for one.
mod opaque {
    use crate::bindings::exports::edgepass::credentials::opaque_tokens as bindings;

    pub(super) use bindings::{
        __callback_get, __post_return_method_token_authorize, __post_return_method_token_info,
        __post_return_method_token_report_rejection, _export_fresh_cabi,
        _export_method_token_authorize_cabi, _export_method_token_info_cabi,
        _export_method_token_report_rejection_cabi, Guest, Token,
    };

    /// # Safety
    ///
    /// As of the function of that name in the bindings.
    pub(super) unsafe fn _export_get_cabi<T: Guest>(request: *mut u8) -> i32 {
        // SAFETY: as of `get-token`.
        unsafe {
            let status = bindings::_export_get_cabi::<T>(request);
            super::free_request(request);
            status
        }
    }
}

// what `bindings::export!` comes to, with the wrapped functions
export_credential_provider!(Component with_types_in tokens);
export_opaque_tokens!(Component with_types_in opaque);
export_status!(Component with_types_in status);

#[cfg(test)]
mod tests {
    use wit_parser::{Resolve, SizeAlign, Type};

    use super::{AUTHORIZATION_WORDS, REQUEST_WORDS};

    /// Bytes of a word of wasm32, for which the constants are.
    const WORD: usize = 4;

    #[test]
    fn the_freed_area_has_the_size_of_a_request() {
        let mut resolve = Resolve::default();
        resolve.push_dir("../../wit").unwrap();
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve).unwrap();
        let named = |name: &str| {
            let mut types = resolve.types.iter();
            let found = types.find(|(_, definition)| definition.name.as_deref() == Some(name));
            Type::Id(found.unwrap().0)
        };
        let request = named("token-request");
        // an optional text before the record: whether it is there, where, and how long
        let options = named("authorization-options");
        let with_text = sizes.size(&options).size_wasm32() + 3 * WORD;
        assert_eq!(with_text, AUTHORIZATION_WORDS * WORD);
        assert_eq!(sizes.align(&options).align_wasm32(), WORD);
        assert_eq!(sizes.size(&request).size_wasm32(), REQUEST_WORDS * WORD);
        assert_eq!(sizes.align(&request).align_wasm32(), WORD);
    }
}
