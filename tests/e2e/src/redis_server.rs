//! A store that understands Redis, as tests use one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{token_store_server, until};

/// A store of a test's own: Redis or Valkey.
pub struct RedisServer {
    /// Where it listens, on the loopback address.
    pub port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// One with these options.
    pub async fn start(options: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let port_option = ["--port".to_owned(), port.to_string()];
        let options = options.iter().map(|option| (*option).to_owned());
        Self::at(port, port_option.into_iter().chain(options).collect()).await
    }

    /// One with these options, which say the port as well.
    pub async fn at(port: u16, options: Vec<String>) -> Result<Self> {
        let mut store = Self {
            port,
            options,
            child: None,
        };
        store.restart().await?;
        Ok(store)
    }

    /// Starts it, empty.
    pub async fn restart(&mut self) -> Result<()> {
        let (program, libraries) = token_store_server()?;
        let mut command = Command::new(program);
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(&self.options)
            .stdout(Stdio::null());
        if let Some(libraries) = libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        self.child = Some(command.spawn().context("the store does not start")?);
        until("the store takes connections", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()
        })
        .await?;
        Ok(())
    }

    /// Kills it.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends it a signal (`-STOP`).
    pub fn signal(&self, signal: &str) -> Result<()> {
        let child = self.child.as_ref().context("it runs")?;
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()?;
        ensure!(sent.success(), "no signal was sent");
        Ok(())
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The answer to a command.
    pub fn ask<B: AsRef<[u8]>>(&self, command: &[B]) -> Result<Vec<Vec<u8>>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            let part = part.as_ref();
            bytes.extend(format!("${}\r\n", part.len()).into_bytes());
            bytes.extend([part, b"\r\n"].concat());
        }
        stream.write_all(&bytes)?;
        reply(&mut BufReader::new(stream))
    }

    /// Its keys.
    pub fn keys(&self) -> Result<Vec<String>> {
        let keys = self.ask(&["KEYS", "*"])?;
        let text = |key: Vec<u8>| String::from_utf8(key).context("a key is text");
        keys.into_iter().map(text).collect()
    }

    /// All that is in it.
    pub fn content(&self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for key in self.keys()? {
            all.extend_from_slice(key.as_bytes());
            all.extend(self.ask(&["GET", key.as_str()])?.concat());
        }
        Ok(all)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // it may be gone already
        let _ = self.kill();
    }
}

/// An answer of a store: one text, or several.
fn reply(from: &mut BufReader<TcpStream>) -> Result<Vec<Vec<u8>>> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let (kind, rest) = line.trim_end().split_at_checked(1).context("an answer")?;
    Ok(match kind {
        "+" | ":" => vec![rest.as_bytes().to_vec()],
        "$" if rest == "-1" => Vec::new(),
        "$" => {
            let mut text = vec![0; rest.parse::<usize>()? + 2];
            from.read_exact(&mut text)?;
            text.truncate(text.len() - 2);
            vec![text]
        }
        "*" => {
            let mut all = Vec::new();
            for _ in 0..rest.parse::<usize>()? {
                all.extend(reply(from)?);
            }
            all
        }
        _ => bail!("the store says {line}"),
    })
}

/// A port that nobody listens on.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
