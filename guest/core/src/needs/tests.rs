use super::*;

#[test]
fn this_machine_has_names_and_addresses() {
    for (host, expected) in [
        ("localhost", true),
        ("LocalHost.", true),
        ("a.localhost", true),
        ("alocalhost", false),
        ("localhost.example", false),
        ("127.0.0.1", true),
        ("127.1.2.3", true),
        ("[::1]", true),
        ("[::ffff:127.0.0.1]", true),
        ("[::ffff:10.0.0.1]", false),
        ("10.0.0.1", false),
        ("169.254.169.254", false),
        ("[fe80::1]", false),
    ] {
        assert_eq!(is_loopback(host), expected, "{host}");
    }
}

#[test]
fn a_path_is_exact_or_begins_so_or_is_of_any_tenant() {
    let any = PathPattern::AnySegment {
        before: "/".into(),
        after: "/oauth2/v2.0/token".into(),
    };
    for (pattern, path, fits) in [
        (&PathPattern::Exact("/t?p=x".into()), "/t?p=x", true),
        (&PathPattern::Exact("/t".into()), "/t?p=x", false),
        (&PathPattern::Prefix("/m/token?".into()), "/m/token?x", true),
        (&PathPattern::Prefix("/m/token?".into()), "/m/tokens", false),
        (&any, "/contoso.example/oauth2/v2.0/token", true),
        (&any, "/a/b/oauth2/v2.0/token", false),
        (&any, "//oauth2/v2.0/token", false),
        (&any, "/../oauth2/v2.0/token", false),
        (&any, "/oauth2/v2.0/token", false),
        (&any, "/x?/oauth2/v2.0/token", false),
    ] {
        assert_eq!(pattern.matches(path), fits, "{pattern:?} {path}");
    }
}

#[test]
fn http_goes_to_addresses_of_this_link_alone() {
    let permission = |authority: &str| Permission {
        scheme: Scheme::LinkLocalHttp,
        authority: authority.into(),
        path: PathPattern::Prefix("/".into()),
        purpose: Purpose::ManagedIdentity,
    };
    for near in [
        "169.254.169.254",
        "169.254.169.254:8080",
        "127.0.0.1:40342",
        "[::1]:80",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fd00:ec2::23]",
        "[::ffff:169.254.169.254]",
        "localhost",
        "localhost:40342",
    ] {
        assert!(permission(near).permits("http", near, "/x"), "{near}");
        assert!(!permission(near).permits("https", near, "/x"), "{near}");
    }
    for far in [
        "10.0.0.4",
        "metadata.internal",
        "localhost.evil.example:80",
        "mylocalhost",
        "169.254.169.254.evil.example",
        "169.255.0.1",
        "[fd00::1]",
        "[::ffff:10.0.0.4]",
        "",
    ] {
        assert!(!permission(far).permits("http", far, "/x"), "{far}");
    }
    let https = Permission {
        scheme: Scheme::Https,
        ..permission("login.example")
    };
    assert!(https.permits("https", "login.example", "/x"));
    assert!(!https.permits("http", "login.example", "/x"));
    assert!(!https.permits("https", "login.example:8443", "/x"));
}

#[test]
fn a_directory_gives_its_own_files_and_no_way_out() {
    let keys = FilePattern::Directory {
        directory: "/var/opt/azcmagent/tokens".into(),
        suffix: ".key".into(),
    };
    assert!(keys.matches("/var/opt/azcmagent/tokens/0a1b-2c.key"));
    for other in [
        "/var/opt/azcmagent/tokens/../../shadow.key",
        "/var/opt/azcmagent/tokens/sub/x.key",
        "/var/opt/azcmagent/tokens/.key",
        "/var/opt/azcmagent/tokens/...key",
        "/var/opt/azcmagent/tokens/x.pem",
        "/var/opt/azcmagent/tokens2/x.key",
        "/var/opt/azcmagent/tokens/x\\y.key",
        "/var/opt/azcmagent/tokens\\x.key",
    ] {
        assert!(!keys.matches(other), "{other}");
    }
    let keys = FilePattern::Directory {
        directory: "C:\\ProgramData\\AzureConnectedMachineAgent\\Tokens".into(),
        suffix: ".key".into(),
    };
    assert!(keys.matches("C:\\ProgramData\\AzureConnectedMachineAgent\\Tokens\\x.key"));
    assert!(keys.matches("C:\\ProgramData\\AzureConnectedMachineAgent\\Tokens/x.key"));
    assert!(!keys.matches("C:\\ProgramData\\AzureConnectedMachineAgent\\Tokens\\..\\x.key"));
    assert!(FilePattern::Exact("/a".into()).matches("/a"));
    assert!(!FilePattern::Exact("/a".into()).matches("/a/"));
}

#[test]
fn what_two_need_is_there_once() {
    let mut one = Needs::default();
    one.add_file("identities.a.credential.client_secret.file".into(), "/s");
    let mut both = one.clone();
    both.add(&one);
    assert_eq!(both, one);
    let other = Needs {
        assertion_source: Some("identities.b.credential.assertion_source".into()),
        ..Needs::default()
    };
    both.add(&other);
    assert_eq!(
        (both.files, both.assertion_source),
        (one.files, other.assertion_source)
    );
}
