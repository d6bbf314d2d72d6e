//! What helps, by the reason why a setting has no value; and the forms that settings are kept in.

use std::path::Path;

use edgepass_core::Environment;
use edgepass_settings::{File, social_auth};
use serde_json::json;

use super::{CLIENT, OAUTH2, TENANT, file, identities, loaded};

/// A module with a good tenant and secret, and this.
fn with(text: &str) -> String {
    format!("{OAUTH2}TENANT_ID = 'contoso.example'\n{OAUTH2}SECRET = 'hunter2'\n{text}")
}

#[test]
fn what_helps_is_said_by_the_reason() {
    let name = format!("{OAUTH2}KEY");
    for (text, hint) in [
        ("K = env('X')", "write the value itself there, in quotes"),
        (
            "if x:\n    K = 'a'",
            "assign it once, outside of any condition",
        ),
        ("if x: K = 'a'", "assign it once, outside of any condition"),
        ("K = 'a'\nfrom .local import *", "move it behind line 2"),
        ("K = 'a'\nglobals().update(x)", "move it behind line 2"),
        ("load_dotenv()\nK = os.environ['X']", "set the variable X"),
        ("K = os.environ['X']", "set the variable X, or write"),
        (
            "K = os.environ['K']",
            "set the variable SOCIAL_AUTH_AZUREAD_OAUTH2_KEY (with all",
        ),
        (
            "os.environ.pop('X')\nK = os.environ['X']",
            "write the value itself there, in quotes; or set",
        ),
        ("T = os.environ['X']\nK = T", "set the variable X"),
        (
            "load_dotenv(override=True)\nK = os.environ['X']",
            "write the value itself there",
        ),
    ] {
        // the others stand behind it
        let text = format!("{}\n{}", text.replace('K', &name), with(""));
        let error = file(&text, "settings.py", &[]).unwrap_err();
        let (_, said) = error.split_once("; ").unwrap();
        assert!(said.contains(hint), "{text}: {error}");
        assert!(
            said.contains(&format!("set the variable {name}"))
                && said.contains("leave --social-auth away"),
            "{text}: {error}"
        );
    }
}

/// Nobody need change the module of a program for edgepass.
#[test]
fn a_variable_of_the_settings_name_counts_where_the_module_computes_it() {
    let name = format!("{OAUTH2}KEY");
    for text in [
        "K = env('X')",
        "K = config('X', default='')",
        "K = 'a'.strip()",
        "if x:\n    K = 'a'",
        "K = 'a'\nfrom .local import *",
        "load_dotenv()\nK = os.environ['X']",
    ] {
        let variables = [
            (name.as_str(), CLIENT),
            (&format!("{OAUTH2}SECRET"), "hunter2"),
        ];
        let imported = file(
            &with(&text.replace('K', &name)),
            "settings.py",
            &variables[..1],
        );
        let imported = match text.contains('*') {
            // of which the secret is one that may be set anew as well
            true => file(
                &with(&text.replace('K', &name)),
                "settings.py",
                &[
                    variables[0],
                    variables[1],
                    (&format!("{OAUTH2}TENANT_ID"), "contoso.example"),
                ],
            ),
            false => imported,
        };
        let imported = imported.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(
            identities(&imported)["azuread-oauth2"]["client_id"],
            CLIENT,
            "{text}"
        );
        let notes = imported.notes.join("\n");
        let says = format!("{name} (settings.py, line");
        assert!(
            notes.contains(&says) && notes.contains("is taken from the variable of that name"),
            "{notes}"
        );
        assert!(!notes.contains("hunter2"), "{notes}");
    }
    // one that the module gives a value must not be another
    let error = file(
        &with(&format!("{name} = 'a'")),
        "settings.py",
        &[(&name, CLIENT)],
    )
    .unwrap_err();
    assert!(
        error.contains("says something else than the variable"),
        "{error}"
    );
    // a bare name means something else in most environments
    let bare = format!("{OAUTH2}TENANT_ID = 't'\n{OAUTH2}SECRET = 'x'\nKEY = env('X')");
    let error = file(&bare, "settings.py", &[("KEY", CLIENT)]).unwrap_err();
    assert!(
        error.starts_with("KEY (settings.py, line 3): is no plain value"),
        "{error}"
    );
}

#[test]
fn what_stands_there_and_has_no_value_is_named_with_its_line() {
    let b2c = "SOCIAL_AUTH_AZUREAD_B2C_OAUTH2_";
    for (text, starts, part) in [
        (
            format!("{OAUTH2}KEY = 'a'\n{OAUTH2}TENANT_ID = os.environ.get('TENANT')"),
            format!(
                "{OAUTH2}TENANT_ID (settings.py, line 2): takes the variable TENANT, which is not set: "
            ),
            "set the variable TENANT",
        ),
        (
            format!("{OAUTH2}KEY = 'a'\n{OAUTH2}TENANT_ID = os.getenv('TENANT', '')"),
            format!(
                "{OAUTH2}TENANT_ID (settings.py, line 2): takes the variable TENANT, which is not set: "
            ),
            "AADSTS9001023",
        ),
        (
            format!("{OAUTH2}KEY = ''\n{OAUTH2}TENANT_ID = 't'"),
            format!("{OAUTH2}KEY (settings.py, line 1): is empty"),
            "the application (client) ID",
        ),
        (
            format!("{OAUTH2}KEY = 'a'\n{OAUTH2}TENANT_ID = ''"),
            format!("{OAUTH2}TENANT_ID (settings.py, line 2): is empty: "),
            "AADSTS9001023",
        ),
        (
            format!("{b2c}KEY = 'a'\n{b2c}POLICY = os.getenv('POLICY', '')"),
            format!(
                "{b2c}POLICY (settings.py, line 2): takes the variable POLICY, which is not set"
            ),
            "set the variable POLICY",
        ),
        (
            format!("{b2c}KEY = 'a'\n{b2c}POLICY = ''"),
            format!("{b2c}POLICY (settings.py, line 2): is empty"),
            "the user flow",
        ),
        (
            format!("{b2c}POLICY = 'b2c_1'\n{b2c}TENANT_NAME = os.getenv('NAME', None)"),
            format!(
                "{b2c}TENANT_NAME (settings.py, line 2): takes the variable NAME, which is not set"
            ),
            "set the variable NAME",
        ),
    ] {
        let error = file(&text, "settings.py", &[]).unwrap_err();
        assert!(
            error.starts_with(&starts) && error.contains(part),
            "{text}: {error}"
        );
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let settings = |text: &str| {
        let file = File {
            text,
            name: "settings.py",
            folder: Path::new("/app"),
        };
        let found = social_auth::mistakes(&file, &Environment::from_pairs([("X", "x")]));
        let names = found.iter().map(|error| {
            let name = error.setting.split(' ').next().unwrap();
            name.trim_start_matches("SOCIAL_AUTH_AZUREAD_").to_owned()
        });
        names.collect::<Vec<_>>()
    };
    let good = format!("{OAUTH2}KEY = 'a'\n{OAUTH2}TENANT_ID = 't'\n{OAUTH2}SECRET = 'x'\n");
    assert_eq!(settings(&good), [""; 0]);
    let computed = "OAUTH2_KEY OAUTH2_TENANT_ID OAUTH2_SECRET".split(' ');
    let computed = computed.map(|name| format!("SOCIAL_AUTH_AZUREAD_{name} = env('X')\n"));
    assert_eq!(
        settings(&computed.collect::<String>()),
        ["OAUTH2_TENANT_ID", "OAUTH2_KEY", "OAUTH2_SECRET"]
    );
    let b2c = "KEY SECRET POLICY TENANT_NAME".split(' ');
    let b2c = b2c
        .map(|name| format!("SOCIAL_AUTH_AZUREAD_B2C_OAUTH2_{name} = os.getenv('NOTHING', '')\n"));
    assert_eq!(
        settings(&b2c.collect::<String>()),
        [
            "B2C_OAUTH2_POLICY",
            "B2C_OAUTH2_TENANT_NAME",
            "B2C_OAUTH2_KEY",
            "B2C_OAUTH2_SECRET"
        ]
    );
    let of_two = format!(
        "{good}{OAUTH2}AUTHORITY_HOST = 'https://x'\nSOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_TENANT_ID = 't'\n"
    );
    assert_eq!(
        settings(&of_two),
        [
            "OAUTH2_AUTHORITY_HOST",
            "TENANT_OAUTH2_KEY",
            "TENANT_OAUTH2_…"
        ]
    );
    // what cannot be read has one
    assert_eq!(settings("K = 'a"), ["settings.py,"]);
}

#[test]
fn yaml_is_read_by_its_lines() {
    let yaml = format!(
        "# of a chart\n{OAUTH2}KEY: {CLIENT}\n{OAUTH2}TENANT_ID: \"{TENANT}\"\n{OAUTH2}SECRET: 'hunter2'\nLIST:\n- a\n"
    );
    for name in ["sso.yaml", "sso.yml", "standard input"] {
        let imported = file(&yaml, name, &[]).unwrap();
        loaded(&imported, &[]);
        assert_eq!(
            identities(&imported)["azuread-oauth2"]["client_id"],
            json!(CLIENT),
            "{name}"
        );
    }
    for (text, part) in [
        (
            format!("a: b\n{OAUTH2}KEY: 1\n{OAUTH2}TENANT_ID: t"),
            "KEY (sso.yaml, line 2): is a number",
        ),
        (
            format!("{OAUTH2}TENANT_ID: t\n{OAUTH2}KEY: ''\n"),
            "KEY (sso.yaml, line 2): is empty",
        ),
        (format!("{OAUTH2}KEY: [a\n"), "sso.yaml"),
        (
            format!("a:\n  b:\n    {OAUTH2}KEY: x\n"),
            "line 3 has such a name",
        ),
    ] {
        let error = file(&text, "sso.yaml", &[]).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    // a module that declares the types of its names is none
    let module = format!(
        "{OAUTH2}KEY: str = 'a'\n{OAUTH2}TENANT_ID: str = 't'\n{OAUTH2}SECRET: str = 'x'\n"
    );
    assert_eq!(
        identities(&file(&module, "settings.py", &[]).unwrap())["azuread-oauth2"]["client_id"],
        "a"
    );
}

#[test]
fn lines_of_variables_are_led_to_the_environment() {
    for text in [
        format!(
            "SSO=true\n{OAUTH2}KEY=66666666-7777\n\n# a comment\nexport {OAUTH2}SECRET=hunter2\n"
        ),
        format!("{OAUTH2}KEY=a b\nGROUPS=SSO Users\n"),
    ] {
        let error = file(&text, ".env", &[]).unwrap_err();
        assert!(
            error.contains("lines of an env file") && !error.contains("hunter2"),
            "{error}"
        );
    }
    // which is Python as well
    let module = format!("{OAUTH2}KEY='a'\n{OAUTH2}TENANT_ID='t'\n{OAUTH2}SECRET='x'\n");
    file(&module, "settings.py", &[]).unwrap();
}

#[test]
fn settings_for_all_backends_need_one_that_is_named() {
    let all = "SOCIAL_AUTH_KEY = 'a'\nSOCIAL_AUTH_SECRET = 'x'\nSOCIAL_AUTH_TENANT_ID = 't'\n";
    let class = "social_core.backends.azuread_tenant.AzureADTenantOAuth2";
    for list in [
        format!("AUTHENTICATION_BACKENDS = ['{class}']"),
        format!("AUTHENTICATION_BACKENDS = ['x']\nAUTHENTICATION_BACKENDS += ['{class}']"),
        format!("AUTHENTICATION_BACKENDS = ('x',)\nAUTHENTICATION_BACKENDS += ('{class}',)"),
        format!("from .base import *\nAUTHENTICATION_BACKENDS += ['{class}']"),
        format!("AUTHENTICATION_BACKENDS = ['x']\nAUTHENTICATION_BACKENDS.append('{class}')"),
        format!("AUTHENTICATION_BACKENDS = f()\nAUTHENTICATION_BACKENDS.insert(0, '{class}')"),
        format!("AUTHENTICATION_BACKENDS = []\nAUTHENTICATION_BACKENDS.extend(['{class}', 'y'])"),
    ] {
        let imported = file(&format!("{list}\n{all}"), "settings.py", &[]).unwrap();
        assert_eq!(
            identities(&imported)["azuread-tenant-oauth2"]["client_id"],
            "a",
            "{list}"
        );
    }
    for list in [
        "AUTHENTICATION_BACKENDS = ['accounts.AzureADTenantOAuth2PKCE']".to_owned(),
        String::new(),
        format!(
            "AUTHENTICATION_BACKENDS = []\nAUTHENTICATION_BACKENDS.append('{class}')\nAUTHENTICATION_BACKENDS = ['x']"
        ),
    ] {
        let error = file(&format!("{all}{list}"), "settings.py", &[]).unwrap_err();
        assert!(
            error.contains("SOCIAL_AUTH_KEY (line 1) is for all backends")
                && error.contains("SOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_KEY"),
            "{error}"
        );
    }
}
