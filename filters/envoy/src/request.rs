//! The callbacks that every request passes.
//!
//! A request leaves nothing behind unless it has to wait.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use edgepass_rules::{NO_TOKEN_YET, Passage, Requests, refuse};

use crate::host::{self, Envoy};

/// The requests of one root context.
type Filtered = Requests<Envoy>;

thread_local! {
    /// The root contexts of this VM, those that are configured with their requests. Plugins with the same code and
    /// `vm_id` share a VM, and a plugin whose configuration is replaced has two of them for a while.
    static ROOTS: RefCell<Vec<(u32, Option<Rc<Filtered>>)>> = const { RefCell::new(Vec::new()) };
    /// The root context of the request that was begun last. Envoy announces a request immediately before it hands over
    /// its headers.
    static BEGUN: Cell<u32> = const { Cell::new(0) };
}

/// From now on these are the requests of that root context.
pub(crate) fn configured(root: u32, requests: &Rc<Filtered>) {
    ROOTS.with_borrow_mut(|roots| {
        roots.retain(|(known, _)| *known != root);
        roots.push((root, Some(Rc::clone(requests))));
    });
}

/// There is a new context: a root, which belongs to none, or a request.
pub(crate) fn created(id: u32, root: u32) {
    if root == 0 {
        ROOTS.with_borrow_mut(|roots| roots.push((id, None)));
    } else {
        BEGUN.set(root);
    }
}

/// A context is gone. Whether it was a root.
pub(crate) fn gone(id: u32) -> bool {
    ROOTS.with_borrow_mut(|roots| {
        for (_, filter) in roots.iter() {
            // to let a request go on whose caller has left crashes Envoy 1.37
            if let Some(filter) = filter {
                filter.forget(id);
            }
        }
        let before = roots.len();
        roots.retain(|(known, _)| *known != id);
        roots.len() < before
    })
}

/// The headers of a request have come. Whether it has to stop here.
pub(crate) fn headers_came(id: u32) -> bool {
    let filter = ROOTS.with_borrow(|roots| {
        let mut found = roots.iter();
        let found = match roots.len() {
            1 => found.next(),
            _ => found.find(|(root, _)| *root == BEGUN.get()),
        };
        found.and_then(|(_, filter)| filter.clone())
    });
    match filter {
        Some(filter) => matches!(filter.pass(id), Passage::Stop),
        // Envoy lets no request in before its plugin is configured; if it did, nothing would say what to do with it
        None => {
            refuse(NO_TOKEN_YET, host::respond);
            true
        }
    }
}

/// The headers of a response have come. Which plugin's request it answers is not known here, and need not be: each
/// knows its own.
pub(crate) fn response_came(id: u32) {
    let wanted = ROOTS.with_borrow(|roots| {
        let mut filters = roots.iter().filter_map(|(_, filter)| filter.as_ref());
        filters.any(|filter| filter.should_inspect_status())
    });
    if !wanted || host::response_header(":status").as_deref() != Some("401") {
        return;
    }
    let filters: Vec<Rc<Filtered>> = ROOTS.with_borrow(|roots| {
        let filters = roots.iter().filter_map(|(_, filter)| filter.clone());
        filters.collect()
    });
    for filter in filters {
        filter.unauthorized(id);
    }
}
