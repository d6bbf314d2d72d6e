//! Records of what got tokens: lines of JSON, or logs by OTLP. None of them has a token in it, and a place that does not take
//! them fails no request, and holds none up for long.

mod otlp;

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use edgepass::Provider;
use edgepass::downstream::{Audit, Record};

use self::otlp::Otlp;
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::lines::{Lines, Room};
use crate::read;

/// How long the end of the program waits for each place.
const LAST: Duration = Duration::from_secs(5);

/// Why a record is lost for which there is no place.
const FULL: &str = "there are more than are taken";

/// Why records are lost for which the end of the program does not wait.
const LATE: &str = "it is not taken in time";

/// Where they go.
pub(crate) struct Sinks(Vec<Sink>);

enum Sink {
    Lines(Lines, Arc<Lost>),
    Otlp(Otlp),
}

impl Sinks {
    /// To these places, of which none is a file that is read; the sending begins with [`Self::start`].
    pub(crate) fn open(places: &[String], inputs: &Inputs) -> Result<Self, Failure> {
        let sinks = places.iter().map(|text| {
            let (place, shown) = match text.as_str() {
                "-" => {
                    let stderr = crate::log::stderr();
                    let stderr = stderr.map_err(|e| wrong(&format!("standard error: {e}")))?;
                    (stderr, "standard error")
                }
                url if is_url(url)? => return Otlp::to(url).map(Sink::Otlp),
                path => {
                    // before it is touched
                    inputs.check("--audit", Path::new(path))?;
                    (Box::new(file(Path::new(path))?) as Box<_>, path)
                }
            };
            let lost = Arc::new(Lost::to(shown.to_owned()));
            let told = Arc::clone(&lost);
            let lines = Lines::to(place, move |error| told.add(1, &error));
            let lines = lines.map_err(|e| wrong(&format!("no thread: {e}")))?;
            Ok(Sink::Lines(lines, lost))
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
            if let Sink::Otlp(otlp) = sink {
                otlp.start(provider);
            }
        }
    }

    /// Waits for what is on its way, for some seconds, and says what did not arrive.
    pub(crate) async fn finish(&self) {
        for sink in &self.0 {
            let lost = match sink {
                Sink::Lines(lines, lost) => {
                    lost.add(lines.room().empty(LAST).await, &LATE);
                    &**lost
                }
                Sink::Otlp(otlp) => otlp.finish().await,
            };
            lost.say_all();
        }
    }
}

impl Audit for Sinks {
    fn write(&self, record: &Record) {
        for sink in &self.0 {
            match sink {
                Sink::Lines(lines, lost) => {
                    if !lines.push(format!("{}\n", record.to_json())) {
                        lost.add(1, &FULL);
                    }
                }
                Sink::Otlp(otlp) => otlp.take(record),
            }
        }
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            for sink in &self.0 {
                sink.room().wait().await;
            }
        })
    }
}

impl Sink {
    fn room(&self) -> &Room {
        match self {
            Self::Lines(lines, _) => lines.room(),
            Self::Otlp(otlp) => otlp.room(),
        }
    }
}

/// Records that did not arrive. The first is said; so many requests may follow that a word about each would be the log.
struct Lost {
    place: String,
    count: AtomicU64,
}

impl Lost {
    fn to(place: String) -> Self {
        Self {
            place,
            count: AtomicU64::new(0),
        }
    }

    fn add(&self, count: u64, why: &dyn Display) {
        if count > 0 && self.count.fetch_add(count, Ordering::Relaxed) == 0 {
            ::log::error!(
                "a record of the audit is lost, and of further ones nothing is said before the end: {}: {why}",
                self.place
            );
        }
    }

    fn say_all(&self) {
        let count = self.count.load(Ordering::Relaxed);
        if count > 1 {
            ::log::error!("records of the audit were lost: {count}, to {}", self.place);
        }
    }
}

fn wrong(why: &str) -> Failure {
    Failure::setup(format!("--audit: {why}"))
}

/// Whether it is a URL of a scheme that there is, and not a file. What has the look of another place on the network is neither.
fn is_url(text: &str) -> Result<bool, Failure> {
    const HINT: &str = "write http://HOST:4318 or https://HOST/v1/logs for a receiver of OTLP, and ./NAME for a file of such a name";

    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    if let Some((scheme, _)) = text
        .split_once("://")
        .filter(|(scheme, _)| is_scheme(scheme))
    {
        return match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Ok(true),
            // what follows may have a password
            _ => Err(wrong(&format!("records cannot be sent by {scheme}://")).hint(HINT)),
        };
    }
    let place = text.split('/').next().unwrap_or_default();
    let is_host_and_port = place.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && (!host.contains(':') || host.starts_with('['))
            && (1..=5).contains(&port.len())
            && port.bytes().all(|b| b.is_ascii_digit())
    });
    let begins_with_scheme = ["http:", "https:"].iter().any(|scheme| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    if is_host_and_port || begins_with_scheme {
        return Err(wrong("this is neither a URL nor plainly a file").hint(HINT));
    }
    Ok(false)
}

/// Made for its owner alone, and appended to.
fn file(path: &Path) -> Result<File, Failure> {
    let shown = read::shown(path);
    let cannot = |e: io::Error| {
        wrong(&format!("{shown} cannot be written: {e}"))
            .hint("name a file in a folder that is there and that this process may write in")
    };
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // a pipe would wait for its reader
        let at_once = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        options.mode(0o600).custom_flags(at_once);
    }
    let opened = options.open(path);
    #[cfg(unix)]
    let opened = match opened {
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            let failure = wrong(&format!("{shown} is a pipe or a socket that nobody reads"));
            return Err(failure.hint("start what reads the pipe before, or name a file"));
        }
        // it may wait from here on: it is written to by a thread of its own
        Ok(file) => rustix::fs::fcntl_getfl(&file)
            .and_then(|flags| {
                rustix::fs::fcntl_setfl(&file, flags.difference(rustix::fs::OFlags::NONBLOCK))
            })
            .map(|()| file)
            .map_err(Into::into),
        Err(e) => Err(e),
    };
    let mut file = opened.map_err(cannot)?;
    // a disk was full, or a program was killed: what comes is a line of its own
    if ends_within_a_line(path) {
        io::Write::write_all(&mut file, b"\n").map_err(cannot)?;
    }
    Ok(file)
}

/// Whether a file is there that ends with part of a line.
fn ends_within_a_line(path: &Path) -> bool {
    if !std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0) {
        return false;
    }
    let last = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        io::Seek::seek(&mut file, io::SeekFrom::End(-1))?;
        let mut last = [0];
        io::Read::read_exact(&mut file, &mut last)?;
        Ok(last[0])
    };
    last().is_ok_and(|last| last != b'\n')
}

#[cfg(test)]
mod tests {
    use super::is_url;

    #[test]
    fn a_file_that_ends_within_a_line_is_known() {
        let name = format!("edgepass-run-audit-{}.jsonl", std::process::id());
        let path = std::env::temp_dir().join(name);
        assert!(!super::ends_within_a_line(&path));
        for (text, expected) in [("", false), ("{}\n", false), ("{}\n{\"time", true)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(super::ends_within_a_line(&path), expected, "{text:?}");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_place_is_a_url_or_a_file_and_nothing_between() {
        for (text, expected) in [
            ("http://127.0.0.1:4318", Some(true)),
            ("HTTP://127.0.0.1:4318", Some(true)),
            ("Https://collector.example/v1/logs", Some(true)),
            ("ftp://collector.example/x", None),
            ("grpc://user:secret@collector.example", None),
            ("otlp+http://collector.example", None),
            ("localhost:4318", None),
            ("collector.example:4318/v1/logs", None),
            ("127.0.0.1:4318", None),
            ("[::1]:4318", None),
            ("http:/collector.example", None),
            ("HTTPS:collector.example", None),
            ("audit.jsonl", Some(false)),
            ("/var/log/audit.jsonl", Some(false)),
            ("./localhost:4318", Some(false)),
            ("./ftp://x", Some(false)),
            ("audit:today", Some(false)),
            ("audit-12:30:05", Some(false)),
            ("C:\\audit.jsonl", Some(false)),
            ("", Some(false)),
        ] {
            let is = is_url(text);
            assert_eq!(is.as_ref().ok().copied(), expected, "{text}");
            let said = is.err().map(|failure| format!("{failure:?}"));
            let said = said.unwrap_or_default();
            assert!(!said.contains("secret"), "{said}");
            assert_eq!(
                said.contains("./NAME"),
                expected.is_none(),
                "{text}: {said}"
            );
        }
    }
}
