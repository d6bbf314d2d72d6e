//! The body of a request on its way through. What is announced as larger than may be kept is handed on as it is, and no byte
//! of it comes here. Everything else is copied piece by piece, and kept as long as it is small enough, so that the request
//! can be sent once more.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::task::Poll;

use futures::future::{Either, ready};
use wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};

use crate::bindings::wasi::http::types::{ErrorCode, Trailers};
use crate::bindings::{wit_future, wit_stream};
use crate::forward::Call;
use crate::head::Content;

/// What is read of a body at once, bytes: all that is in memory of one that is not kept.
const PIECE: usize = 32 * 1024;

/// What is kept of all bodies together, bytes. A request beyond it is sent once.
const MAX_KEPT: usize = 8 * 1024 * 1024;

thread_local! {
    static KEPT: Cell<usize> = const { Cell::new(0) };
}

/// What a request is to be made with.
pub(crate) struct Outgoing {
    pub(crate) content: Option<StreamReader<u8>>,
    pub(crate) trailers: FutureReader<Result<Option<Trailers>, ErrorCode>>,
    /// What there is for a second time.
    pub(crate) kept: Kept,
}

/// A body for a second time.
pub(crate) enum Kept {
    /// There is none: it was larger than may be kept.
    Nothing,
    /// The request has no body.
    Empty,
    /// What has come so far.
    Copy(Rc<Copy>),
}

/// Begins to hand a body on. `announced` is its length, if the request says that.
pub(crate) async fn hand_on(
    content: Content,
    announced: Option<usize>,
    limit: usize,
    call: &Rc<Call>,
) -> Outgoing {
    let (content, trailers) = content;
    if announced.is_some_and(|length| length > limit) {
        return Outgoing {
            content: Some(content),
            trailers,
            kept: Kept::Nothing,
        };
    }
    let mut first = Box::pin(read(content));
    let first = match futures::poll!(first.as_mut()) {
        Poll::Ready(piece) if piece.is_last && piece.bytes.is_empty() => {
            return Outgoing {
                content: None,
                trailers,
                kept: Kept::Empty,
            };
        }
        Poll::Ready(piece) => Either::Left(ready(piece)),
        // whoever writes it may wait for the answer first
        Poll::Pending => Either::Right(first),
    };
    let copy = Rc::new(Copy::new(limit));
    let (writer, reader) = wit_stream::new();
    let (last, outgoing_trailers) = wit_future::new(|| Ok(None));
    wit_bindgen::spawn_local(carry(
        first,
        writer,
        (trailers, last),
        Rc::clone(&copy),
        Rc::clone(call),
    ));
    Outgoing {
        content: Some(reader),
        trailers: outgoing_trailers,
        kept: Kept::Copy(copy),
    }
}

/// Whether there is a second time.
pub(crate) fn can_be_sent_again(kept: &Kept) -> bool {
    match kept {
        Kept::Nothing => false,
        Kept::Empty => true,
        Kept::Copy(copy) => copy.is_kept() && copy.end.borrow().is_some(),
    }
}

/// The same body once more, if it has come whole and was kept.
pub(crate) fn again(kept: &Kept) -> Option<Outgoing> {
    let (bytes, trailers) = match kept {
        Kept::Nothing => return None,
        Kept::Empty => (Vec::new(), None),
        Kept::Copy(copy) => copy.whole()?,
    };
    let (last, outgoing_trailers) = wit_future::new(|| Ok(None));
    let content = (!matches!(kept, Kept::Empty)).then(|| {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            writer.write_all(bytes).await;
            drop(writer);
            _ = last.write(Ok(trailers)).await;
        });
        reader
    });
    Some(Outgoing {
        content,
        trailers: outgoing_trailers,
        kept: Kept::Nothing,
    })
}

/// A part of a body, and where the rest comes from.
struct Piece {
    content: StreamReader<u8>,
    bytes: Vec<u8>,
    is_last: bool,
}

async fn read(mut content: StreamReader<u8>) -> Piece {
    let (result, bytes) = content.read(Vec::with_capacity(PIECE)).await;
    Piece {
        content,
        bytes,
        is_last: !matches!(result, StreamResult::Complete(_)),
    }
}

type Ends = (
    FutureReader<Result<Option<Trailers>, ErrorCode>>,
    FutureWriter<Result<Option<Trailers>, ErrorCode>>,
);

/// Copies a body to its end. `_call` counts until then.
async fn carry(
    first: impl Future<Output = Piece>,
    mut writer: StreamWriter<u8>,
    (trailers, last): Ends,
    copy: Rc<Copy>,
    _call: Rc<Call>,
) {
    let mut piece = first.await;
    let mut is_wanted = true;
    loop {
        copy.add(&piece.bytes);
        if is_wanted && !piece.bytes.is_empty() {
            let rest = writer.write_all(piece.bytes).await;
            is_wanted = rest.is_empty();
        }
        if piece.is_last {
            break;
        }
        if !is_wanted && !copy.is_kept() {
            return;
        }
        piece = read(piece.content).await;
    }
    drop(writer);
    let trailers = trailers.await;
    copy.end(&trailers);
    _ = last.write(trailers).await;
}

/// A body that is kept as it passes, as long as it is small enough.
pub(crate) struct Copy {
    limit: usize,
    bytes: RefCell<Vec<u8>>,
    is_kept: Cell<bool>,
    /// What came after it; nothing before it has ended.
    end: RefCell<Option<Option<Trailers>>>,
}

impl Copy {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: RefCell::default(),
            is_kept: Cell::new(limit > 0),
            end: RefCell::default(),
        }
    }

    /// Keeps no more, and forgets what was kept: the request is not sent again.
    pub(crate) fn forget(&self) {
        self.is_kept.set(false);
        let bytes = self.bytes.take();
        KEPT.set(KEPT.get().saturating_sub(bytes.len()));
    }

    fn is_kept(&self) -> bool {
        self.is_kept.get()
    }

    fn add(&self, piece: &[u8]) {
        if !self.is_kept() {
            return;
        }
        let length = self.bytes.borrow().len() + piece.len();
        if length > self.limit || KEPT.get() + piece.len() > MAX_KEPT {
            self.forget();
            return;
        }
        KEPT.set(KEPT.get() + piece.len());
        self.bytes.borrow_mut().extend_from_slice(piece);
    }

    fn end(&self, trailers: &Result<Option<Trailers>, ErrorCode>) {
        match trailers {
            Ok(trailers) => {
                let trailers = trailers.as_ref().map(Trailers::clone);
                self.end.replace(Some(trailers));
            }
            Err(_) => self.forget(),
        }
    }

    /// All of it.
    fn whole(&self) -> Option<(Vec<u8>, Option<Trailers>)> {
        let end = self.end.borrow();
        let trailers = end.as_ref()?;
        let trailers = trailers.as_ref().map(Trailers::clone);
        self.is_kept()
            .then(|| (self.bytes.borrow().clone(), trailers))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.forget();
    }
}
