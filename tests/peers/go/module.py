"""Makes a folder that Go takes for a proxy of modules, with one module in it: `module.py SOURCE VERSION FOLDER`.

The form is that of https://go.dev/ref/mod#goproxy-protocol.
"""

import json
import pathlib
import sys
import zipfile

source, version, folder = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
description = (source / "go.mod").read_text()
name = description.split("\n", 1)[0].removeprefix("module ").strip()
place = folder / name / "@v"
place.mkdir(parents=True, exist_ok=True)
(place / f"{version}.info").write_text(json.dumps({"Version": version}))
(place / f"{version}.mod").write_text(description)
with zipfile.ZipFile(place / f"{version}.zip", "w") as packed:
    for path in [source / "go.mod", source / "LICENSE", *sorted((source / "wit").rglob("*"))]:
        if path.is_file():
            packed.write(path, f"{name}@{version}/{path.relative_to(source)}")
