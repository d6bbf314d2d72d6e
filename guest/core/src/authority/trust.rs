//! Which hosts credentials may be sent to. What is sent there, and who asks for it, is not known here.

use crate::Table;
use crate::authority::cloud::CLOUDS;
#[cfg(feature = "every-credential")]
use crate::authority::cloud::is_of_a_tenant_or_region;
use crate::authority::host::{HTTPS_PORT, canonical_authority, split_port};
use crate::refusal::Refusal;

/// The hosts that credentials may be sent to: the built-in clouds and those that the configuration names.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedHosts(pub(super) Table<String, ()>);

impl TrustedHosts {
    /// Adds `host` or `host:port`. Without a port that is port 443 alone.
    pub(crate) fn add(&mut self, entry: &str) -> Result<(), Refusal> {
        if entry.contains("://") || entry.contains('/') {
            return Err(Refusal::new(
                "is a URL",
                "write host or host:port, without https:// and path",
            ));
        }
        self.0.insert(canonical_authority(entry, HTTPS_PORT)?, ());
        Ok(())
    }

    /// Whether every build trusts that host and port: it is named, or that of a cloud.
    #[cfg(feature = "every-credential")]
    pub(crate) fn has(&self, authority: &str) -> bool {
        self.0.contains_key(authority) || CLOUDS.iter().any(|cloud| cloud.has(authority))
    }

    /// Whether the configuration or the environment names the host of that URL, or that host.
    #[cfg(feature = "every-credential")]
    pub(crate) fn names(&self, url: &str) -> bool {
        let rest = url.strip_prefix("https://").unwrap_or(url);
        let authority = rest.split('/').next().unwrap_or_default();
        canonical_authority(authority, HTTPS_PORT)
            .is_ok_and(|authority| self.0.contains_key(&authority))
    }

    /// Whether requests may go to that host and port.
    pub(crate) fn check(&self, authority: &str) -> Result<(), Refusal> {
        if self.0.contains_key(authority) || CLOUDS.iter().any(|cloud| cloud.has(authority)) {
            return Ok(());
        }
        #[cfg(feature = "every-credential")]
        if is_of_a_tenant_or_region(authority) {
            return Ok(());
        }
        let mut message =
            format!("`{authority}` is neither a built-in Microsoft cloud nor named as trusted");
        if let (host, Some(_)) = split_port(authority)
            && self.0.contains_key(host)
        {
            message.push_str(&format!(
                " (`{host}` is, but without a port that means 443 alone)"
            ));
        }
        Err(Refusal::new(
            message,
            format!(
                "if it is meant, add \"{authority}\" to authority_hosts or EDGEPASS_AUTHORITY_HOSTS"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_by_host_and_port() {
        let mut trusted = TrustedHosts::default();
        for entry in [
            "login.contoso.example",
            "LOCALHOST:8443",
            "idp.example:443",
            "[::1]:9000",
        ] {
            trusted.add(entry).unwrap();
        }
        for good in [
            "login.contoso.example",
            "localhost:8443",
            "idp.example",
            "[::1]:9000",
            "mtlsauth.microsoft.com",
            "westus2.login.microsoft.com",
            "westus2.mtlsauth.microsoft.com",
            "usgovvirginia.login.microsoftonline.us",
            "contoso.ciamlogin.com",
            "contoso.b2clogin.com",
        ] {
            trusted.check(good).unwrap();
        }
        for bad in [
            "localhost",
            "localhost:8444",
            "contoso.example",
            "login.contoso.example.evil.example",
            "[::1]",
            "login.microsoftonline.com:8443",
            "a.westus2.login.microsoft.com",
            "west-us.login.microsoft.com",
            "westus2.login.microsoft.com:8443",
            "westus2.login.microsoft.com.evil.example",
            "ciamlogin.com",
            "a.b.ciamlogin.com",
            "contoso.ciamlogin.com:8443",
            "contoso.ciamlogin.com.evil.example",
            "evilciamlogin.com",
            "b2clogin.com",
            "a.b.b2clogin.com",
        ] {
            assert!(trusted.check(bad).is_err(), "{bad}");
        }
        let refusal = trusted.check("login.contoso.example:8443").unwrap_err();
        assert!(refusal.message.contains("443 alone"), "{}", refusal.message);
        assert!(refusal.hint.contains(
            "\"login.contoso.example:8443\" to authority_hosts or EDGEPASS_AUTHORITY_HOSTS"
        ));
        assert!(
            trusted
                .add("https://idp.example")
                .unwrap_err()
                .message
                .contains("is a URL")
        );
        assert!(trusted.add("*").is_err() && trusted.add("a:b:c").is_err());
    }
}
