//! Records of what got tokens: lines of JSON, or logs by OTLP. None of them has a token in it, and a place that does not take
//! them fails no request.

mod otlp;

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use edgepass::Provider;
use edgepass::downstream::{Audit, Record};

use self::otlp::Otlp;
use crate::failure::Failure;

/// Where they go.
pub(crate) struct Log(Vec<Sink>);

struct Sink {
    place: Place,
    lost: Lost,
}

enum Place {
    StandardError,
    File(Mutex<File>, String),
    Otlp(Otlp),
}

impl Log {
    /// To these places; the sending begins with [`Self::start`].
    pub(crate) fn open(places: &[String]) -> Result<Self, Failure> {
        let sinks = places.iter().map(|text| {
            let place = match text.as_str() {
                "-" => Place::StandardError,
                url if is_url(url) => Place::Otlp(Otlp::to(url)?),
                path => Place::File(Mutex::new(file(Path::new(path))?), path.to_owned()),
            };
            Ok(Sink {
                place,
                lost: Lost::default(),
            })
        });
        sinks.collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is any.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.0.is_empty()
    }

    /// Has what goes over the network go by the authorities and proxies of that provider.
    pub(crate) fn start(&self, provider: &Provider) {
        for sink in &self.0 {
            if let Place::Otlp(otlp) = &sink.place {
                otlp.start(provider);
            }
        }
    }

    /// Waits for what is on its way, for some seconds, and says what did not arrive.
    pub(crate) async fn finish(&self) {
        for sink in &self.0 {
            let lost = match &sink.place {
                Place::Otlp(otlp) => otlp.finish().await,
                _ => sink.lost.count(),
            };
            if lost > 1 {
                ::log::error!(
                    "records of the audit were lost: {lost}, to {}",
                    sink.shown()
                );
            }
        }
    }
}

impl Audit for Log {
    fn write(&self, record: &Record) {
        let line = |to: &mut dyn Write| to.write_all(format!("{}\n", record.to_json()).as_bytes());
        for sink in &self.0 {
            let written = match &sink.place {
                Place::StandardError => line(&mut io::stderr().lock()),
                // in one piece: the file may be several processes'
                Place::File(file, _) => {
                    line(&mut *file.lock().unwrap_or_else(PoisonError::into_inner))
                }
                Place::Otlp(otlp) => {
                    otlp.take(record);
                    Ok(())
                }
            };
            if let Err(error) = written {
                sink.lost.add(1, &sink.shown(), &error);
            }
        }
    }
}

impl Sink {
    fn shown(&self) -> String {
        match &self.place {
            Place::StandardError => "standard error".to_owned(),
            Place::File(_, path) => path.clone(),
            Place::Otlp(otlp) => otlp.shown(),
        }
    }
}

/// Records that did not arrive. The first is said; so many requests may follow that a word about each would be the log.
#[derive(Default)]
struct Lost(AtomicU64);

impl Lost {
    fn add(&self, count: u64, place: &str, why: &dyn Display) {
        if self.0.fetch_add(count, Ordering::Relaxed) == 0 {
            ::log::error!(
                "a record of the audit is lost, and of further ones nothing is said before the end: {place}: {why}"
            );
        }
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Made for its owner alone, and appended to.
fn file(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|e| {
        Failure::setup(format!(
            "--audit: {} cannot be written: {e}",
            path.display()
        ))
    })
}
