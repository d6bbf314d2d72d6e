//! What is said of a store by what it says.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const PASSWORD: &str = "hunter2-of-the-store";

/// How a store behaves.
#[derive(Clone, Copy)]
struct Store {
    /// Said before anything is asked, and then it hangs up.
    at_once: bool,
    /// The answers to what it is asked, one after the other.
    answers: &'static [&'static str],
}

/// Its address.
async fn serve(store: Store) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 1024];
            for answer in store.answers {
                if !store.at_once && stream.read(&mut asked).await.unwrap_or(0) == 0 {
                    break;
                }
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            // what was sent to it is read, so that its last words are not lost by a reset
            let _ = stream.shutdown().await;
            while stream.read(&mut asked).await.unwrap_or(0) > 0 {}
        }
    });
    address
}

fn ping() -> Cmd {
    let mut ping = Cmd::new();
    ping.arg("PING");
    ping
}

/// The fault of a store that is asked for the first time.
async fn fault(
    address: String,
    username: Option<&str>,
    password: bool,
    database: u64,
) -> Option<Fault> {
    let password = match password {
        true => Password::Value(Secret::new(PASSWORD)),
        false => Password::None,
    };
    let server = Server::new(
        address,
        None,
        username.map(str::to_owned),
        password,
        database,
    );
    match server.ask(&ping()).await {
        Ok(_) => None,
        Err(Failure::Gone(fault) | Failure::LeftAlone(fault) | Failure::Refused(fault)) => {
            Some(fault)
        }
        Err(Failure::Moved(node)) => panic!("{node}"),
    }
}

/// Whatever a store says while it is logged in to is what is said of it: a password that is right is not called wrong.
#[tokio::test]
async fn what_a_store_says_to_a_login_is_what_is_said_of_it() {
    const CLIENTS: &str = "-ERR max number of clients reached\r\n";
    const AT_ONCE: bool = true;
    const ASKED: bool = false;
    for (when, answers, database, field, says) in [
        (
            ASKED,
            &["-WRONGPASS invalid username-password pair or user is disabled.\r\n"][..],
            0,
            "password_env",
            "refused username or password",
        ),
        (
            ASKED,
            &[CLIENTS],
            0,
            "url",
            "has as many clients as it takes",
        ),
        (
            AT_ONCE,
            &[CLIENTS],
            0,
            "url",
            "has as many clients as it takes",
        ),
        (
            AT_ONCE,
            &[CLIENTS],
            3,
            "url",
            "has as many clients as it takes",
        ),
        (
            ASKED,
            &["+OK\r\n", CLIENTS],
            3,
            "url",
            "has as many clients as it takes",
        ),
        (
            ASKED,
            &["-LOADING Redis is loading the dataset in memory\r\n"],
            0,
            "url",
            "has only started",
        ),
        (
            ASKED,
            &[
                "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
            ],
            0,
            "url",
            "is a replica that has lost its primary",
        ),
        (
            AT_ONCE,
            &["-DENIED Redis is running in protected mode because protected mode is enabled\r\n"],
            0,
            "url",
            "protected mode",
        ),
        (
            ASKED,
            &["-ERR unknown command 'AUTH', with args beginning with: 'hunter2-of-the-store'\r\n"],
            0,
            "url",
            "knows no AUTH",
        ),
        (
            ASKED,
            &[
                "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n",
            ],
            0,
            "password_env",
            "has no password for its user `default`",
        ),
        (
            ASKED,
            &["-ERR wrong number of arguments for 'auth' command\r\n"],
            0,
            "username",
            "takes no user name",
        ),
        (
            ASKED,
            &["-NOPERM this user has no permissions to run the 'auth' command\r\n"],
            0,
            "username",
            "does not let its user run AUTH",
        ),
        (
            ASKED,
            &[
                "+OK\r\n",
                "-NOPERM this user has no permissions to run the 'select' command\r\n",
            ],
            3,
            "username",
            "does not let its user run SELECT",
        ),
        (
            ASKED,
            &["+OK\r\n", "-ERR DB index is out of range\r\n"],
            3,
            "database",
            "has no database 3",
        ),
        (
            ASKED,
            &["+OK\r\n", "-ERR SELECT is not allowed in cluster mode\r\n"],
            3,
            "database",
            "has no database 3",
        ),
        (
            ASKED,
            &["-TRYAGAIN hunter2-of-the-store\r\n"],
            0,
            "url",
            "answered TRYAGAIN",
        ),
        (
            ASKED,
            &["-ERR hunter2-of-the-store\r\n"],
            0,
            "url",
            "answered ERR",
        ),
        (ASKED, &["+OK\r\n"], 0, "url", "ended the connection"),
        (ASKED, &[], 0, "url", "ended the connection"),
    ] {
        let address = serve(Store {
            at_once: when,
            answers,
        })
        .await;
        let fault = fault(address, Some("edgepass"), true, database).await;
        let fault = fault.unwrap_or_else(|| panic!("no fault of {answers:?}"));
        let text = fault.to_string();
        assert!(
            text.contains(says) && fault.hint.is_some(),
            "{answers:?}: {text}"
        );
        assert_eq!(fault.setting, setting(field), "{answers:?}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// Without a login it is the first command that gets it.
#[tokio::test]
async fn what_a_store_says_at_once_is_its_answer() {
    for (answers, says) in [
        (
            &["-ERR max number of clients reached\r\n"],
            "has as many clients as it takes",
        ),
        (
            &["-DENIED Redis is running in protected mode\r\n"],
            "protected mode",
        ),
    ] {
        let store = Store {
            at_once: true,
            answers,
        };
        let fault = fault(serve(store).await, None, false, 0).await.unwrap();
        assert!(fault.to_string().contains(says), "{fault}");
    }
}

/// A store that takes the login answers what is asked then, with a password, a user and a database or without.
#[tokio::test]
async fn a_login_that_is_taken_is_followed_by_the_answer() {
    for (username, password, database, answers) in [
        (None, false, 0, &["+PONG\r\n"][..]),
        (None, true, 0, &["+OK\r\n", "+PONG\r\n"]),
        (Some("edgepass"), true, 0, &["+OK\r\n", "+PONG\r\n"]),
        (
            Some("edgepass"),
            true,
            3,
            &["+OK\r\n", "+OK\r\n", "+PONG\r\n"],
        ),
        (None, false, 3, &["+OK\r\n", "+PONG\r\n"]),
    ] {
        let address = serve(Store {
            at_once: false,
            answers,
        })
        .await;
        let fault = fault(address, username, password, database).await;
        assert!(fault.is_none(), "{answers:?}: {fault:?}");
    }
}
