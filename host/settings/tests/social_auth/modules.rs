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
