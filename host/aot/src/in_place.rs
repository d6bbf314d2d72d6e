//! Machine code that runs from the pages of the program's own file.
//!
//! wasmtime would copy it into memory of its own: some megabytes that every
//! process has for itself, and a millisecond at every start. Elsewhere than on
//! Linux it does so.

use wasmtime::Config;

/// Something at the beginning of a page, on any machine with pages up to 64 KiB.
#[repr(C)]
#[cfg_attr(target_arch = "x86_64", repr(align(4096)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(align(65536)))]
pub(crate) struct Pages<T: ?Sized>(pub(crate) T);

/// Lets an engine run code where it lies.
#[cfg(target_os = "linux")]
pub(crate) fn allow(config: &mut Config) {
    config.with_custom_code_memory(Some(std::sync::Arc::new(linux::Publisher)));
}

/// Lets an engine run code where it lies.
#[cfg(not(target_os = "linux"))]
pub(crate) fn allow(_: &mut Config) {}

/// Whether the protection of these bytes can be set apart from that of others.
#[cfg(target_os = "linux")]
pub(crate) fn possible(bytes: &[u8]) -> bool {
    bytes
        .as_ptr()
        .addr()
        .is_multiple_of(rustix::param::page_size())
}

/// Whether the protection of these bytes can be set apart from that of others.
#[cfg(not(target_os = "linux"))]
pub(crate) fn possible(_: &[u8]) -> bool {
    false
}

#[cfg(target_os = "linux")]
mod linux {
    use rustix::mm::{MprotectFlags, mprotect};
    use wasmtime::{CustomCodeMemory, Error, Result};

    /// Makes code executable, wherever it lies.
    pub(super) struct Publisher;

    impl CustomCodeMemory for Publisher {
        fn required_alignment(&self) -> usize {
            rustix::param::page_size()
        }

        fn publish_executable(&self, code: *const u8, len: usize) -> Result<()> {
            let flags = MprotectFlags::READ | MprotectFlags::EXEC;
            #[expect(unsafe_code, reason = "there is no other way to run machine code")]
            // SAFETY: wasmtime gives a range of whole pages that holds code and
            // nothing else: of a mapping of its own, or of `CODE`, which lies in
            // a read-only segment. Neither is written to from here on.
            let done = unsafe { mprotect(code.cast_mut().cast(), len, flags) };
            done.map_err(|e| {
                Error::msg(format!(
                    "the component's code cannot be made executable: {e}"
                ))
            })
        }

        /// Code is never edited here, and memory that is given back needs nothing.
        fn unpublish_executable(&self, _: *const u8, _: usize) -> Result<()> {
            Ok(())
        }
    }
}
