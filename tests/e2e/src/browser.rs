//! A person's browser, as far as a sign-in needs one: it keeps cookies and follows redirects.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Url};

use crate::lab::Lab;

/// Redirects that are followed: a sign-in has four.
const REDIRECTS: usize = 10;

/// A browser with its cookies.
pub struct Browser {
    client: Client,
    /// By host and port, as names with values.
    cookies: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
}

/// The page at which it has arrived.
#[derive(Debug)]
pub struct Page {
    /// Where that is.
    pub url: Url,
    /// Its status.
    pub status: u16,
    /// Its content.
    pub text: String,
    /// The addresses on the way, the first one first.
    pub way: Vec<Url>,
}

impl Browser {
    /// One that trusts the emulator of that world.
    pub fn new(lab: &Lab) -> Result<Self> {
        Self::trusting(&lab.emulator.ca_pem())
    }

    /// One that trusts that authority (PEM).
    pub fn trusting(ca_pem: &str) -> Result<Self> {
        let ca = Certificate::from_pem(ca_pem.as_bytes())?;
        let client = Client::builder()
            .redirect(Policy::none())
            .tls_certs_only([ca])
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            cookies: Mutex::default(),
        })
    }

    /// Opens a page and goes where it leads, until that is an address that
    /// begins so; it comes back unopened.
    pub async fn until(&self, url: &str, start: &str) -> Result<Url> {
        let mut url = Url::parse(url)?;
        for _ in 0..REDIRECTS {
            if url.as_str().starts_with(start) {
                return Ok(url);
            }
            let (page, next) = self.step(url, &mut Vec::new()).await?;
            url = next.with_context(|| format!("{}: {}", page.status, page.text))?;
        }
        bail!("more than {REDIRECTS} redirects")
    }

    /// Opens a page and goes where it leads.
    pub async fn open(&self, url: &str) -> Result<Page> {
        let mut url = Url::parse(url)?;
        let mut way = Vec::new();
        for _ in 0..REDIRECTS {
            let (page, next) = self.step(url, &mut way).await?;
            match next {
                Some(next) => url = next,
                None => return Ok(page),
            }
        }
        bail!("more than {REDIRECTS} redirects: {way:?}")
    }

    /// Opens a page and follows no redirect: where it would lead comes back.
    pub async fn look(&self, url: &str) -> Result<(Page, Option<Url>)> {
        self.step(Url::parse(url)?, &mut Vec::new()).await
    }

    async fn step(&self, url: Url, way: &mut Vec<Url>) -> Result<(Page, Option<Url>)> {
        way.push(url.clone());
        let place = url.authority().to_owned();
        let mut request = self.client.get(url.clone());
        if let Some(cookies) = self.jar().get(&place) {
            let pairs: Vec<String> = cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        let answer = request.send().await.with_context(|| url.to_string())?;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').context("a cookie without a value")?;
            let mut jar = self.jar();
            let cookies = jar.entry(place.clone()).or_default();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        let next = match answer.headers().get(LOCATION) {
            Some(location) => Some(url.join(location.to_str()?)?),
            None => None,
        };
        let page = Page {
            status: answer.status().as_u16(),
            text: answer.text().await?,
            url,
            way: way.clone(),
        };
        Ok((page, next))
    }

    fn jar(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, BTreeMap<String, String>>> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
