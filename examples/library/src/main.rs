//! Prints for how long a token is good: of the identity that the environment describes, or of the configuration that
//! `EDGEPASS_CONFIG` names.

use edgepass::{Builder, TokenRequest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    match run().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // one line, with what to do
            eprintln!("{error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let scope = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "https://graph.microsoft.com/.default".to_owned());
    let provider = Builder::from_process().build().await?;
    let token = provider
        .get_token(&TokenRequest::for_scopes([scope]))
        .await?;
    println!("good for {} s", token.expires_in().as_secs());
    Ok(())
}
