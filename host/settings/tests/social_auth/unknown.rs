//! What only running a module would tell: no value is guessed, and the name says why.

use super::{OAUTH2, file, key};

#[test]
fn what_only_running_would_tell_is_an_error_of_the_name_alone() {
    let name = "SOCIAL_AUTH_AZUREAD_OAUTH2_KEY";
    for (module, line, part) in [
        ("K = env('APP_ID')", 1, "is no plain value"),
        ("\n\nK = f'{x}'", 3, "is no plain value"),
        ("K = b'a'", 1, "is no plain value"),
        ("K = '\\N{DASH}'", 1, "is no plain value"),
        ("K = '\\ud800'", 1, "is no plain value"),
        ("K = '\\u12'", 1, "is no plain value"),
        ("K = 'a'.strip()", 1, "is no plain value"),
        ("K = 'a' if x else 'b'", 1, "is no plain value"),
        ("K = '%s' % x", 1, "is no plain value"),
        ("K = 'a' or 'b' if x else 'c'", 1, "is no plain value"),
        ("K = other", 1, "is no plain value"),
        ("ID = env('x')\nK = ID", 2, "is that of ID (line 1)"),
        (
            "K = os.environ['APP_ID']",
            1,
            "the variable APP_ID, which is not set; set the variable APP_ID, or write the value itself there",
        ),
        ("K = os.environ", 1, "is no plain value"),
        ("K = 1", 1, "is a number"),
        ("K = True", 1, "is True or False"),
        ("K = ['a']", 1, "is a list"),
        ("K = {'a': 1}", 1, "is a dictionary"),
        ("K = ('a', 'b')", 1, "is a list"),
        (
            "if DEBUG:\n    K = 'a'",
            2,
            "under a condition or in a loop",
        ),
        ("if DEBUG: K = 'a'", 1, "under a condition or in a loop"),
        (
            "K = 'a'\ntry:\n    K = x\nexcept E:\n    pass",
            3,
            "under a condition or in a loop",
        ),
        ("for K in 'ab': pass", 1, "under a condition or in a loop"),
        (
            "with f() as K:\n    pass",
            1,
            "under a condition or in a loop",
        ),
        (
            "if x:\n  if y:\n    K += 'a'",
            3,
            "under a condition or in a loop",
        ),
        ("K = 'a'\nK += 'b'", 2, "is changed after it was set"),
        ("K = 'a'\ndel K", 2, "is deleted"),
        ("K, OTHER = 'a', 'b'", 1, "set together with others"),
        ("(K) = 'a'", 1, "set together with others"),
        ("from .local import K", 1, "is imported"),
        ("from .local import (A, B as K,)", 1, "is imported"),
        ("import a.b as K", 1, "is imported"),
        (
            &format!("K = {}'a'{}", "(".repeat(40), ")".repeat(40)),
            1,
            "brackets within brackets",
        ),
        (
            &format!("K = {}'a'{}", "getenv(".repeat(20_000), ")".repeat(20_000)),
            1,
            "brackets within brackets",
        ),
        (
            "K = 'a'\nfrom .local import *",
            1,
            "may be set anew by line 2, which imports all names",
        ),
        (
            "K = 'a'\ntry:\n    from .local import *\nexcept E:\n    pass",
            1,
            "may be set anew by line 3",
        ),
        (
            "K = 'a'\nexec(open('local.py').read())",
            1,
            "may be set anew by line 2",
        ),
        (
            "K = 'a'\nglobals()['x'] = 'b'",
            1,
            "may be set anew by line 2",
        ),
        (
            "K = 'a'\nif x:\n    vars().update(y)",
            1,
            "may be set anew by line 3",
        ),
        (
            "K = 'a'\ndef f():\n    global K\n    K = 'b'",
            3,
            "is set by a function",
        ),
        ("K = 'a'\nx = (K := 'b')", 2, "is set within a value"),
        (
            "K = 'a'\ntry:\n    x = 1\nexcept E: K = 'b'",
            4,
            "under a condition or in a loop",
        ),
        (
            "K = 'a'\nwith x: K = 'b'",
            2,
            "under a condition or in a loop",
        ),
        (
            "K = 'a'\nif x: y = 1; K = 'b'",
            2,
            "under a condition or in a loop",
        ),
        (
            "def getenv(x): return 'b'\nK = getenv('A')",
            2,
            "is taken from getenv, which line 1 makes another",
        ),
        (
            "environ = {'A': 'b'}\nK = environ['A']",
            2,
            "is taken from environ, which line 1 makes another",
        ),
        (
            "load_dotenv()\nK = os.environ.get('A', 'b')",
            2,
            "the variable A, which line 1 may set",
        ),
        (
            "os.environ.setdefault('A', 'a')\nK = os.getenv('A', 'b')",
            2,
            "the variable A, which line 1 may set",
        ),
        // what goes before the variables of the process
        (
            "load_dotenv(override=True)\nK = os.environ['SET']",
            2,
            "the variable SET, which line 1 may set",
        ),
        (
            "load_dotenv(path, None, False, True)\nK = os.environ['SET']",
            2,
            "the variable SET, which line 1 may set",
        ),
        (
            "load_dotenv(override=is_local)\nK = os.environ['SET']",
            2,
            "the variable SET, which line 1 may set",
        ),
        (
            "environ.Env.read_env('.env', overwrite=True)\nK = os.environ['SET']",
            2,
            "the variable SET, which line 1 may set",
        ),
        (
            "load_dotenv()\nload_dotenv('.local', override=True)\nK = os.environ['SET']",
            3,
            "the variable SET, which line 2 may set",
        ),
        (
            "env.read_env('.env', **values)\nK = os.environ['SET']",
            2,
            "the variable SET, which line 1 may set",
        ),
        (
            "os.environ.pop('SET', None)\nK = os.environ.get('SET', 'a')",
            2,
            "the variable SET, which line 1 takes away",
        ),
        (
            "os.environ.pop(name)\nK = os.environ.get('SET', 'a')",
            2,
            "the variable SET, which line 1 may set",
        ),
        (
            "dotenv.read_dotenv(override=True)\nK = os.environ['SET']",
            2,
            "the variable SET, which line 1 may set",
        ),
        (
            "os.environ |= {'SET': 'b'}\nK = os.environ['SET']",
            2,
            "the variable SET, which line 1 may set",
        ),
        (
            "os.environ.clear()\nK = os.environ.get('SET', 'a')",
            2,
            "the variable SET, which line 1 may set",
        ),
        (
            "from split_settings.tools import optional, include\nK = 'a'\ninclude(optional('local.py'))",
            2,
            "may be set anew by line 3, which runs other files",
        ),
        (
            "from split_settings.tools import include as more\nK = 'a'\nmore('local.py')",
            2,
            "may be set anew by line 3, which runs other files",
        ),
        // what may be the module's own names
        (
            "K = 'a'\nlocals()['x'] = 'b'",
            1,
            "may be set anew by line 2",
        ),
        ("K = 'a'\ng = globals()", 1, "may be set anew by line 2"),
        (
            "K = 'a'\ndef f():\n    globals().update(x)",
            1,
            "may be set anew by line 3",
        ),
        (
            "K = 'a'\nif x in globals()['y']:\n    pass",
            1,
            "may be set anew by line 2",
        ),
        ("K = 'a'\nf(vars())", 1, "may be set anew by line 2"),
        (
            "K = 'a'\nsetattr(sys.modules[__name__], 'x', 'b')",
            1,
            "may be set anew by line 2",
        ),
        (
            "this = sys.modules[__name__]\nK = 'a'\nsetattr(this, 'x', 'b')",
            2,
            "may be set anew by line 3",
        ),
        (
            "K = 'a'\nvars(import_module(x))['y'] = 1",
            1,
            "may be set anew by line 2",
        ),
        // a default that is none of the call
        ("K = os.environ.get(default='a')", 1, "is no plain value"),
        ("K = os.environ['A', default='a']", 1, "is no plain value"),
    ] {
        let module = module.replace('K', name);
        let error = key(&module, &[("SET", "from-variable")]).unwrap_err();
        let place = format!("{name} (settings.py, line {line})");
        assert!(
            error.starts_with(&place) && error.contains(part),
            "{module}: {error}"
        );
    }
    for (module, line, part) in [
        ("K = 'a", 1, "and does not end"),
        ("\nK = '''a", 2, "and does not end"),
        ("K = 'a\n'", 1, "and does not end"),
        ("K = \\ 'a'", 1, "backslash"),
        ("K = \u{1f600}", 1, "no Python"),
    ] {
        let error = key(&module.replace('K', name), &[]).unwrap_err();
        let place = format!("settings.py, line {line}: ");
        assert!(
            error.starts_with(&place) && error.contains(part),
            "{module}: {error}"
        );
    }
    // what is None for a variable that is not set says so
    for (key, secret, line, variable) in [
        ("os.environ.get('ID')", "'x'", 1, "ID"),
        ("'a'", "os.getenv('S')", 2, "S"),
        ("'a'", "os.environ.get('S', os.environ.get('T'))", 2, "T"),
        ("os.getenv('ID', '')", "'x'", 1, "ID"),
        ("os.environ.get('ID', None)", "'x'", 1, "ID"),
        ("'a'", "os.environ.get('S', '')", 2, "S"),
        ("'a'", "os.environ.get('S', default=False)", 2, "S"),
    ] {
        let module = format!(
            "{OAUTH2}KEY = {key}\n{OAUTH2}SECRET = {secret}\n{OAUTH2}TENANT_ID = 'contoso.example'\n"
        );
        let error = file(&module, "settings.py", &[]).unwrap_err();
        let says = format!(
            "(settings.py, line {line}): takes the variable {variable}, which is not set; set the variable {variable}, or"
        );
        assert!(error.contains(&says), "{error}");
    }
    // a name that is not needed stops nobody
    for other in [
        "env.bool('DEBUG')",
        "'\\N{BULLET} \\ud83d\\ude00'",
        "b'\\u', b'\\N'",
    ] {
        let module = format!("{name} = 'a'\nDEBUG = {other}\n");
        assert_eq!(key(&module, &[]).unwrap(), "a", "{other}");
    }
    let nothing = file("from .base import *\nDEBUG = True\n", "local.py", &[]).unwrap_err();
    assert!(
        nothing.contains("local.py: has no settings")
            && nothing.contains("line 1 takes in all names"),
        "{nothing}"
    );
    let long = "x = 1\n".repeat(100_000);
    assert!(
        file(&long, "settings.py", &[])
            .unwrap_err()
            .contains("longer than settings are")
    );
}
