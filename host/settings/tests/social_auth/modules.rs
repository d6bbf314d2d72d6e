//! Settings modules in Python, which are read and not run.

use super::{OAUTH2, file, key};

#[test]
fn plain_assignments_are_read() {
    let name = "SOCIAL_AUTH_AZUREAD_OAUTH2_KEY";
    let set = [("APP_ID", "from-variable"), ("BLANK", "")];
    for (module, expected) in [
        ("K = 'a'", "a"),
        ("K = \"a\"  # a comment", "a"),
        ("K: str = 'a'", "a"),
        ("OTHER = K = 'a'", "a"),
        ("X = 1; K = 'a'; Y = 2", "a"),
        ("K = 'a' 'b' \"c\"", "abc"),
        ("K = ('a'\n     # between\n     'b')", "ab"),
        ("K = 'a' + \\\n  'b'", "ab"),
        ("K = 'a' + ('b' + 'c')", "abc"),
        ("K = '''a'''", "a"),
        ("K = r'a\\b'", "a\\b"),
        ("K = u'a'", "a"),
        (
            r"K = '\x61\u0062\143\
d'",
            "abcd",
        ),
        (r#"K = 'it\'s"'"#, "it's\""),
        ("K = os.environ['APP_ID']", "from-variable"),
        ("K = os.environ.get('APP_ID')", "from-variable"),
        ("K = os.environ.get(\"NOTHING\", \"a\")", "a"),
        ("K = os.getenv('NOTHING', 'a')", "a"),
        (
            "K = getenv('APP_ID', default) if 0 else 1\nK = environ.get('APP_ID')",
            "from-variable",
        ),
        ("K = os.environ.get('BLANK') or 'a'", "a"),
        ("K = 'a' or f(1, [2])", "a"),
        ("K = ('a' or f(1, [2]) or 3)", "a"),
        ("K = '' or None or 'a'", "a"),
        ("ID = 'a'\nK = ID", "a"),
        ("K = 'first'\nK = 'a'", "a"),
        ("K = unknown()\nK = 'a'", "a"),
        ("if True:\n    K = 'b'\nK = 'a'", "a"),
        (
            "\"\"\"A docstring with K = 'b' in it.\n\nK = 'c'\n\"\"\"\nK = 'a'",
            "a",
        ),
        (
            "K = 'a'\ndef f():\n    K = 'b'\n    if K:\n        K = 'c'\n",
            "a",
        ),
        (
            "K = 'a'\nclass C(Base):\n\n    K = 'b'\n\n    def f(self, K='c'):\n        self.K = K\n",
            "a",
        ),
        ("K = 'a'\nasync def f():\n    K = 'b'\n", "a"),
        ("K = 'a'\nprint(K, sep=K)\nlog.info('%s', K)\n", "a"),
        (
            "K = 'a'\nif K == 'a':\n    OTHER = K\nfor k in [K]:\n    pass\n",
            "a",
        ),
        (
            "K = 'a'\nDATABASES = {'default': {'NAME': BASE / 'x', K: [1, (2,)]}}\nX = [y for y in f(K)]\n",
            "a",
        ),
        (
            "import os\nfrom pathlib import Path\nBASE = Path(__file__).resolve().parent\nK = 'a'",
            "a",
        ),
        ("X = f\"{a['b']}\" % K\nK = 'a'", "a"),
        (
            "X = -1_000.5e3 + 0xff @ y ** 2 if a <= b else lambda z: z != 1\nK = 'a'",
            "a",
        ),
        ("K = (\n'a'\n)\r\n", "a"),
        ("\u{feff}K = 'a'", "a"),
        (
            "try:\n    from .local import *\nexcept ImportError:\n    pass\nK = 'a'",
            "a",
        ),
        ("größe = 'ä'\nK = größe", "ä"),
        ("K = os.getenv('NOTHING', default='a')", "a"),
        ("K = os.environ.get('NOTHING', default=\"a\")", "a"),
        ("K = os.environ.get('NOTHING', default=None) or 'a'", "a"),
        ("K = os.environ.get('NOTHING', '') + 'a'", "a"),
        // what only looks at names, or at those of something else
        ("K = 'a'\nif 'X' in globals():\n    Y = 1", "a"),
        ("K = 'a'\nX = globals().get('Y')", "a"),
        (
            "K = 'a'\ndef f(r):\n    return bool(locals().get('r'))",
            "a",
        ),
        ("K = 'a'\ndef f(r): return locals()", "a"),
        (
            "K = 'a'\nclass F:\n    def f(self, r):\n        return 'x' in vars(r)",
            "a",
        ),
        (
            "K = 'a'\nimport django.utils.encoding\nsetattr(django.utils.encoding, 'x', f)",
            "a",
        ),
        (
            "K = 'a'\ncursor.exec('x')\nself.vars()\nobj.locals('x')",
            "a",
        ),
        // what is read and set elsewhere
        ("load_dotenv()\nK = os.environ['APP_ID']", "from-variable"),
        (
            "load_dotenv(verbose=True, override=False)\nK = os.environ['APP_ID']",
            "from-variable",
        ),
        (
            "env.read_env('.env', overwrite = False)\nK = os.environ['APP_ID']",
            "from-variable",
        ),
        (
            "os.environ.pop('OTHER', None)\nK = os.environ['APP_ID']",
            "from-variable",
        ),
        (
            "from django.urls import include\nK = 'a'\ninclude('x.urls')",
            "a",
        ),
        (
            "from split_settings.tools import include\ninclude('base.py')\nK = 'a'",
            "a",
        ),
    ] {
        let module = module.replace('K', name);
        let found = key(&module, &set);
        // the names in texts were replaced as well
        let expected = expected.replace('K', name);
        match found {
            Ok(found) => assert_eq!(found, expected, "{module}"),
            Err(error) => panic!("{error}: {module}"),
        }
    }
}

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

/// What is broken is told by its line, and by what is open there; where it is in one assignment, by that name.
#[test]
fn broken_modules_are_told_by_what_is_open() {
    const FILE: &str = "settings.py, line ";

    let key = format!("{OAUTH2}KEY");
    for (module, place, reason, fix) in [
        // brackets
        (
            "A = 1\nB = [\n'x',\nKEY = 'k'\n",
            "FILE2",
            "has a `[` that nothing closes",
            "write the `]`",
        ),
        (
            "B = ('x',\nKEY = 'k'\n",
            "FILE1",
            "has a `(` that nothing closes",
            "write the `)`",
        ),
        (
            "B = {'x': [1, 2},\n",
            "FILE1",
            "has a `}` where the `[` of line 1 is open",
            "write the `]`",
        ),
        (
            "B = [\n  ('x', 'y',\n]\nKEY = 'k'\n",
            "FILE3",
            "has a `]` where the `(` of line 2 is open",
            "write the `)`",
        ),
        (
            "KEY = 'k'\nB = ['x']]\n",
            "FILE2",
            "has a `]` that closes nothing",
            "take it away",
        ),
        (
            "KEY = os.environ['X'\n",
            "FILE1",
            "has a `[` that nothing closes",
            "write the `]`",
        ),
        // what git leaves, in a bracket too
        (
            "<<<<<<< HEAD\nKEY = 'a'\n=======\nKEY = 'b'\n>>>>>>> b\n",
            "FILE1",
            "has a mark of git's for a conflict",
            "keep one of the two sides",
        ),
        (
            "KEY = 'k'\nB = [\n'x',\n=======\n'y',\n]\n",
            "FILE4",
            "has a mark of git's for a conflict",
            "keep one of the two sides",
        ),
        // blocks
        (
            "KEY = 'a'\n B = 'b'\n",
            "FILE2",
            "begins further in than the line before it",
            "take the blanks before it away",
        ),
        (
            " KEY = 'a'\n",
            "FILE1",
            "begins further in than the line before it",
            "take the blanks before it away",
        ),
        (
            "if A:\n    B = 1\n  KEY = 'k'\n",
            "FILE3",
            "begins where no line before it has begun",
            "as far in as the block",
        ),
        // strings
        (
            "A = 1\nKEY = 'hunter2\nB = 1\n",
            "FILE2",
            "has a string that begins with ' and does not end",
            "on the same line",
        ),
        (
            "KEY = \"hunter2\n",
            "FILE1",
            "has a string that begins with \" and does not end",
            "on the same line",
        ),
        (
            "KEY = \"hunter2'\n",
            "FILE1",
            "has a string that begins with \" and does not end",
            "on the same line",
        ),
        (
            "A = 1\n\nB = '''x\nKEY = 'k'\n",
            "FILE3",
            "has a string that begins with ''' and does not end",
            "write the '''",
        ),
        (
            "KEY = 'hunter2\\'\n",
            "FILE1",
            "has a string that begins with ' and does not end",
            "on the same line",
        ),
        // characters
        (
            "KEY = \u{201c}hunter2\u{201d}\n",
            "FILE1",
            "has the character U+201C outside of a string",
            "write \" or '",
        ),
        (
            "A = 1\nKEY = 5\u{20ac}\n",
            "FILE2",
            "has the character U+20AC outside of a string",
            "as JSON",
        ),
        (
            "KEY = C:\\hunter2\n",
            "FILE1",
            "has a backslash where none can be",
            "quotes around it",
        ),
        // one assignment
        (
            "A = 1\nKEY = \n",
            "KEY (FILE2)",
            "has nothing behind its `=`",
            "in quotes",
        ),
        (
            "KEY 'hunter2'\n",
            "KEY (FILE1)",
            "has a value behind it, and no `=`",
            "in quotes",
        ),
        (
            "KEY: 'hunter2'\n",
            "KEY (FILE1)",
            "has a `:` behind it, and no `=`",
            "in quotes",
        ),
        (
            "KEY == 'hunter2'\n",
            "KEY (FILE1)",
            "has `==` behind it",
            "in quotes",
        ),
        (
            "KEY = 'hunter2',\n",
            "KEY (FILE1)",
            "ends in a comma",
            "take the comma away",
        ),
        (
            "KEY = hunter2\n",
            "KEY (FILE1)",
            "is no plain value",
            "in quotes",
        ),
        (
            "KEY = 6666-7777\n",
            "KEY (FILE1)",
            "is no plain value",
            "in quotes",
        ),
    ] {
        let text = module.replace("KEY", &key);
        let place = place.replace("KEY", &key).replace("FILE", FILE);
        let error = super::key(&text, &[]).unwrap_err();
        assert!(
            error.starts_with(&format!("{place}: {reason}")),
            "{module}: {error}"
        );
        assert!(error.contains(fix), "{module}: {error}");
        assert!(!error.contains("hunter2"), "{module}: {error}");
    }
    // legal to Python, and a value all the same
    for module in [
        "KEY: str = 'k'\n",
        "KEY: str\nKEY = 'k'\n",
        "KEY = 'k'\nKEY: str\n",
    ] {
        let module = module.replace("KEY", &key);
        assert_eq!(super::key(&module, &[]), Ok("k".to_owned()), "{module}");
    }
}

/// What is made of what was made before is bounded, whether or not it is used.
#[test]
fn what_a_module_makes_is_bounded() {
    for (first, join) in [("'aaaaaaaa'", "{0} + {0}"), ("['a']", "[{0}, {0}]")] {
        let mut module = format!("A0 = {first}\n");
        for index in 1..60 {
            let before = join.replace("{0}", &format!("A{}", index - 1));
            module.push_str(&format!("A{index} = {before}\n"));
        }
        module.push_str(&format!("{OAUTH2}KEY = A59\n"));
        let error = key(&module, &[]).unwrap_err();
        assert!(error.contains("is that of A59"), "{error}");
    }
    let again = format!(
        "A = '{}'\n{}{OAUTH2}KEY = 'a'\n",
        "a".repeat(10_000),
        "B = A\n".repeat(1_000)
    );
    assert_eq!(key(&again, &[]).unwrap(), "a");
}

/// Names that are in the file, and are no assignments of the module: which line has them is said.
#[test]
fn settings_that_are_no_assignments_are_pointed_at() {
    let name = format!("{OAUTH2}KEY");
    for (text, line) in [
        ("class Config:\n    NAME = 'hunter2'\n", Some(2)),
        ("def settings():\n    NAME = 'hunter2'\n", Some(2)),
        ("X = {\n  'NAME': 'hunter2',\n}\n", Some(2)),
        (
            "import os\nos.environ.setdefault('NAME', 'hunter2')\n",
            Some(2),
        ),
        ("name = 'hunter2'\n", Some(1)),
        ("# NAME = 'hunter2'\n", None),
        ("DEBUG = True\n", None),
        ("SOCIAL_AUTH_AZUREAD_OAUTH2_EXTRA_DATA = []\n", None),
    ] {
        let text = text
            .replace("NAME", &name)
            .replace("name", &name.to_lowercase());
        let error = file(&text, "settings.py", &[]).unwrap_err();
        let said = match line {
            Some(line) => format!("line {line} has such a name, and gives it no value"),
            None => "give the file that has them".to_owned(),
        };
        assert!(
            error.starts_with("settings.py: has no settings"),
            "{text}: {error}"
        );
        assert!(error.contains(&said), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
