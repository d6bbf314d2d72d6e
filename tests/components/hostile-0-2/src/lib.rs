//! A command of WASI 0.2 that tries to get hold of tokens by all interfaces that WASI has. Each argument is an attempt, of
//! which it prints a line; then it waits for the end of its input, with all that it got in its memory.
//!
//! | | |
//! |---|---|
//! | `environment` | variables, arguments, folder |
//! | `folders` | the folders that it was given |
//! | `read PATH` | a file below each of them |
//! | `connect ADDRESS` | a TCP connection of its own: an HTTP request, and what comes back |
//! | `udp ADDRESS` | a datagram socket |
//! | `resolve NAME` | the addresses of a name |
//! | `get URL` | a request by `wasi:http`, with a header of its own |

use std::cell::RefCell;
use std::net::SocketAddrV4;

use wasip2::cli::environment;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;
use wstd::http::{Body, Client, Error, Request};
use wstd::io::{AsyncRead as _, AsyncWrite as _};
use wstd::runtime::block_on;

thread_local! {
    /// Everything that came.
    static LOOT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Command;

impl wasip2::exports::cli::run::Guest for Command {
    fn run() -> Result<(), ()> {
        block_on(async {
            let mut out = wstd::io::stdout();
            for what in environment::get_arguments().iter().skip(1) {
                let told = tried(what).await;
                let told = told.unwrap_or_else(|error| format!("refused: {error}"));
                LOOT.with_borrow_mut(|loot| loot.push(told.clone()));
                let line = format!("{}\n", told.replace('\n', " "));
                out.write_all(line.as_bytes()).await.map_err(|_| ())?;
            }
            let mut rest = Vec::new();
            // its end is what it waits for
            wstd::io::stdin()
                .read_to_end(&mut rest)
                .await
                .map_err(|_| ())?;
            Ok(())
        })
    }
}

async fn tried(what: &str) -> Result<String, String> {
    let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
    match verb {
        "environment" => Ok(format!(
            "{:?} {:?} {:?}",
            environment::get_environment(),
            environment::get_arguments().len(),
            environment::initial_cwd()
        )),
        "folders" => {
            let folders = get_directories().into_iter().map(|(_, name)| name);
            Ok(format!("{:?}", folders.collect::<Vec<_>>()))
        }
        "read" => read(rest),
        "connect" => connect(rest),
        "udp" => {
            let socket = create_udp_socket(IpAddressFamily::Ipv4).map_err(told)?;
            let (network, own) = (instance_network(), address("0.0.0.0:0")?);
            socket.start_bind(&network, own).map_err(told)?;
            socket.finish_bind().map_err(told)?;
            let _streams = socket.stream(Some(address(rest)?)).map_err(told)?;
            Ok("connected".to_owned())
        }
        "resolve" => resolve(rest),
        "get" => get(rest).await.map_err(|error| format!("{error:#}")),
        _ => Err(format!("what is {verb}?")),
    }
}

fn told(code: ErrorCode) -> String {
    format!("{code:?}")
}

fn read(path: &str) -> Result<String, String> {
    let mut failed = "there is no folder".to_owned();
    for (folder, _) in get_directories() {
        let opened = folder.open_at(
            PathFlags::SYMLINK_FOLLOW,
            path,
            OpenFlags::empty(),
            DescriptorFlags::READ,
        );
        match opened.and_then(|file| file.read(1_000_000, 0)) {
            Ok((bytes, _)) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(code) => failed = format!("{code:?}"),
        }
    }
    Err(failed)
}

fn connect(place: &str) -> Result<String, String> {
    let network = instance_network();
    let socket = create_tcp_socket(IpAddressFamily::Ipv4).map_err(told)?;
    socket
        .start_connect(&network, address(place)?)
        .map_err(told)?;
    let (input, output) = loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            connected => break connected.map_err(told)?,
        }
    };
    let request = format!("GET /v1/x HTTP/1.1\r\nhost: {place}\r\nconnection: close\r\n\r\n");
    output
        .blocking_write_and_flush(request.as_bytes())
        .map_err(|error| format!("{error:?}"))?;
    let answer = input.blocking_read(65_536);
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    Ok(format!("connected {}", String::from_utf8_lossy(&answer)))
}

fn resolve(name: &str) -> Result<String, String> {
    let stream = resolve_addresses(&instance_network(), name).map_err(told)?;
    loop {
        match stream.resolve_next_address() {
            Err(ErrorCode::WouldBlock) => stream.subscribe().block(),
            next => return Ok(format!("resolved {:?}", next.map_err(told)?)),
        }
    }
}

fn address(text: &str) -> Result<IpSocketAddress, String> {
    let address: SocketAddrV4 = text.parse().map_err(|_| format!("{text}?"))?;
    let [a, b, c, d] = address.ip().octets();
    Ok(IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port: address.port(),
        address: (a, b, c, d),
    }))
}

async fn get(url: &str) -> Result<String, Error> {
    let request = Request::get(url).header("authorization", "Bearer mine");
    let response = Client::new().send(request.body(Body::empty())?).await?;
    let status = response.status().as_u16();
    let headers = format!("{:?}", response.headers());
    let mut body = response.into_body();
    let body = String::from_utf8_lossy(body.contents().await?).into_owned();
    Ok(format!("{status} {headers} {body}"))
}

wasip2::cli::command::export!(Command);
