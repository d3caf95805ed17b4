"""Pack editors/vscode into a .vsix, which ``code --install-extension`` takes: a zip file with two files of its own.

The same sources give the same bytes.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from xml.sax.saxutils import quoteattr

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "editors" / "vscode"
FILES = ("package.json", "extension.js", "model.js", "README.md")
_THEN = (1980, 1, 1, 0, 0, 0)

_TYPES = """<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
  <Default Extension=".json" ContentType="application/json"/>
  <Default Extension=".js" ContentType="application/javascript"/>
  <Default Extension=".md" ContentType="text/markdown"/>
  <Default Extension=".txt" ContentType="text/plain"/>
  <Default Extension=".vsixmanifest" ContentType="text/xml"/>
</Types>
"""


def manifest(package: dict[str, str]) -> str:
    """The file that tells an editor what is in the package."""
    name, version, publisher = (quoteattr(package[key]) for key in ("name", "version", "publisher"))
    engine = quoteattr(json.loads((SOURCE / "package.json").read_text())["engines"]["vscode"])
    return f"""<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
  <Metadata>
    <Identity Language="en-US" Id={name} Version={version} Publisher={publisher}/>
    <DisplayName>{package["displayName"]}</DisplayName>
    <Description xml:space="preserve">{package["description"]}</Description>
    <Categories>Debuggers</Categories>
    <Properties><Property Id="Microsoft.VisualStudio.Code.Engine" Value={engine}/></Properties>
    <License>extension/LICENSE.txt</License>
  </Metadata>
  <Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation>
  <Dependencies/>
  <Assets>
    <Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/>
    <Asset Type="Microsoft.VisualStudio.Services.Content.Details" Path="extension/README.md" Addressable="true"/>
    <Asset Type="Microsoft.VisualStudio.Services.Content.License" Path="extension/LICENSE.txt" Addressable="true"/>
  </Assets>
</PackageManifest>
"""


def pack(folder: Path) -> Path:
    """Write the package into ``folder``; where it is."""
    package = json.loads((SOURCE / "package.json").read_text())
    target = folder / f"{package['name']}-{package['version']}.vsix"
    content = {"extension.vsixmanifest": manifest(package), "[Content_Types].xml": _TYPES}
    content |= {f"extension/{name}": (SOURCE / name).read_text() for name in FILES}
    content["extension/LICENSE.txt"] = (ROOT / "LICENSE").read_text()
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(zipfile.ZipInfo(name, _THEN), text, zipfile.ZIP_DEFLATED)
    return target


if __name__ == "__main__":
    print(pack(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build"))
